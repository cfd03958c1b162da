/* Vocabularies, labelled texts, classifiers and their training. */

#include "check.h"

#define DATA "capi_text.tsv"
#define BAD_DATA "capi_bad_text.tsv"
#define MODEL "capi_text.safetensors"
#define NO_FILE "no_such_directory/file"

static void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL);
  if (file == NULL) return;
  fputs(text, file);
  fclose(file);
}

static void vocabulary(void) {
  static const char *const words[3] = {"good", "bad", "caf\xc3\xa9"};
  static const char *const twice[2] = {"good", "good"}, *const hole[2] = {"good", NULL};
  srnn_vocab *v, *none = NULL;
  uint32_t id = 77, ids[4] = {77, 77, 77, 77};
  char text[16] = "untouched";
  size_t n = 77;
  OK(srnn_vocab_create(words, 3, 1, 0, &v, &err));
  CHECK(srnn_vocab_word_count(v) == 5 && srnn_vocab_word_count(NULL) == 0);
  IS_NULL("words", srnn_vocab_create(NULL, 3, 1, 0, &none, &err));
  IS_NULL("a word", srnn_vocab_create(hole, 2, 1, 0, &none, &err));
  IS_NULL("vocab", srnn_vocab_create(words, 3, 1, 0, NULL, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "good", srnn_vocab_create(twice, 2, 1, 0, &none, &err));
  TOO_LARGE("words", srnn_vocab_create(words, HUGE_LEN, 1, 0, &none, &err));
  CHECK(none == NULL);

  IS_NULL("vocab", srnn_vocab_id(NULL, "good", &id, &err));
  IS_NULL("word", srnn_vocab_id(v, NULL, &id, &err));
  IS_NULL("id", srnn_vocab_id(v, "good", NULL, &err));
  BAD_ARGUMENT("UTF-8", srnn_vocab_id(v, "\xff", &id, &err));
  CHECK(id == 77);
  OK(srnn_vocab_id(v, "bad", &id, &err));
  CHECK(id == 3);
  OK(srnn_vocab_id(v, "never seen", &id, &err));
  CHECK(id == 1);

  IS_NULL("vocab", srnn_vocab_word(NULL, 2, text, sizeof text, &n, &err));
  IS_NULL("text_len", srnn_vocab_word(v, 2, text, sizeof text, NULL, &err));
  IS_NULL("text is", srnn_vocab_word(v, 2, NULL, 3, &n, &err));
  BAD_ARGUMENT("word 5", srnn_vocab_word(v, 5, text, sizeof text, &n, &err));
  BAD_SHAPE("room", srnn_vocab_word(v, 4, text, 5, &n, &err));
  CHECK(strcmp(text, "untouched") == 0 && n == 77);
  OK(srnn_vocab_word(v, 4, text, 6, &n, &err));
  CHECK(strcmp(text, words[2]) == 0 && n == 5);

  n = 77;
  IS_NULL("vocab", srnn_vocab_encode(NULL, "good", ids, 4, &n, &err));
  IS_NULL("text", srnn_vocab_encode(v, NULL, ids, 4, &n, &err));
  IS_NULL("ids", srnn_vocab_encode(v, "good", NULL, 4, &n, &err));
  IS_NULL("count", srnn_vocab_encode(v, "good", ids, 4, NULL, &err));
  BAD_ARGUMENT("UTF-8", srnn_vocab_encode(v, "\xc3", ids, 4, &n, &err));
  BAD_SHAPE("room for 2", srnn_vocab_encode(v, "good bad good", ids, 2, &n, &err));
  CHECK(ids[0] == 77 && n == 77);
  OK(srnn_vocab_encode(v, "Good unknown BAD", NULL, 0, &n, &err));
  CHECK(n == 3);
  OK(srnn_vocab_encode(v, "Good unknown BAD", ids, 4, &n, &err));
  CHECK(n == 3 && ids[0] == 2 && ids[1] == 1 && ids[2] == 3 && ids[3] == 77);
  /* A soft hyphen disappears, and letters beyond ASCII become lower case. */
  OK(srnn_vocab_encode(v, "Go\xc2\xadod \xd0\x96\xd0\x90\xd0\xa0", ids, 4, &n, &err));
  CHECK(n == 2 && ids[0] == 2 && ids[1] == 1);
  OK(srnn_vocab_encode(v, "", ids, 4, &n, &err));
  CHECK(n == 0);
  srnn_vocab_destroy(v);
  srnn_vocab_destroy(NULL);
}

static void data(srnn_dataset **dataset, srnn_vocab **vocab) {
  srnn_dataset *d, *no_data = NULL;
  srnn_vocab *v, *no_vocab = NULL;
  srnn_batches *b, *no_batches = NULL;
  const uint32_t *list = NULL;
  size_t n = 77, i, j, examples = 0;
  write_text(DATA,
             "pos\ta good film\nneg\ta bad film\npos\tgood good\nneg\tbad and bad\npos\tsuch good work\n"
             "neg\twhat bad work\npos\tthe film is good\nneg\tthe film is bad\n");
  write_text(BAD_DATA, "pos\tgood\nno tab here\n");
  OK(srnn_dataset_open_train(DATA, NULL, NULL, &d, &v, &err));
  CHECK(srnn_dataset_example_count(d) == 8 && srnn_dataset_example_count(NULL) == 0 && srnn_vocab_word_count(v) == 12);
  IS_NULL("path", srnn_dataset_open_train(NULL, NULL, NULL, &no_data, &no_vocab, &err));
  IS_NULL("dataset", srnn_dataset_open_train(DATA, NULL, NULL, NULL, &no_vocab, &err));
  IS_NULL("vocab", srnn_dataset_open_train(DATA, NULL, NULL, &no_data, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_dataset_open_train(NO_FILE, NULL, NULL, &no_data, &no_vocab, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, BAD_DATA, srnn_dataset_open_train(BAD_DATA, NULL, NULL, &no_data, &no_vocab, &err));
  CHECK(no_data == NULL && no_vocab == NULL);

  IS_NULL("dataset", srnn_dataset_tokens(NULL, 0, &list, &n, &err));
  IS_NULL("tokens", srnn_dataset_tokens(d, 0, NULL, &n, &err));
  IS_NULL("tokens_len", srnn_dataset_tokens(d, 0, &list, NULL, &err));
  BAD_ARGUMENT("example 8", srnn_dataset_tokens(d, 8, &list, &n, &err));
  IS_NULL("dataset", srnn_dataset_targets(NULL, 0, &list, &n, &err));
  IS_NULL("targets", srnn_dataset_targets(d, 0, NULL, &n, &err));
  IS_NULL("targets_len", srnn_dataset_targets(d, 0, &list, NULL, &err));
  BAD_ARGUMENT("example", srnn_dataset_targets(d, SIZE_MAX, &list, &n, &err));
  CHECK(list == NULL && n == 77);
  OK(srnn_dataset_tokens(d, 2, &list, &n, &err));
  CHECK(n == 2 && list[0] == list[1] && list[0] >= 2);
  OK(srnn_dataset_targets(d, 2, &list, &n, &err));
  CHECK(n == 1 && list[0] == 1); /* labels are in byte order: neg, pos */

  OK(srnn_batches_create(d, 3, 1, 0, &b, &err));
  CHECK(srnn_batches_count(b) == 3 && srnn_batches_count(NULL) == 0);
  for (i = 0; i < 3; ++i) {
    OK(srnn_batches_get(b, i, &list, &n, &err));
    CHECK(n == 3 || n == 2);
    for (j = 0; j < n; ++j) examples |= (size_t)1 << list[j];
  }
  CHECK(examples == 255); /* every example comes */
  list = NULL;
  IS_NULL("dataset", srnn_batches_create(NULL, 3, 1, 0, &no_batches, &err));
  IS_NULL("batches", srnn_batches_create(d, 3, 1, 0, NULL, &err));
  BAD_ARGUMENT("batch_size", srnn_batches_create(d, 0, 1, 0, &no_batches, &err));
  CHECK(no_batches == NULL);
  IS_NULL("batches", srnn_batches_get(NULL, 0, &list, &n, &err));
  IS_NULL("examples", srnn_batches_get(b, 0, NULL, &n, &err));
  IS_NULL("examples_len", srnn_batches_get(b, 0, &list, NULL, &err));
  BAD_ARGUMENT("batch 3", srnn_batches_get(b, 3, &list, &n, &err));
  CHECK(list == NULL);
  srnn_batches_destroy(b);
  srnn_batches_destroy(NULL);
  srnn_dataset_destroy(NULL);
  *dataset = d;
  *vocab = v;
}

#define WRONG(word, field, value)                                                     \
  do {                                                                                \
    srnn_classifier_config_init(&config);                                             \
    config.field = (value);                                                           \
    BAD_ARGUMENT(word, srnn_classifier_create(&config, vocab, dataset, 1, &none, &err)); \
    CHECK(none == NULL);                                                              \
  } while (0)

static void classify(srnn_dataset *dataset, srnn_vocab *vocab) {
  srnn_classifier_config config;
  srnn_optimizer_config adam;
  srnn_classifier *c, *back, *none = NULL;
  srnn_classifier_session *s, *no_session = NULL;
  srnn_trainer *t, *no_trainer = NULL;
  srnn_dataset *test, *no_data = NULL;
  srnn_batches *b;
  srnn_step_report report, untouched;
  const uint32_t *examples, wrong[1] = {8};
  float p[16], q[16];
  char text[8];
  size_t n, i, k, right = 0;
  uint32_t epoch;
  memset(&config, 0xff, sizeof config);
  srnn_classifier_config_init(NULL);
  srnn_classifier_config_init(&config);
  CHECK(config.struct_size == sizeof config && config.cell == SRNN_CELL_LSTM && config.embedding_dim == 64);
  CHECK(config.pooling == SRNN_POOLING_LAST && config.reserved_flag == 0 && config.max_tokens == 0 && config.reserved[2] == 0);
  WRONG("cell 9", cell, 9);
  WRONG("pooling 3", pooling, 3);
  WRONG("bidirectional is 2", bidirectional, 2);
  WRONG("reserved", reserved_flag, 1);
  WRONG("dropout", dropout, 2);
  WRONG("embedding_dim", embedding_dim, 0);
  WRONG("hidden_size", hidden_size, 0);
  WRONG("struct_size", struct_size, 0);
  WRONG("reserved", reserved[0], 1);
  srnn_classifier_config_init(&config);
  config.embedding_dim = config.hidden_size = 8;
  config.pooling = SRNN_POOLING_MEAN;
  config.dropout = 0;
  IS_NULL("config", srnn_classifier_create(NULL, vocab, dataset, 1, &none, &err));
  IS_NULL("vocab", srnn_classifier_create(&config, NULL, dataset, 1, &none, &err));
  IS_NULL("dataset", srnn_classifier_create(&config, vocab, NULL, 1, &none, &err));
  IS_NULL("classifier", srnn_classifier_create(&config, vocab, dataset, 1, NULL, &err));
  OK(srnn_classifier_create(&config, vocab, dataset, 1, &c, &err));
  CHECK(srnn_classifier_label_count(c) == 2 && srnn_classifier_word_count(c) == 12 && srnn_classifier_bytes(c) > 0);
  CHECK(srnn_classifier_label_count(NULL) == 0 && srnn_classifier_word_count(NULL) == 0);
  CHECK(srnn_classifier_bytes(NULL) == 0);
  OK(srnn_classifier_label(c, 1, text, sizeof text, &n, &err));
  CHECK(n == 3 && strcmp(text, "pos") == 0);
  IS_NULL("classifier", srnn_classifier_label(NULL, 1, text, sizeof text, &n, &err));
  IS_NULL("text is", srnn_classifier_label(c, 1, NULL, sizeof text, &n, &err));
  IS_NULL("text_len", srnn_classifier_label(c, 1, text, sizeof text, NULL, &err));
  BAD_ARGUMENT("label 2", srnn_classifier_label(c, 2, text, sizeof text, &n, &err));
  BAD_SHAPE("room", srnn_classifier_label(c, 1, text, 3, &n, &err));

  /* Training, until all is right. */
  srnn_optimizer_config_init(&adam, SRNN_OPTIMIZER_ADAM);
  adam.lr = 1;
  IS_NULL("classifier", srnn_trainer_create(NULL, &adam, 1, 1, &no_trainer, &err));
  IS_NULL("config", srnn_trainer_create(c, NULL, 1, 1, &no_trainer, &err));
  IS_NULL("trainer", srnn_trainer_create(c, &adam, 1, 1, NULL, &err));
  BAD_ARGUMENT("clip_norm", srnn_trainer_create(c, &adam, -1, 1, &no_trainer, &err));
  CHECK(no_trainer == NULL);
  OK(srnn_trainer_create(c, &adam, 1, 1, &t, &err));
  IS_NULL("trainer", srnn_trainer_set_pool(NULL, NULL, &err));
  BAD_ARGUMENT("pool", srnn_trainer_set_pool(t, (srnn_pool *)(void *)misaligned(p), &err));
  OK(srnn_trainer_set_pool(t, NULL, &err));
  OK(srnn_trainer_set_lr(t, 0.02, &err));
  IS_NULL("trainer", srnn_trainer_set_lr(NULL, 0.02, &err));
  BAD_ARGUMENT("lr", srnn_trainer_set_lr(t, -1, &err));
  for (epoch = 0; epoch < 40; ++epoch) {
    OK(srnn_batches_create(dataset, 4, 1, epoch, &b, &err));
    for (i = 0; i < srnn_batches_count(b); ++i) {
      OK(srnn_batches_get(b, i, &examples, &n, &err));
      OK(srnn_trainer_step(t, c, dataset, examples, n, i == 0 ? &report : NULL, &err));
    }
    srnn_batches_destroy(b);
  }
  CHECK(report.loss < 0.2 && report.grad_norm > 0 && report.correct == 4 && report.tokens >= 8);
  memset(&untouched, 0xff, sizeof untouched);
  report = untouched;
  n = 1;
  IS_NULL("trainer", srnn_trainer_step(NULL, c, dataset, wrong, 1, &report, &err));
  IS_NULL("classifier", srnn_trainer_step(t, NULL, dataset, wrong, 1, &report, &err));
  IS_NULL("dataset", srnn_trainer_step(t, c, NULL, wrong, 1, &report, &err));
  IS_NULL("examples", srnn_trainer_step(t, c, dataset, NULL, 1, &report, &err));
  BAD_ARGUMENT("empty", srnn_trainer_step(t, c, dataset, wrong, 0, &report, &err));
  BAD_ARGUMENT("example 8", srnn_trainer_step(t, c, dataset, wrong, 1, &report, &err));
  CHECK(memcmp(&report, &untouched, sizeof report) == 0);

  /* Evaluation, one text and all. */
  OK(srnn_classifier_session_create(&s, &err));
  IS_NULL("session", srnn_classifier_session_create(NULL, &err));
  IS_NULL("session", srnn_classifier_session_set_pool(NULL, NULL, &err));
  BAD_ARGUMENT("pool", srnn_classifier_session_set_pool(s, (srnn_pool *)(void *)misaligned(p), &err));
  OK(srnn_classifier_session_set_pool(s, NULL, &err));
  CHECK(no_session == NULL);
  OK(srnn_classifier_classify(c, s, "a GOOD film", p, 2, &err));
  CHECK(p[1] > 0.7f && fabsf(p[0] + p[1] - 1) < 1e-6f);
  p[0] = 77;
  IS_NULL("classifier", srnn_classifier_classify(NULL, s, "good", p, 2, &err));
  IS_NULL("session", srnn_classifier_classify(c, NULL, "good", p, 2, &err));
  IS_NULL("text", srnn_classifier_classify(c, s, NULL, p, 2, &err));
  IS_NULL("probabilities", srnn_classifier_classify(c, s, "good", NULL, 2, &err));
  BAD_SHAPE("probabilities", srnn_classifier_classify(c, s, "good", p, 3, &err));
  BAD_ARGUMENT("UTF-8", srnn_classifier_classify(c, s, "\xff", p, 2, &err));
  CHECK(p[0] == 77);

  OK(srnn_dataset_open(c, DATA, NULL, &test, &err));
  IS_NULL("classifier", srnn_dataset_open(NULL, DATA, NULL, &no_data, &err));
  IS_NULL("path", srnn_dataset_open(c, NULL, NULL, &no_data, &err));
  IS_NULL("dataset", srnn_dataset_open(c, DATA, NULL, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_dataset_open(c, NO_FILE, NULL, &no_data, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "2", srnn_dataset_open(c, BAD_DATA, NULL, &no_data, &err));
  write_text(BAD_DATA, "neutral\tso so\n");
  REFUSED(SRNN_ERROR_INVALID_DATA, "neutral", srnn_dataset_open(c, BAD_DATA, NULL, &no_data, &err));
  CHECK(no_data == NULL);
  OK(srnn_classifier_predict(c, s, test, 3, p, 16, &err));
  for (i = 0; i < 8; ++i) {
    OK(srnn_dataset_targets(test, i, &examples, &k, &err));
    right += (p[2 * i + 1] > p[2 * i]) == (examples[0] == 1);
  }
  CHECK(right == 8);
  q[0] = 77;
  IS_NULL("classifier", srnn_classifier_predict(NULL, s, test, 3, q, 16, &err));
  IS_NULL("session", srnn_classifier_predict(c, NULL, test, 3, q, 16, &err));
  IS_NULL("dataset", srnn_classifier_predict(c, s, NULL, 3, q, 16, &err));
  IS_NULL("probabilities", srnn_classifier_predict(c, s, test, 3, NULL, 16, &err));
  BAD_SHAPE("probabilities", srnn_classifier_predict(c, s, test, 3, q, 15, &err));
  BAD_ARGUMENT("batch_size", srnn_classifier_predict(c, s, test, 0, q, 16, &err));
  CHECK(q[0] == 77);

  /* Saved and loaded, it says the same. */
  OK(srnn_classifier_save(c, MODEL, &err));
  IS_NULL("classifier", srnn_classifier_save(NULL, MODEL, &err));
  IS_NULL("path", srnn_classifier_save(c, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_classifier_save(c, NO_FILE, &err));
  OK(srnn_classifier_open(MODEL, &back, &err));
  IS_NULL("path", srnn_classifier_open(NULL, &none, &err));
  IS_NULL("classifier", srnn_classifier_open(MODEL, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_classifier_open(NO_FILE, &none, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, DATA, srnn_classifier_open(DATA, &none, &err));
  CHECK(none == NULL);
  OK(srnn_classifier_predict(back, s, test, 5, q, 16, &err));
  CHECK(same_bits(p, q, 16));
  srnn_classifier_destroy(back);
  srnn_classifier_destroy(c);
  srnn_classifier_destroy(NULL);
  srnn_classifier_session_destroy(s);
  srnn_classifier_session_destroy(NULL);
  srnn_trainer_destroy(t);
  srnn_trainer_destroy(NULL);
  srnn_dataset_destroy(test);
}

/* A step that is refused leaves dropout and the optimizer where they were: the next one is what it would have been. */
static void refused_step(const srnn_dataset *dataset, const srnn_vocab *vocab) {
  static const char *const texts[2] = {"pos\tgood\nneg\tbad\n",
                                       "pos\ta b c d e f g h i j k l m n\nneg\tgood bad film\n"};
  static const uint32_t examples[3] = {0, 3, 6}, none[1] = {99};
  srnn_classifier_config config;
  srnn_optimizer_config sgd;
  srnn_classifier *c[2], *foreign[2];
  srnn_trainer *t[2];
  srnn_step_report reports[2][2];
  srnn_vocab *others[2];
  srnn_dataset *of_others[2];
  int i, step;
  srnn_classifier_config_init(&config);
  config.embedding_dim = config.hidden_size = 8;
  config.dropout = 0.5f;
  srnn_optimizer_config_init(&sgd, SRNN_OPTIMIZER_SGD);
  sgd.lr = sgd.momentum = 0.5;
  for (i = 0; i < 2; ++i) {
    write_text("capi_foreign.tsv", texts[i]);
    OK(srnn_dataset_open_train("capi_foreign.tsv", NULL, NULL, &of_others[i], &others[i], &err));
    OK(srnn_classifier_create(&config, others[i], of_others[i], 1, &foreign[i], &err));
  }
  for (i = 0; i < 2; ++i) {
    OK(srnn_classifier_create(&config, vocab, dataset, 1, &c[i], &err));
    OK(srnn_trainer_create(c[i], &sgd, 1, 1, &t[i], &err));
    for (step = 0; step < 2; ++step) {
      if (i == 1) BAD_ARGUMENT("vocabulary", srnn_trainer_step(t[i], foreign[0], dataset, examples, 3, NULL, &err));
      if (i == 1) BAD_SHAPE("", srnn_trainer_step(t[i], foreign[1], of_others[1], examples, 1, NULL, &err));
      if (i == 1) BAD_ARGUMENT("example 99", srnn_trainer_step(t[i], c[i], dataset, none, 1, NULL, &err));
      OK(srnn_trainer_step(t[i], c[i], dataset, examples, 3, &reports[i][step], &err));
    }
  }
  for (step = 0; step < 2; ++step)
    CHECK(reports[0][step].loss == reports[1][step].loss && reports[0][step].grad_norm == reports[1][step].grad_norm);
  for (i = 0; i < 2; ++i) {
    srnn_classifier_destroy(c[i]);
    srnn_trainer_destroy(t[i]);
    srnn_classifier_destroy(foreign[i]);
    srnn_vocab_destroy(others[i]);
    srnn_dataset_destroy(of_others[i]);
  }
}

int main(void) {
  srnn_dataset *dataset;
  srnn_vocab *vocab;
  vocabulary();
  data(&dataset, &vocab);
  refused_step(dataset, vocab);
  classify(dataset, vocab);
  srnn_vocab_destroy(vocab);
  srnn_dataset_destroy(dataset);
  CHECK(remove("capi_foreign.tsv") == 0 && remove(DATA) == 0 && remove(BAD_DATA) == 0 && remove(MODEL) == 0);
  return finish();
}
