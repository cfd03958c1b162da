/* Options and scalar arguments of texts, classifiers, their training, and word vectors: each changes results. */

#include "effects.h"

#define DATA "capi_options.tsv"
#define VECTORS "capi_options.vec"
#define OUT "capi_options.out"

static float p[64];
static const uint32_t *list;
static size_t n;

static void write_bytes(const char *path, const char *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL);
  if (file == NULL) return;
  CHECK(fwrite(bytes, 1, size, file) == size);
  fclose(file);
}

static void write_text(const char *path, const char *text) { write_bytes(path, text, strlen(text)); }

static uint64_t of_file(const char *path) {
  char bytes[1024];
  FILE *file = fopen(path, "rb");
  size_t size = file == NULL ? 0 : fread(bytes, 1, sizeof bytes, file);
  CHECK(size > 0 && size < sizeof bytes);
  if (file != NULL) fclose(file);
  remove(path);
  return digest(bytes, size);
}

/* ---- Vocabularies and labelled texts. ---- */

static uint64_t vocabulary(size_t count, uint32_t id) {
  static const char *const words[3] = {"good", "bad", "so"};
  srnn_vocab *v;
  char text[16];
  uint64_t result;
  OK(srnn_vocab_create(words, count, 1, 0, &v, &err));
  OK(srnn_vocab_word(v, id, text, sizeof text, &n, &err));
  n = srnn_vocab_word_count(v);
  result = mix(digest(text, strlen(text)), &n, sizeof n);
  srnn_vocab_destroy(v);
  return result;
}

/* A capital, and an accent that stands alone. */
static uint64_t encoded(int32_t lowercase, int32_t nfc) {
  static const char *const words[2] = {"good", "caf\xc3\xa9"};
  srnn_vocab *v;
  uint32_t ids[8] = {0};
  OK(srnn_vocab_create(words, 2, lowercase, nfc, &v, &err));
  OK(srnn_vocab_encode(v, "GOOD cafe\xcc\x81", ids, 8, &n, &err));
  CHECK(ids[0] == (lowercase ? 2u : 1u) && (n == 2 && ids[1] == 3) == nfc);
  srnn_vocab_destroy(v);
  return digest(ids, sizeof ids);
}

static srnn_dataset *dataset;
static srnn_vocab *vocab;

static const char *data_file = DATA;

/* All texts, labels and words of a file, or why it is not read. */
static uint64_t read_train(const srnn_dataset_options *options, const srnn_vocab_options *vocab_options) {
  srnn_dataset *d;
  srnn_vocab *v;
  size_t i;
  uint64_t result;
  srnn_status status = srnn_dataset_open_train(data_file, options, vocab_options, &d, &v, &err);
  if (status != SRNN_OK) return (uint64_t)status;
  n = srnn_vocab_word_count(v);
  result = digest(&n, sizeof n);
  for (i = 0; i < srnn_dataset_example_count(d); ++i) {
    OK(srnn_dataset_tokens(d, i, &list, &n, &err));
    result = mix(result, list, n * sizeof *list);
    OK(srnn_dataset_targets(d, i, &list, &n, &err));
    result = mix(result, list, n * sizeof *list);
  }
  srnn_vocab_destroy(v);
  srnn_dataset_destroy(d);
  return result;
}

static uint64_t run_dataset(const srnn_dataset_options *options) { return read_train(options, NULL); }
static uint64_t run_vocab(const srnn_vocab_options *options) { return read_train(NULL, options); }

static void data_options(void) {
  srnn_dataset_options o;
  srnn_vocab_options w;
  srnn_dataset *no_data = NULL;
  srnn_vocab *no_vocab = NULL;
  srnn_dataset_options_init(&o);
  FIELD(srnn_dataset_options, mode, run_dataset, &o, SRNN_LABEL_MODE_MULTI);
  FIELD(srnn_dataset_options, max_tokens, run_dataset, &o, 2);
  o.max_tokens = 2;
  FIELD(srnn_dataset_options, struct_size, run_dataset, &o, (uint32_t)offsetof(srnn_dataset_options, max_tokens));
  o.max_tokens = 0;
  RESERVED(srnn_dataset_options, reserved, &o, srnn_dataset_open_train(DATA, given, NULL, &no_data, &no_vocab, &err));
  data_file = "capi_options.csv";
  write_text(data_file, "a,b,c\nx,\"y, z\",v\np,q,z\nx,y\n");
  o.delimiter = ',';
  o.skip_bad_lines = 1;
  FIELD(srnn_dataset_options, delimiter, run_dataset, &o, ';');
  FIELD(srnn_dataset_options, quotes, run_dataset, &o, 1);
  o.quotes = 1;
  FIELD(srnn_dataset_options, header, run_dataset, &o, 1);
  FIELD(srnn_dataset_options, skip_bad_lines, run_dataset, &o, 0);
  FIELD(srnn_dataset_options, label_column, run_dataset, &o, 2);
  FIELD(srnn_dataset_options, text_column, run_dataset, &o, 2);
  o.header = 1;
  FIELD(srnn_dataset_options, label_name, run_dataset, &o, "c");
  FIELD(srnn_dataset_options, text_name, run_dataset, &o, "c");
  remove(data_file);
  data_file = DATA;
  srnn_vocab_options_init(&w);
  FIELD(srnn_vocab_options, lowercase, run_vocab, &w, 0);
  FIELD(srnn_vocab_options, min_count, run_vocab, &w, 3);
  FIELD(srnn_vocab_options, max_size, run_vocab, &w, 5);
  FIELD(srnn_vocab_options, nfc, run_vocab, &w, 1);
  w.max_size = 5;
  FIELD(srnn_vocab_options, struct_size, run_vocab, &w, 24); /* ends before max_size */
  RESERVED(srnn_vocab_options, reserved_flag, &w, srnn_dataset_open_train(DATA, NULL, given, &no_data, &no_vocab, &err));
  RESERVED(srnn_vocab_options, reserved, &w, srnn_dataset_open_train(DATA, NULL, given, &no_data, &no_vocab, &err));
  CHECK(no_data == NULL && no_vocab == NULL);
}

/* What is found in a file where bad lines are skipped and texts have two tokens. */
static srnn_dataset_summary summary_of(const char *text) {
  srnn_dataset_options o;
  srnn_dataset_summary summary;
  srnn_dataset *d;
  srnn_vocab *v;
  srnn_dataset_options_init(&o);
  o.skip_bad_lines = 1;
  o.max_tokens = 2;
  write_text(OUT, text);
  OK(srnn_dataset_open_train(OUT, &o, NULL, &d, &v, &err));
  remove(OUT);
  OK(srnn_dataset_get_summary(d, &summary, &err));
  srnn_dataset_destroy(d);
  srnn_vocab_destroy(v);
  return summary;
}

static void summaries(void) {
  const srnn_dataset_summary plain = summary_of("a\tone\nb\ttwo\na\tthree\nb\tfour\n");
  const srnn_dataset_summary odd = summary_of("label\ttext\na\tone\n  \nno tab\nb\ttwo\na\tthree four five six\nb\tfour\n");
  const srnn_dataset_summary turned =
      summary_of("a\t1\nb\t1\nc\t1\nd\t1\ne\t1\nf\t1\ng\t1\nh\t1\ni\t1\nj\t1\n");
  OUTPUT(srnn_dataset_summary, blank_lines, &plain, &odd);
  OUTPUT(srnn_dataset_summary, skipped_lines, &plain, &odd);
  OUTPUT(srnn_dataset_summary, first_skipped_line, &plain, &odd);
  OUTPUT(srnn_dataset_summary, cut_texts, &plain, &odd);
  OUTPUT(srnn_dataset_summary, cut_tokens, &plain, &odd);
  OUTPUT(srnn_dataset_summary, labels_once, &plain, &odd);
  OUTPUT(srnn_dataset_summary, header_suspected, &plain, &odd);
  OUTPUT(srnn_dataset_summary, labels_nearly_unique, &plain, &turned);
  ZEROED(srnn_dataset_summary, reserved, &odd);
  CHECK(odd.blank_lines == 1 && odd.skipped_lines == 1 && odd.first_skipped_line == 4 && odd.cut_texts == 1);
  CHECK(odd.cut_tokens == 2 && odd.labels_once == 1 && odd.header_suspected == 1 && turned.labels_nearly_unique == 1);
}

static uint64_t dataset_label(size_t index) {
  char text[16];
  OK(srnn_dataset_label(dataset, index, text, sizeof text, &n, &err));
  return digest(text, strlen(text));
}

static uint64_t tokens(size_t index) {
  OK(srnn_dataset_tokens(dataset, index, &list, &n, &err));
  return digest(list, n * sizeof *list);
}

static uint64_t targets(size_t index) {
  OK(srnn_dataset_targets(dataset, index, &list, &n, &err));
  return digest(list, n * sizeof *list);
}

static uint64_t batches(size_t batch_size, uint64_t seed, uint32_t epoch, size_t index) {
  srnn_batches *b;
  uint64_t result;
  OK(srnn_batches_create(dataset, batch_size, seed, epoch, &b, &err));
  OK(srnn_batches_get(b, index, &list, &n, &err));
  result = digest(list, n * sizeof *list);
  srnn_batches_destroy(b);
  return result;
}

static void texts(void) {
  const uint64_t high = (uint64_t)1 << 40;
  write_text(DATA,
             "pos,new\ta GOOD film\nneg\ta bad film\npos\tgood good\nneg\tbad and bad\npos\tsuch good work\n"
             "neg\twhat bad work\npos,new\tthe Film is good\nneg\tthe film is bad caf\xc3\xa9 cafe\xcc\x81\n");
  OK(srnn_dataset_open_train(DATA, NULL, NULL, &dataset, &vocab, &err));
  data_options();
  ARGUMENT(srnn_vocab_create, count, vocabulary(3, 2), vocabulary(2, 2));
  ARGUMENT(srnn_vocab_word, id, vocabulary(3, 2), vocabulary(3, 3));
  ARGUMENT(srnn_vocab_create, lowercase, encoded(1, 0), encoded(0, 0));
  ARGUMENT(srnn_vocab_create, nfc, encoded(1, 0), encoded(1, 1));
  summaries();
  ARGUMENT(srnn_dataset_label, index, dataset_label(0), dataset_label(1));
  ARGUMENT(srnn_dataset_tokens, index, tokens(0), tokens(1));
  ARGUMENT(srnn_dataset_targets, index, targets(0), targets(1));
  ARGUMENT(srnn_batches_create, batch_size, batches(2, 1, 0, 0), batches(3, 1, 0, 0));
  ARGUMENT(srnn_batches_create, seed, batches(8, 1, 0, 0), batches(8, 1 + high, 0, 0));
  ARGUMENT(srnn_batches_create, epoch, batches(8, 1, 0, 0), batches(8, 1, 1, 0));
  ARGUMENT(srnn_batches_get, index, batches(2, 1, 0, 0), batches(2, 1, 0, 1));
}

/* ---- Classifiers and their training. ---- */

static srnn_step_report reports[2];

/* What a classifier of that shape says after two steps. */
static uint64_t classifier(const srnn_classifier_config *config, uint64_t seed, double clip_norm, uint64_t dropout_seed,
                           double lr, int32_t frozen) {
  static const uint32_t examples[2][3] = {{0, 1, 2}, {3, 4, 6}};
  srnn_classifier *c;
  srnn_classifier_session *s;
  srnn_trainer *t;
  srnn_optimizer_config sgd;
  size_t step;
  OK(srnn_classifier_create(config, vocab, dataset, seed, &c, &err));
  OK(srnn_classifier_set_embeddings_frozen(c, frozen, &err));
  srnn_optimizer_config_init(&sgd, SRNN_OPTIMIZER_SGD);
  OK(srnn_trainer_create(c, &sgd, clip_norm, dropout_seed, &t, &err));
  OK(srnn_trainer_set_lr(t, lr, &err));
  for (step = 0; step < 2; ++step) OK(srnn_trainer_step(t, c, dataset, examples[step], 3 - step, &reports[step], &err));
  OK(srnn_classifier_session_create(&s, &err));
  n = srnn_classifier_label_count(c);
  OK(srnn_classifier_classify(c, s, "a GOOD film is bad", p, n, &err));
  srnn_classifier_session_destroy(s);
  srnn_trainer_destroy(t);
  srnn_classifier_destroy(c);
  return of_floats(p, n);
}

/* A first step that goes so far that the second has no finite loss. */
static void diverge(const srnn_classifier_config *config, srnn_step_report both[2]) {
  static const uint32_t examples[2] = {0, 1};
  srnn_classifier *c;
  srnn_trainer *t;
  srnn_optimizer_config sgd;
  size_t step;
  OK(srnn_classifier_create(config, vocab, dataset, 1, &c, &err));
  srnn_optimizer_config_init(&sgd, SRNN_OPTIMIZER_SGD);
  sgd.lr = sgd.weight_decay = 3e38;
  sgd.non_finite = SRNN_NON_FINITE_SKIP;
  OK(srnn_trainer_create(c, &sgd, 1, 1, &t, &err));
  for (step = 0; step < 2; ++step) OK(srnn_trainer_step(t, c, dataset, examples, 2, &both[step], &err));
  srnn_trainer_destroy(t);
  srnn_classifier_destroy(c);
}

/* The position that a saved run has when it is loaded. */
static uint64_t run_position(const srnn_training_position *position) {
  srnn_classifier_config config;
  srnn_optimizer_config sgd;
  srnn_classifier *c, *again;
  srnn_trainer *t, *back;
  srnn_training_position found;
  srnn_classifier_config_init(&config);
  srnn_optimizer_config_init(&sgd, SRNN_OPTIMIZER_SGD);
  OK(srnn_classifier_create(&config, vocab, dataset, 1, &c, &err));
  OK(srnn_trainer_create(c, &sgd, 1, 1, &t, &err));
  OK(srnn_trainer_save(t, c, position, OUT, &err));
  OK(srnn_trainer_open(OUT, &back, &again, &found, &err));
  remove(OUT);
  srnn_trainer_destroy(t);
  srnn_trainer_destroy(back);
  srnn_classifier_destroy(c);
  srnn_classifier_destroy(again);
  return digest(&found, sizeof found);
}

static void positions(void) {
  srnn_training_position position;
  srnn_classifier_config config;
  srnn_optimizer_config sgd;
  srnn_classifier *c;
  srnn_trainer *t;
  memset(&position, 0, sizeof position);
  FIELD(srnn_training_position, batch_size, run_position, &position, (uint64_t)1 << 40);
  FIELD(srnn_training_position, seed, run_position, &position, (uint64_t)1 << 40);
  FIELD(srnn_training_position, batch, run_position, &position, (uint64_t)1 << 40);
  FIELD(srnn_training_position, epoch, run_position, &position, (uint32_t)1 << 30);
  srnn_classifier_config_init(&config);
  srnn_optimizer_config_init(&sgd, SRNN_OPTIMIZER_SGD);
  OK(srnn_classifier_create(&config, vocab, dataset, 1, &c, &err));
  OK(srnn_trainer_create(c, &sgd, 1, 1, &t, &err));
  RESERVED(srnn_training_position, reserved, &position, srnn_trainer_save(t, c, given, OUT, &err));
  srnn_trainer_destroy(t);
  srnn_classifier_destroy(c);
}

static uint64_t run_classifier(const srnn_classifier_config *config) { return classifier(config, 1, 1, 1, 0.5, 0); }

static uint64_t label(const srnn_classifier *c, size_t index) {
  char text[16];
  OK(srnn_classifier_label(c, index, text, sizeof text, &n, &err));
  return digest(text, strlen(text));
}

/* The bytes of memory that batches of that size take show that they were made so; the results are the same. */
static uint64_t predicted(size_t batch_size) {
  srnn_classifier_config config;
  srnn_classifier *c;
  srnn_classifier_session *s;
  srnn_status status;
  srnn_classifier_config_init(&config);
  OK(srnn_classifier_create(&config, vocab, dataset, 1, &c, &err));
  OK(srnn_classifier_session_create(&s, &err));
  n = srnn_dataset_example_count(dataset) * srnn_classifier_label_count(c);
  status = srnn_classifier_predict(c, s, dataset, batch_size, p, n, &err);
  srnn_classifier_session_destroy(s);
  srnn_classifier_destroy(c);
  return status == SRNN_OK ? of_floats(p, n) : (uint64_t)status;
}

static void classifiers(void) {
  const uint64_t high = (uint64_t)1 << 40;
  srnn_classifier_config c;
  srnn_classifier *made, *none = NULL;
  srnn_step_report cut;
  srnn_classifier_config_init(&c);
  c.embedding_dim = c.hidden_size = 4;
  c.bidirectional = 0;
  FIELD(srnn_classifier_config, struct_size, run_classifier, &c, 32); /* ends before bidirectional */
  FIELD(srnn_classifier_config, cell, run_classifier, &c, SRNN_CELL_GRU);
  FIELD(srnn_classifier_config, embedding_dim, run_classifier, &c, 5);
  FIELD(srnn_classifier_config, hidden_size, run_classifier, &c, 5);
  FIELD(srnn_classifier_config, num_layers, run_classifier, &c, 2);
  FIELD(srnn_classifier_config, bidirectional, run_classifier, &c, 1);
  FIELD(srnn_classifier_config, pooling, run_classifier, &c, SRNN_POOLING_MEAN);
  FIELD(srnn_classifier_config, pooling, run_classifier, &c, SRNN_POOLING_MAX);
  FIELD(srnn_classifier_config, dropout, run_classifier, &c, 0);
  RESERVED(srnn_classifier_config, reserved_flag, &c, srnn_classifier_create(given, vocab, dataset, 1, &none, &err));
  FIELD(srnn_classifier_config, max_tokens, run_classifier, &c, 2);
  cut = reports[0];
  (void)run_classifier(&c);
  OUTPUT(srnn_step_report, truncated, &reports[0], &cut);
  CHECK(reports[0].truncated == 0 && cut.truncated == 2);
  RESERVED(srnn_classifier_config, reserved, &c, srnn_classifier_create(given, vocab, dataset, 1, &none, &err));
  CHECK(none == NULL);
  ARGUMENT(srnn_classifier_create, seed, classifier(&c, 1, 1, 1, 0.5, 0), classifier(&c, 1 + high, 1, 1, 0.5, 0));
  ARGUMENT(srnn_trainer_create, clip_norm, classifier(&c, 1, 1, 1, 0.5, 0), classifier(&c, 1, 0.125, 1, 0.5, 0));
  ARGUMENT(srnn_trainer_create, seed, classifier(&c, 1, 1, 1, 0.5, 0), classifier(&c, 1, 1, 1 + high, 0.5, 0));
  ARGUMENT(srnn_trainer_set_lr, lr, classifier(&c, 1, 1, 1, 0.5, 0), classifier(&c, 1, 1, 1, 0.25, 0));
  ARGUMENT(srnn_classifier_set_embeddings_frozen, frozen, classifier(&c, 1, 1, 1, 0.5, 0), classifier(&c, 1, 1, 1, 0.5, 1));
  OUTPUT(srnn_step_report, loss, &reports[0], &reports[1]);
  OUTPUT(srnn_step_report, grad_norm, &reports[0], &reports[1]);
  OUTPUT(srnn_step_report, tokens, &reports[0], &reports[1]);
  CHECK(reports[0].tokens == 8 && reports[1].tokens == 6);
  OUTPUT(srnn_step_report, correct, &reports[0], &reports[1]);
  ZEROED(srnn_step_report, reserved, &reports[1]);
  diverge(&c, reports);
  OUTPUT(srnn_step_report, skipped, &reports[0], &reports[1]);
  CHECK(reports[0].skipped == 0 && reports[1].skipped == 1);
  OK(srnn_classifier_create(&c, vocab, dataset, 1, &made, &err));
  ARGUMENT(srnn_classifier_label, index, label(made, 0), label(made, 1));
  srnn_classifier_destroy(made);
  ARGUMENT(srnn_classifier_predict, batch_size, predicted(3), predicted(0)); /* the size changes no result, but 0 is none */
  CHECK(predicted(3) == predicted(8));
}

/* ---- Word vectors. ---- */

static const char *vectors_file;

/* The file's words and vectors, and one that is made of subwords; or why it is not read. */
static uint64_t run_vectors(const srnn_vectors_options *options) {
  srnn_vectors *v;
  char text[64];
  float values[512];
  size_t i, dim;
  uint64_t result;
  srnn_status status = srnn_vectors_open(vectors_file, options, &v, &err);
  if (status != SRNN_OK) return digest(&status, sizeof status);
  n = srnn_vectors_word_count(v);
  dim = srnn_vectors_dim(v);
  CHECK(dim <= COUNT(values));
  result = digest(&n, sizeof n);
  for (i = 0; i < srnn_vectors_word_count(v) && i < 20; ++i) {
    OK(srnn_vectors_word(v, i, text, sizeof text, &n, &err));
    result = mix(result, text, n);
    OK(srnn_vectors_get(v, text, values, dim, &err));
    result = mix(result, values, dim * sizeof *values);
  }
  status = srnn_vectors_get(v, "neverseenword", values, dim, &err);
  result = mix(result, &status, sizeof status);
  srnn_vectors_destroy(v);
  return result;
}

/* The table that a vocabulary gets, and whether it is frozen. */
static uint64_t run_embedding(const srnn_vectors_options *options) {
  static const char *const words[4] = {"one", "two", "never", "seen"};
  srnn_vocab *v;
  srnn_embedding *e;
  uint64_t result;
  int32_t frozen;
  OK(srnn_vocab_create(words, COUNT(words), 1, 0, &v, &err));
  OK(srnn_embedding_open_vectors(vectors_file, v, NULL, 0, options, &e, NULL, &err));
  n = srnn_embedding_num_embeddings(e) * srnn_embedding_dim(e);
  OK(srnn_embedding_read_rows(e, 0, p, n, &err));
  frozen = srnn_embedding_is_frozen(e);
  result = mix(of_floats(p, n), &frozen, sizeof frozen);
  srnn_embedding_destroy(e);
  srnn_vocab_destroy(v);
  return result;
}

/* A file of tests/vectors, which lies beside this one's folder. */
static const char *beside(const char *name) {
  static char path[512];
  const char *here = strstr(__FILE__, "capi-tests/");
  const int len = here == NULL ? 0 : (int)(here - __FILE__);
  snprintf(path, sizeof path, "%.*stests/vectors/%s", len, __FILE__, name);
  return path;
}

static void vectors(void) {
  static const char packed[] =
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xcf\x4b\x55\x30\x54\x30\xe2\x2a\x29\xcf\x57\x30\x56\x30\xe1\x2a\xc9"
      "\x28\x4a\x4d\x55\x30\x55\x30\xe3\x02\x00\x59\xc7\xd5\xf3\x1a\x00\x00\x00";
  srnn_vectors_options o;
  srnn_vectors *none = NULL;
  vectors_file = VECTORS;
  srnn_vectors_options_init(&o);
  write_text(VECTORS, "1 1\nb 3\n"); /* one word, or two */
  FIELD(srnn_vectors_options, format, run_vectors, &o, SRNN_VECTORS_FORMAT_GLOVE);
  write_text(VECTORS, "one 1 2\n\xff 3 4\n");
  FIELD(srnn_vectors_options, invalid_utf8, run_vectors, &o, SRNN_INVALID_UTF8_REPLACE);
  FIELD(srnn_vectors_options, invalid_utf8, run_vectors, &o, SRNN_INVALID_UTF8_REFUSE);
  o.invalid_utf8 = SRNN_INVALID_UTF8_REFUSE;
  FIELD(srnn_vectors_options, skip_bad_rows, run_vectors, &o, 1);
  o.invalid_utf8 = SRNN_INVALID_UTF8_KEEP;
  FIELD(srnn_vectors_options, member, run_vectors, &o, "table.txt"); /* of no archive; vectors.c opens one */
  write_text(VECTORS, "ONE 1 2\ntwo 3 4\ntwo 5 6\n");
  FIELD(srnn_vectors_options, refuse_duplicates, run_vectors, &o, 1);
  FIELD(srnn_vectors_options, dim, run_vectors, &o, 3);
  FIELD(srnn_vectors_options, limit, run_vectors, &o, 1);
  FIELD(srnn_vectors_options, fold_case, run_embedding, &o, 1);
  FIELD(srnn_vectors_options, unknown, run_embedding, &o, SRNN_UNKNOWN_VECTOR_ZERO);
  FIELD(srnn_vectors_options, unknown, run_embedding, &o, SRNN_UNKNOWN_VECTOR_MEAN);
  FIELD(srnn_vectors_options, frozen, run_embedding, &o, 1);
  FIELD(srnn_vectors_options, seed, run_embedding, &o, (uint64_t)1 << 40);
  o.limit = 1;
  FIELD(srnn_vectors_options, struct_size, run_vectors, &o, 40); /* ends before limit */
  o.limit = 0;
  write_bytes(VECTORS, packed, sizeof packed - 1);
  FIELD(srnn_vectors_options, max_decompressed, run_vectors, &o, 25); /* of 26 bytes */
  vectors_file = beside("fasttext_skipgram.bin");
  FIELD(srnn_vectors_options, subwords, run_vectors, &o, 0);
  RESERVED(srnn_vectors_options, reserved0, &o, srnn_vectors_open(VECTORS, given, &none, &err));
  RESERVED(srnn_vectors_options, reserved1, &o, srnn_vectors_open(VECTORS, given, &none, &err));
  RESERVED(srnn_vectors_options, reserved, &o, srnn_vectors_open(VECTORS, given, &none, &err));
  CHECK(none == NULL);
}

static uint64_t word(const srnn_vectors *v, size_t index) {
  char text[16];
  OK(srnn_vectors_word(v, index, text, sizeof text, &n, &err));
  return digest(text, strlen(text));
}

static uint64_t similar(const srnn_vectors *v, size_t a, size_t b) {
  float s;
  OK(srnn_vectors_similarity(v, a, b, &s, &err));
  return digest(&s, sizeof s);
}

static uint64_t saved(const srnn_vectors *v, int32_t format) {
  OK(srnn_vectors_save(v, OUT, format, &err));
  return of_file(OUT);
}

static uint64_t covered(const srnn_coverage *coverage, int32_t kind, int tokens_too) {
  return tokens_too ? srnn_coverage_token_count(coverage, kind) : srnn_coverage_word_count(coverage, kind);
}

static uint64_t tensor_name(size_t index) {
  static const size_t shape[1] = {1};
  static const float one[1] = {1};
  srnn_tensor_writer *w;
  srnn_tensor_file *f;
  char text[16];
  OK(srnn_tensor_writer_create(&w, &err));
  OK(srnn_tensor_writer_add(w, "a", shape, 1, one, 1, &err));
  OK(srnn_tensor_writer_add(w, "b", shape, 1, one, 1, &err));
  OK(srnn_tensor_writer_save(w, OUT, NULL, &err));
  srnn_tensor_writer_destroy(w);
  OK(srnn_tensor_file_open(OUT, &f, &err));
  OK(srnn_tensor_file_name(f, index, text, sizeof text, &n, &err));
  srnn_tensor_file_destroy(f);
  remove(OUT);
  return digest(text, strlen(text));
}

static void lookups(void) {
  static const char *const words[3] = {"one", "two", "never"};
  static const uint64_t counts[5] = {0, 0, 7, 2, 1};
  srnn_vectors *v;
  srnn_vocab *vocabulary_of;
  srnn_embedding *e;
  srnn_coverage *coverage;
  write_text(VECTORS, "one 1 2\ntwo 3 -4\nthree 5 6\n");
  OK(srnn_vectors_open(VECTORS, NULL, &v, &err));
  ARGUMENT(srnn_vectors_word, index, word(v, 0), word(v, 1));
  ARGUMENT(srnn_vectors_similarity, a, similar(v, 0, 1), similar(v, 2, 1));
  ARGUMENT(srnn_vectors_similarity, b, similar(v, 0, 1), similar(v, 0, 2));
  ARGUMENT(srnn_vectors_save, format, saved(v, SRNN_VECTORS_FORMAT_WORD2VEC_TEXT), saved(v, SRNN_VECTORS_FORMAT_WORD2VEC_BINARY));
  ARGUMENT(srnn_vectors_save, format, saved(v, SRNN_VECTORS_FORMAT_WORD2VEC_TEXT), saved(v, SRNN_VECTORS_FORMAT_SAFETENSORS));
  srnn_vectors_destroy(v);
  OK(srnn_vocab_create(words, COUNT(words), 1, 0, &vocabulary_of, &err));
  OK(srnn_embedding_open_vectors(VECTORS, vocabulary_of, counts, COUNT(counts), NULL, &e, &coverage, &err));
  ARGUMENT(srnn_coverage_word_count, kind, covered(coverage, SRNN_MATCH_EXACT, 0), covered(coverage, SRNN_MATCH_LOWER, 0));
  ARGUMENT(srnn_coverage_token_count, kind, covered(coverage, SRNN_MATCH_EXACT, 1), covered(coverage, SRNN_MATCH_MISSING, 1));
  srnn_coverage_destroy(coverage);
  srnn_embedding_destroy(e);
  srnn_vocab_destroy(vocabulary_of);
  ARGUMENT(srnn_tensor_file_name, index, tensor_name(0), tensor_name(1));
}

/* ---- How strictly files are read and written. ---- */

static const size_t one_value[1] = {1};
static const float nan_value[1] = {(float)NAN}, plain_value[1] = {2};

/* Why a tensor of NaN is not written, or what was written. */
static uint64_t run_save(const srnn_save_options *options) {
  srnn_tensor_writer *w;
  srnn_status status;
  OK(srnn_tensor_writer_create(&w, &err));
  OK(srnn_tensor_writer_add(w, "a", one_value, 1, nan_value, 1, &err));
  status = srnn_tensor_writer_save(w, OUT, options, &err);
  srnn_tensor_writer_destroy(w);
  return status == SRNN_OK ? of_file(OUT) : (uint64_t)status;
}

/* A dense layer without bias from a file with the weight and perhaps another tensor. */
static uint64_t loaded(const srnn_load_options *options, const float *weight, int has_other) {
  static const size_t shape[2] = {1, 1};
  srnn_save_options any;
  srnn_tensor_writer *w;
  srnn_tensor_file *f;
  srnn_dense *d;
  srnn_status status;
  OK(srnn_tensor_writer_create(&w, &err));
  OK(srnn_tensor_writer_add(w, "weight", shape, 2, weight, 1, &err));
  if (has_other) OK(srnn_tensor_writer_add(w, "other", one_value, 1, plain_value, 1, &err));
  srnn_save_options_init(&any);
  any.allow_non_finite = 1;
  OK(srnn_tensor_writer_save(w, OUT, &any, &err));
  srnn_tensor_writer_destroy(w);
  OK(srnn_tensor_file_open(OUT, &f, &err));
  remove(OUT);
  OK(srnn_dense_create(1, 1, 0, &d, &err));
  status = srnn_dense_load_tensors(d, f, "", options, &err);
  OK(srnn_dense_read_values(d, p, 1, &err));
  srnn_dense_destroy(d);
  srnn_tensor_file_destroy(f);
  return mix(of_floats(p, 1), &status, sizeof status);
}

static uint64_t run_load(const srnn_load_options *options) { return loaded(options, nan_value, 0); }
static uint64_t run_unused(const srnn_load_options *options) { return loaded(options, plain_value, 1); }

static void strictness(void) {
  srnn_save_options save;
  srnn_load_options load;
  srnn_tensor_writer *w;
  srnn_tensor_file *f;
  srnn_save_options_init(&save);
  srnn_load_options_init(&load);
  FIELD(srnn_save_options, allow_non_finite, run_save, &save, 1);
  FIELD(srnn_load_options, allow_non_finite, run_load, &load, 1);
  FIELD(srnn_load_options, allow_unused, run_unused, &load, 1);
  OK(srnn_tensor_writer_create(&w, &err));
  OK(srnn_tensor_writer_add(w, "a", one_value, 1, plain_value, 1, &err));
  RESERVED(srnn_save_options, reserved, &save, srnn_tensor_writer_save(w, OUT, given, &err));
  OK(srnn_tensor_writer_save(w, OUT, NULL, &err));
  srnn_tensor_writer_destroy(w);
  OK(srnn_tensor_file_open(OUT, &f, &err));
  remove(OUT);
  RESERVED(srnn_load_options, reserved0, &load, srnn_tensor_file_read(f, "a", given, p, 1, &err));
  RESERVED(srnn_load_options, reserved, &load, srnn_tensor_file_read(f, "a", given, p, 1, &err));
  srnn_tensor_file_destroy(f);
  save.allow_non_finite = 1;
  save.reserved[0] = 1;
  FIELD(srnn_save_options, struct_size, run_save, &save, 8); /* ends before reserved */
  load.allow_unused = 1;
  FIELD(srnn_load_options, struct_size, run_unused, &load, 8); /* ends before allow_unused */
}

/* ---- The library as a whole. ---- */

static uint64_t of_text(const char *text) { return digest(text, strlen(text)); }

static uint64_t limited(int32_t isa) {
  int32_t chosen = -1;
  OK(srnn_isa_set_limit(isa, &err));
  OK(srnn_isa_choose(&chosen, &err));
  return (uint64_t)chosen;
}

static uint64_t threads(size_t count) {
  srnn_pool *pool;
  OK(srnn_pool_create(count, &pool, &err));
  n = srnn_pool_thread_count(pool);
  srnn_pool_destroy(pool);
  return n;
}

static void library(void) {
  int32_t chosen, usual;
  srnn_error errors[2];
  ARGUMENT(srnn_status_string, status, of_text(srnn_status_string(SRNN_OK)), of_text(srnn_status_string(SRNN_ERROR_IO)));
  ARGUMENT(srnn_isa_name, isa, of_text(srnn_isa_name(SRNN_ISA_AVX2)), of_text(srnn_isa_name(SRNN_ISA_SCALAR)));
  ARGUMENT(srnn_isa_is_available, isa, (uint64_t)srnn_isa_is_available(SRNN_ISA_SCALAR), (uint64_t)srnn_isa_is_available(99));
  ARGUMENT(srnn_pool_create, threads, threads(1), threads(2));
  CHECK(srnn_isa_choose(&usual, &errors[0]) == SRNN_OK);
  /* Where there is something to limit: the environment may have chosen the scalar kernels. */
  if (usual != SRNN_ISA_SCALAR) ARGUMENT(srnn_isa_set_limit, isa, limited(SRNN_ISA_SCALAR), limited(usual));
  CHECK(srnn_isa_choose(&chosen, &errors[0]) == SRNN_OK);
  CHECK(srnn_vocab_create(NULL, 1, 1, 0, &vocab, &errors[1]) == SRNN_ERROR_NULL_POINTER);
  OUTPUT(srnn_error, status, &errors[0], &errors[1]);
  OUTPUT(srnn_error, message, &errors[0], &errors[1]);
}

int main(void) {
  texts();
  classifiers();
  vectors();
  lookups();
  positions();
  strictness();
  library();
  srnn_vocab_destroy(vocab);
  srnn_dataset_destroy(dataset);
  remove(DATA);
  remove(VECTORS);
  return finish_effects();
}
