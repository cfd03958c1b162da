/* Data sets: every option of a file and of a vocabulary changes what it says, what was found is told, and a vocabulary keeps
 * how texts are normalized. */

#include "check.h"

#define DATA "capi_dataset.txt"
#define MODEL "capi_dataset.safetensors"

static srnn_dataset_options file_options;
static srnn_vocab_options word_options;

static void write_text(const char *text) {
  FILE *file = fopen(DATA, "wb");
  CHECK(file != NULL);
  if (file == NULL) return;
  fputs(text, file);
  fclose(file);
}

static void defaults(void) {
  srnn_dataset_options_init(&file_options);
  srnn_vocab_options_init(&word_options);
}

/* Whether what is read now has `count` examples, the first of `label` and of `tokens` tokens, and `words` words. */
static int reads(size_t count, const char *label, size_t tokens, size_t words) {
  srnn_dataset *d;
  srnn_vocab *v;
  const uint32_t *targets, *ids;
  char text[32];
  size_t n, m;
  int same;
  OK(srnn_dataset_open_train(DATA, &file_options, &word_options, &d, &v, &err));
  OK(srnn_dataset_targets(d, 0, &targets, &n, &err));
  OK(srnn_dataset_label(d, targets[0], text, sizeof text, &n, &err));
  OK(srnn_dataset_tokens(d, 0, &ids, &m, &err));
  same = srnn_dataset_example_count(d) == count && strcmp(text, label) == 0 && m == tokens && srnn_vocab_word_count(v) == words;
  if (!same) printf("%d examples, label %s, %d tokens, %d words\n", (int)srnn_dataset_example_count(d), text, (int)m, (int)srnn_vocab_word_count(v));
  srnn_dataset_destroy(d);
  srnn_vocab_destroy(v);
  return same;
}

static void options(void) {
  memset(&file_options, 0xff, sizeof file_options);
  memset(&word_options, 0xff, sizeof word_options);
  srnn_dataset_options_init(NULL);
  srnn_vocab_options_init(NULL);
  defaults();
  CHECK(file_options.struct_size == sizeof file_options && file_options.mode == SRNN_LABEL_MODE_SINGLE);
  CHECK(file_options.delimiter == '\t' && file_options.quotes == 0 && file_options.header == 0);
  CHECK(file_options.skip_bad_lines == 0 && file_options.label_column == 0 && file_options.text_column == 1);
  CHECK(file_options.label_name == NULL && file_options.text_name == NULL && file_options.max_tokens == 0);
  CHECK(word_options.struct_size == sizeof word_options && word_options.lowercase == 1 && word_options.nfc == 0);
  CHECK(word_options.min_count == 1 && word_options.max_size == UINT64_MAX);

  write_text("pos,neg\tGood good film\nneg\ta film e\xcc\x81 \xc3\xa9\n");
  CHECK(reads(2, "pos,neg", 3, 7));
  file_options.mode = SRNN_LABEL_MODE_MULTI;
  CHECK(reads(2, "neg", 3, 7));
  defaults();
  file_options.max_tokens = 2;
  CHECK(reads(2, "pos,neg", 2, 5));
  defaults();
  word_options.lowercase = 0;
  CHECK(reads(2, "pos,neg", 3, 8));
  defaults();
  word_options.nfc = 1;
  CHECK(reads(2, "pos,neg", 3, 6));
  defaults();
  word_options.min_count = 2;
  CHECK(reads(2, "pos,neg", 3, 4));
  defaults();
  word_options.max_size = 3;
  CHECK(reads(2, "pos,neg", 3, 3));

  write_text("a good film,pos,1\nthe bad,neg,2\n");
  defaults();
  file_options.delimiter = ',';
  CHECK(reads(2, "a good film", 1, 4));
  file_options.label_column = 1;
  file_options.text_column = 0;
  CHECK(reads(2, "pos", 3, 7));
  file_options.label_column = 2;
  CHECK(reads(2, "1", 3, 7));
  file_options.label_column = 0;
  file_options.text_column = 2;
  CHECK(reads(2, "a good film", 1, 4));

  write_text("text,label\n\"a \"\"film\"\", good\",pos\n\"bad\",neg\n");
  defaults();
  file_options.delimiter = ',';
  file_options.quotes = 1;
  CHECK(reads(3, "text", 1, 5));
  file_options.header = 1;
  CHECK(reads(2, "a \"film\", good", 1, 4));
  file_options.label_name = "label";
  file_options.text_name = "text";
  CHECK(reads(2, "pos", 6, 8));
  file_options.label_name = NULL;
  file_options.label_column = 1;
  CHECK(reads(2, "pos", 6, 8));
  file_options.text_name = NULL;
  file_options.text_column = 0;
  CHECK(reads(2, "pos", 6, 8));

  write_text("pos\tgood\nbroken\n\n \nneg\tbad\nneg\tvery bad\n");
  defaults();
  file_options.skip_bad_lines = 1;
  CHECK(reads(3, "pos", 1, 5));
}

#define WRONG(word, options, field, value)                                                                      \
  do {                                                                                                          \
    defaults();                                                                                                 \
    options.field = (value);                                                                                    \
    BAD_ARGUMENT(word, srnn_dataset_open_train(DATA, &file_options, &word_options, &no_data, &no_vocab, &err)); \
    CHECK(no_data == NULL && no_vocab == NULL);                                                                 \
  } while (0)

static void misuse(void) {
  srnn_dataset *no_data = NULL;
  srnn_vocab *no_vocab = NULL;
  WRONG("mode 2", file_options, mode, 2);
  WRONG("delimiter is 300", file_options, delimiter, 300);
  WRONG("delimiter is -1", file_options, delimiter, -1);
  WRONG("delimiter", file_options, delimiter, '\n');
  WRONG("quotes is 2", file_options, quotes, 2);
  WRONG("header is -1", file_options, header, -1);
  WRONG("skip_bad_lines is 7", file_options, skip_bad_lines, 7);
  WRONG("expected two", file_options, label_column, 1);
  WRONG("expected two", file_options, text_column, UINT64_MAX);
  WRONG("no header", file_options, label_name, "label");
  WRONG("no header", file_options, text_name, "text");
  WRONG("struct_size", file_options, struct_size, 0);
  WRONG("reserved", file_options, reserved[3], 1);
  WRONG("lowercase is 5", word_options, lowercase, 5);
  WRONG("nfc is 2", word_options, nfc, 2);
  WRONG("max_size", word_options, max_size, 1);
  WRONG("struct_size", word_options, struct_size, 1);
  WRONG("reserved", word_options, reserved_flag, 1);
  WRONG("reserved", word_options, reserved[0], 1);
  defaults();
  file_options.header = 1;
  file_options.label_name = "\xff";
  BAD_ARGUMENT("UTF-8", srnn_dataset_open_train(DATA, &file_options, NULL, &no_data, &no_vocab, &err));
  file_options.label_name = "no\nsuch";
  REFUSED(SRNN_ERROR_INVALID_DATA, "no column 'no\\nsuch'", srnn_dataset_open_train(DATA, &file_options, NULL, &no_data, &no_vocab, &err));
  CHECK(no_data == NULL && no_vocab == NULL);
}

static void found(void) {
  srnn_dataset *d;
  srnn_vocab *v;
  srnn_dataset_summary s;
  uint64_t counts[3] = {77, 77, 77};
  char text[200] = "untouched";
  size_t n = 77;
  write_text("label\ttext\n \npos\tgood film\nneg\tbad\nbroken\npos\tvery very good\nneg\t\n");
  defaults();
  file_options.skip_bad_lines = 1;
  file_options.max_tokens = 1;
  OK(srnn_dataset_open_train(DATA, &file_options, NULL, &d, &v, &err));
  memset(&s, 0xff, sizeof s);
  OK(srnn_dataset_get_summary(d, &s, &err));
  CHECK(s.blank_lines == 1 && s.skipped_lines == 2 && s.first_skipped_line == 5 && s.cut_texts == 2 && s.cut_tokens == 3);
  CHECK(s.labels_once == 2 && s.labels_nearly_unique == 0 && s.header_suspected == 0 && s.reserved[3] == 0);
  IS_NULL("dataset", srnn_dataset_get_summary(NULL, &s, &err));
  IS_NULL("summary", srnn_dataset_get_summary(d, NULL, &err));
  IS_NULL("dataset", srnn_dataset_skip_reason(NULL, text, sizeof text, &n, &err));
  IS_NULL("text_len", srnn_dataset_skip_reason(d, text, sizeof text, NULL, &err));
  BAD_SHAPE("room", srnn_dataset_skip_reason(d, text, 5, &n, &err));
  CHECK(n == 77 && strcmp(text, "untouched") == 0);
  OK(srnn_dataset_skip_reason(d, text, sizeof text, &n, &err));
  CHECK(n == strlen(text) && strstr(text, DATA ":5: 1 column") == text);
  CHECK(srnn_dataset_label_count(d) == 3 && srnn_dataset_label_count(NULL) == 0);
  OK(srnn_dataset_label(d, 1, text, sizeof text, &n, &err));
  CHECK(n == 3 && strcmp(text, "neg") == 0);
  IS_NULL("dataset", srnn_dataset_label(NULL, 1, text, sizeof text, &n, &err));
  BAD_ARGUMENT("label 3", srnn_dataset_label(d, 3, text, sizeof text, &n, &err));
  IS_NULL("dataset", srnn_dataset_label_counts(NULL, counts, 3, &err));
  IS_NULL("counts", srnn_dataset_label_counts(d, NULL, 3, &err));
  BAD_SHAPE("counts", srnn_dataset_label_counts(d, counts, 2, &err));
  CHECK(counts[0] == 77 && counts[1] == 77);
  OK(srnn_dataset_label_counts(d, counts, 3, &err));
  CHECK(counts[0] == 1 && counts[1] == 1 && counts[2] == 2);
  srnn_dataset_destroy(d);
  srnn_vocab_destroy(v);

  write_text("label\ttext\npos\tx\nneg\ty\npos\tz\nneg\tz\n");
  OK(srnn_dataset_open_train(DATA, NULL, NULL, &d, &v, &err));
  OK(srnn_dataset_get_summary(d, &s, &err));
  CHECK(s.header_suspected == 1 && s.skipped_lines == 0 && s.first_skipped_line == 0);
  OK(srnn_dataset_skip_reason(d, text, sizeof text, &n, &err));
  CHECK(n == 0 && text[0] == 0);
  srnn_dataset_destroy(d);
  srnn_vocab_destroy(v);
  write_text("a b\tx\na c\tx\na d\ty\na e\ty\na f\tx\na g\tx\na h\ty\na i\ty\na j\tx\na k\tx\na l\ty\n");
  OK(srnn_dataset_open_train(DATA, NULL, NULL, &d, &v, &err));
  OK(srnn_dataset_get_summary(d, &s, &err));
  CHECK(s.labels_nearly_unique == 1 && s.labels_once == 11);
  srnn_dataset_destroy(d);
  srnn_vocab_destroy(v);
}

/* A vocabulary says how texts are cut, everywhere; numbers of another one are refused. */
static void normalization(void) {
  static const char *const small[2] = {"good", "caf\xc3\xa9"}, *const capital[1] = {"Good"}, *const parted[1] = {"e\xcc\x81"};
  srnn_vocab *v, *other, *no_vocab = NULL;
  srnn_dataset *d, *test, *no_data = NULL;
  srnn_classifier_config config;
  srnn_classifier *c, *back, *none = NULL;
  srnn_classifier_session *s;
  srnn_trainer *t;
  srnn_optimizer_config adam;
  uint32_t ids[3], examples[2] = {0, 1};
  int32_t lowercase = 77, nfc = 77, i;
  float p[2], q[2], all[6];
  size_t n;
  for (i = 0; i < 4; ++i) {
    OK(srnn_vocab_create(small, 2, i & 1, i >> 1, &v, &err));
    OK(srnn_vocab_get_normalization(v, &lowercase, &nfc, &err));
    CHECK(lowercase == (i & 1) && nfc == i >> 1);
    OK(srnn_vocab_encode(v, "Good good cafe\xcc\x81", ids, 3, &n, &err));
    CHECK(n == 3 && ids[0] == (i & 1 ? 2u : 1u) && ids[1] == 2 && ids[2] == (i >> 1 ? 3u : 1u));
    srnn_vocab_destroy(v);
  }
  BAD_ARGUMENT("lowercase is 2", srnn_vocab_create(small, 2, 2, 0, &no_vocab, &err));
  BAD_ARGUMENT("nfc is -1", srnn_vocab_create(small, 2, 0, -1, &no_vocab, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "'Good'", srnn_vocab_create(capital, 1, 1, 0, &no_vocab, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "nfc=true", srnn_vocab_create(parted, 1, 0, 1, &no_vocab, &err));
  CHECK(no_vocab == NULL);
  OK(srnn_vocab_create(capital, 1, 0, 0, &v, &err));
  lowercase = nfc = 77;
  IS_NULL("vocab", srnn_vocab_get_normalization(NULL, &lowercase, &nfc, &err));
  IS_NULL("lowercase", srnn_vocab_get_normalization(v, NULL, &nfc, &err));
  IS_NULL("nfc", srnn_vocab_get_normalization(v, &lowercase, NULL, &err));
  CHECK(lowercase == 77 && nfc == 77);
  srnn_vocab_destroy(v);

  write_text("pos\tGOOD\nneg\tgood\npos\tGOOD good\n");
  defaults();
  word_options.lowercase = 0;
  OK(srnn_dataset_open_train(DATA, NULL, &word_options, &d, &v, &err));
  word_options.nfc = 1;
  OK(srnn_dataset_open_train(DATA, NULL, &word_options, &test, &other, &err));
  srnn_classifier_config_init(&config);
  config.embedding_dim = config.hidden_size = 4;
  BAD_ARGUMENT("nfc=false, expected lowercase=false nfc=true", srnn_classifier_create(&config, other, d, 1, &none, &err));
  CHECK(none == NULL);
  OK(srnn_classifier_create(&config, v, d, 1, &c, &err));
  srnn_vocab_destroy(v);
  srnn_vocab_destroy(other);
  /* In use as in training, and after it was saved. */
  OK(srnn_classifier_save(c, MODEL, &err));
  OK(srnn_classifier_open(MODEL, &back, &err));
  OK(srnn_classifier_session_create(&s, &err));
  OK(srnn_classifier_classify(c, s, "GOOD", p, 2, &err));
  OK(srnn_classifier_classify(back, s, "GOOD", q, 2, &err));
  CHECK(same_bits(p, q, 2));
  OK(srnn_classifier_predict(back, s, d, 2, all, 6, &err));
  CHECK(same_bits(p, all, 2));
  OK(srnn_classifier_classify(back, s, "good", q, 2, &err));
  CHECK(same_bits(q, all + 2, 2) && !same_bits(p, q, 2));

  BAD_ARGUMENT("nfc=true, expected lowercase=false nfc=false", srnn_classifier_predict(c, s, test, 2, all, 6, &err));
  srnn_optimizer_config_init(&adam, SRNN_OPTIMIZER_ADAM);
  OK(srnn_trainer_create(c, &adam, 1, 1, &t, &err));
  BAD_ARGUMENT("nfc=true", srnn_trainer_step(t, c, test, examples, 2, NULL, &err));
  srnn_dataset_destroy(test);

  /* Options of a second file. */
  file_options.max_tokens = 1;
  OK(srnn_dataset_open(c, DATA, &file_options, &test, &err));
  OK(srnn_classifier_predict(c, s, test, 2, all, 6, &err));
  CHECK(same_bits(p, all, 2) && same_bits(p, all + 4, 2));
  srnn_dataset_destroy(test);
  file_options.mode = SRNN_LABEL_MODE_MULTI;
  BAD_ARGUMENT("label mode is 1, expected the classifier's, 0", srnn_dataset_open(c, DATA, &file_options, &no_data, &err));
  file_options.mode = 9;
  BAD_ARGUMENT("mode 9", srnn_dataset_open(c, DATA, &file_options, &no_data, &err));
  CHECK(no_data == NULL);
  srnn_trainer_destroy(t);
  srnn_classifier_session_destroy(s);
  srnn_classifier_destroy(back);
  srnn_classifier_destroy(c);
  srnn_dataset_destroy(d);
}

int main(void) {
  options();
  misuse();
  found();
  normalization();
  CHECK(remove(DATA) == 0 && remove(MODEL) == 0);
  return finish();
}
