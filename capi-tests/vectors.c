/* Pretrained word vectors: as a table, as an embedding, as the start of a classifier. */

#include "check.h"

#define FILE_NAME "capi_vectors.txt"
#define BAD_FILE "capi_bad_vectors.txt"
#define COPY "capi_vectors.copy"
#define DATA "capi_vectors.tsv"
#define NO_FILE "no_such_directory/file"

enum { DIM = 2 };

static void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL);
  if (file == NULL) return;
  fputs(text, file);
  fclose(file);
}

static void options(void) {
  srnn_vectors_options o;
  srnn_vectors *v = NULL;
  memset(&o, 0xff, sizeof o);
  srnn_vectors_options_init(&o);
  CHECK(o.struct_size == sizeof o && o.format == SRNN_VECTORS_FORMAT_ANY && o.subwords == 1 && o.dim == 0);
  CHECK(o.unknown == SRNN_UNKNOWN_VECTOR_RANDOM && o.frozen == 0 && o.reserved[3] == 0);
  srnn_vectors_options_init(NULL);
  o.dim = 3;
  BAD_SHAPE("2 values, expected 3", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.dim = 0;
  o.format = 7;
  BAD_ARGUMENT("format 7", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.format = SRNN_VECTORS_FORMAT_FASTTEXT;
  REFUSED(SRNN_ERROR_INVALID_DATA, "not a fastText model", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.format = SRNN_VECTORS_FORMAT_GLOVE;
  o.invalid_utf8 = 3;
  BAD_ARGUMENT("invalid_utf8 is 3", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.invalid_utf8 = SRNN_INVALID_UTF8_REPLACE;
  o.refuse_duplicates = 2;
  BAD_ARGUMENT("refuse_duplicates is 2", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.refuse_duplicates = 1;
  REFUSED(SRNN_ERROR_INVALID_DATA, "line 5: the word 'cat' comes twice", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.refuse_duplicates = 0;
  o.subwords = -1;
  BAD_ARGUMENT("subwords is -1", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.subwords = 1;
  o.reserved[0] = 1;
  BAD_ARGUMENT("reserved", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.reserved[0] = 0;
  CHECK(v == NULL);
  o.limit = 2;
  OK(srnn_vectors_open(FILE_NAME, &o, &v, &err));
  CHECK(srnn_vectors_count(v) == 2);
  srnn_vectors_destroy(v);
}

static void table(void) {
  static const size_t without[1] = {0}, plus[2] = {0, 1}, minus[1] = {2}, beyond[1] = {4}, leave[2] = {0, SIZE_MAX};
  static const float query[DIM] = {1, 0}, two[2 * DIM] = {1, 0, -1, 0}, nan_query[DIM] = {(float)NAN, 0};
  srnn_vectors *v, *none = NULL;
  srnn_pool *pool;
  float values[DIM + 1] = {77, 77, 77}, similar[5], s = 77;
  size_t index = 77, n = 77, found[5], counts[2];
  char text[16] = "untouched";
  OK(srnn_vectors_open(FILE_NAME, NULL, &v, &err));
  IS_NULL("path", srnn_vectors_open(NULL, NULL, &none, &err));
  IS_NULL("vectors", srnn_vectors_open(FILE_NAME, NULL, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_vectors_open(NO_FILE, NULL, &none, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "line 2", srnn_vectors_open(BAD_FILE, NULL, &none, &err));
  CHECK(none == NULL);
  CHECK(srnn_vectors_count(v) == 4 && srnn_vectors_dim(v) == DIM && srnn_vectors_duplicates(v) == 1);
  CHECK(srnn_vectors_file_format(v) == SRNN_VECTORS_FORMAT_GLOVE);
  CHECK(srnn_vectors_count(NULL) == 0 && srnn_vectors_dim(NULL) == 0 && srnn_vectors_duplicates(NULL) == 0);
  CHECK(srnn_vectors_file_format(NULL) == 0);

  IS_NULL("vectors", srnn_vectors_word(NULL, 0, text, sizeof text, &n, &err));
  IS_NULL("text is", srnn_vectors_word(v, 0, NULL, 4, &n, &err));
  IS_NULL("text_len", srnn_vectors_word(v, 0, text, sizeof text, NULL, &err));
  BAD_ARGUMENT("word 4", srnn_vectors_word(v, 4, text, sizeof text, &n, &err));
  BAD_SHAPE("room for 3", srnn_vectors_word(v, 0, text, 3, &n, &err));
  CHECK(strcmp(text, "untouched") == 0 && n == 77);
  OK(srnn_vectors_word(v, 3, text, sizeof text, &n, &err));
  CHECK(n == 2 && strcmp(text, "\xff\xfe") == 0);
  OK(srnn_vectors_word(v, 0, NULL, 0, &n, &err));
  CHECK(n == 3);

  IS_NULL("vectors", srnn_vectors_find(NULL, "cat", &index, &err));
  IS_NULL("word", srnn_vectors_find(v, NULL, &index, &err));
  IS_NULL("index", srnn_vectors_find(v, "cat", NULL, &err));
  REFUSED(SRNN_ERROR_NOT_FOUND, "'zebra'", srnn_vectors_find(v, "zebra", &index, &err));
  CHECK(index == 77);
  OK(srnn_vectors_find(v, "\xff\xfe", &index, &err));
  CHECK(index == 3);

  IS_NULL("vectors", srnn_vectors_get(NULL, "cat", values, DIM, &err));
  IS_NULL("word", srnn_vectors_get(v, NULL, values, DIM, &err));
  IS_NULL("values", srnn_vectors_get(v, "cat", NULL, DIM, &err));
  BAD_SHAPE("3 values", srnn_vectors_get(v, "cat", values, DIM + 1, &err));
  REFUSED(SRNN_ERROR_NOT_FOUND, "'zebra'", srnn_vectors_get(v, "zebra", values, DIM, &err));
  CHECK(all(values, DIM + 1, 77));
  OK(srnn_vectors_get(v, "dog", values, DIM, &err));
  CHECK(values[0] == 3 && values[1] == 4);

  IS_NULL("vectors", srnn_vectors_similarity(NULL, 0, 1, &s, &err));
  IS_NULL("similarity", srnn_vectors_similarity(v, 0, 1, NULL, &err));
  BAD_ARGUMENT("word 4", srnn_vectors_similarity(v, 0, 4, &s, &err));
  CHECK(s == 77);
  OK(srnn_vectors_similarity(v, 0, 1, &s, &err));
  CHECK(fabs(s - 0.6) < 1e-6);

  n = 77;
  IS_NULL("vectors", srnn_vectors_nearest(NULL, NULL, query, DIM, NULL, 0, found, 5, similar, 5, &n, &err));
  IS_NULL("query", srnn_vectors_nearest(v, NULL, NULL, DIM, NULL, 0, found, 5, similar, 5, &n, &err));
  IS_NULL("without", srnn_vectors_nearest(v, NULL, query, DIM, NULL, 1, found, 5, similar, 5, &n, &err));
  IS_NULL("indices", srnn_vectors_nearest(v, NULL, query, DIM, NULL, 0, NULL, 5, similar, 5, &n, &err));
  IS_NULL("similarities", srnn_vectors_nearest(v, NULL, query, DIM, NULL, 0, found, 5, NULL, 5, &n, &err));
  IS_NULL("count", srnn_vectors_nearest(v, NULL, query, DIM, NULL, 0, found, 5, similar, 5, NULL, &err));
  BAD_SHAPE("room for 4", srnn_vectors_nearest(v, NULL, query, DIM, NULL, 0, found, 5, similar, 4, &n, &err));
  BAD_SHAPE("query", srnn_vectors_nearest(v, NULL, query, 1, NULL, 0, found, 5, similar, 5, &n, &err));
  BAD_ARGUMENT("finite", srnn_vectors_nearest(v, NULL, nan_query, DIM, NULL, 0, found, 5, similar, 5, &n, &err));
  CHECK(n == 77);
  OK(srnn_pool_create(2, &pool, &err));
  OK(srnn_vectors_nearest(v, pool, query, DIM, without, 1, found, 5, similar, 5, &n, &err));
  CHECK(n == 3 && found[0] == 1 && found[1] == 3 && found[2] == 2);
  CHECK(fabs(similar[0] - 0.6) < 1e-6 && similar[1] == 0 && fabs(similar[2] + 1) < 1e-6);
  OK(srnn_vectors_nearest(v, NULL, query, DIM, NULL, 0, found, 1, similar, 1, &n, &err));
  CHECK(n == 1 && found[0] == 0);

  counts[0] = counts[1] = 77;
  IS_NULL("vectors",
          srnn_vectors_nearest_batch(NULL, NULL, two, 2 * DIM, NULL, 0, found, 4, similar, 4, counts, 2, &err));
  IS_NULL("queries",
          srnn_vectors_nearest_batch(v, NULL, NULL, 2 * DIM, NULL, 0, found, 4, similar, 4, counts, 2, &err));
  IS_NULL("without", srnn_vectors_nearest_batch(v, NULL, two, 2 * DIM, NULL, 2, found, 4, similar, 4, counts, 2, &err));
  IS_NULL("indices", srnn_vectors_nearest_batch(v, NULL, two, 2 * DIM, NULL, 0, NULL, 4, similar, 4, counts, 2, &err));
  IS_NULL("similarities",
          srnn_vectors_nearest_batch(v, NULL, two, 2 * DIM, NULL, 0, found, 4, NULL, 4, counts, 2, &err));
  IS_NULL("counts", srnn_vectors_nearest_batch(v, NULL, two, 2 * DIM, NULL, 0, found, 4, similar, 4, NULL, 2, &err));
  BAD_SHAPE("queries", srnn_vectors_nearest_batch(v, NULL, two, DIM, NULL, 0, found, 4, similar, 4, counts, 2, &err));
  BAD_SHAPE("without",
            srnn_vectors_nearest_batch(v, NULL, two, 2 * DIM, without, 1, found, 4, similar, 4, counts, 2, &err));
  BAD_SHAPE("similarities",
            srnn_vectors_nearest_batch(v, NULL, two, 2 * DIM, NULL, 0, found, 4, similar, 3, counts, 2, &err));
  BAD_SHAPE("multiple of 2",
            srnn_vectors_nearest_batch(v, NULL, two, 2 * DIM, NULL, 0, found, 5, similar, 5, counts, 2, &err));
  CHECK(counts[0] == 77 && counts[1] == 77);
  OK(srnn_vectors_nearest_batch(v, pool, two, 2 * DIM, leave, 2, found, 4, similar, 4, counts, 2, &err));
  CHECK(counts[0] == 2 && found[0] == 1 && found[1] == 3 && fabs(similar[0] - 0.6) < 1e-6);
  CHECK(counts[1] == 2 && found[2] == 2 && similar[2] > 0.999);
  OK(srnn_vectors_nearest_batch(v, NULL, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, &err));

  n = 77;
  IS_NULL("vectors", srnn_vectors_analogy(NULL, NULL, plus, 2, minus, 1, found, 5, similar, 5, &n, &err));
  IS_NULL("plus", srnn_vectors_analogy(v, NULL, NULL, 2, minus, 1, found, 5, similar, 5, &n, &err));
  BAD_ARGUMENT("no words", srnn_vectors_analogy(v, NULL, NULL, 0, NULL, 0, found, 5, similar, 5, &n, &err));
  BAD_ARGUMENT("word 4", srnn_vectors_analogy(v, NULL, plus, 2, beyond, 1, found, 5, similar, 5, &n, &err));
  CHECK(n == 77);
  OK(srnn_vectors_analogy(v, pool, plus, 2, minus, 1, found, 5, similar, 5, &n, &err));
  CHECK(n == 1 && found[0] == 3 && similar[0] == 0);
  srnn_pool_destroy(pool);

  IS_NULL("vectors", srnn_vectors_save(NULL, COPY, SRNN_VECTORS_FORMAT_SAFETENSORS, &err));
  IS_NULL("path", srnn_vectors_save(v, NULL, SRNN_VECTORS_FORMAT_SAFETENSORS, &err));
  BAD_ARGUMENT("only read", srnn_vectors_save(v, COPY, SRNN_VECTORS_FORMAT_NAVEC, &err));
  BAD_ARGUMENT("format 9", srnn_vectors_save(v, COPY, 9, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_vectors_save(v, NO_FILE, SRNN_VECTORS_FORMAT_SAFETENSORS, &err));
  OK(srnn_vectors_save(v, COPY, SRNN_VECTORS_FORMAT_WORD2VEC_BINARY, &err));
  srnn_vectors_destroy(v);
  OK(srnn_vectors_open(COPY, NULL, &v, &err));
  CHECK(srnn_vectors_count(v) == 4 && srnn_vectors_file_format(v) == SRNN_VECTORS_FORMAT_WORD2VEC_BINARY);
  srnn_vectors_destroy(v);
  srnn_vectors_destroy(NULL);
  remove(COPY);
}

static void embedding(void) {
  static const char *const words[4] = {"Cat", "zebra", "dog", "DOG"};
  static const uint64_t counts[6] = {0, 1, 5, 4, 3, 2};
  srnn_vectors_options o;
  srnn_vocab *v;
  srnn_embedding *e = NULL;
  srnn_coverage *c = NULL;
  float rows[6 * DIM];
  uint32_t ids[2] = {77, 77};
  size_t n = 77;
  OK(srnn_vocab_create(words, 4, 0, 0, &v, &err));
  srnn_vectors_options_init(&o);
  IS_NULL("path", srnn_embedding_load_file(NULL, v, NULL, 0, &o, &e, &c, &err));
  IS_NULL("vocab", srnn_embedding_load_file(FILE_NAME, NULL, NULL, 0, &o, &e, &c, &err));
  IS_NULL("embedding", srnn_embedding_load_file(FILE_NAME, v, NULL, 0, &o, NULL, &c, &err));
  IS_NULL("counts", srnn_embedding_load_file(FILE_NAME, v, NULL, 6, &o, &e, &c, &err));
  BAD_SHAPE("counts", srnn_embedding_load_file(FILE_NAME, v, counts, 5, &o, &e, &c, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_embedding_load_file(NO_FILE, v, NULL, 0, &o, &e, &c, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "line 2", srnn_embedding_load_file(BAD_FILE, v, NULL, 0, &o, &e, &c, &err));
  /* Arguments are looked at before the file. */
  BAD_SHAPE("counts", srnn_embedding_load_file(NO_FILE, v, counts, 5, &o, &e, &c, &err));
  o.unknown = 3;
  BAD_ARGUMENT("unknown is 3", srnn_embedding_load_file(NO_FILE, v, NULL, 0, &o, &e, &c, &err));
  BAD_ARGUMENT("unknown is 3", srnn_embedding_load_file(FILE_NAME, v, NULL, 0, &o, &e, &c, &err));
  o.unknown = SRNN_UNKNOWN_VECTOR_ZERO;
  o.frozen = 2;
  BAD_ARGUMENT("frozen is 2", srnn_embedding_load_file(NO_FILE, v, NULL, 0, &o, &e, &c, &err));
  BAD_ARGUMENT("frozen is 2", srnn_embedding_load_file(FILE_NAME, v, NULL, 0, &o, &e, &c, &err));
  o.frozen = 1;
  CHECK(e == NULL && c == NULL);
  OK(srnn_embedding_load_file(FILE_NAME, v, counts, 6, &o, &e, &c, &err));
  CHECK(srnn_embedding_num_embeddings(e) == 6 && srnn_embedding_dim(e) == DIM && srnn_embedding_is_frozen(e) == 1);
  OK(srnn_embedding_read_rows(e, 0, rows, 6 * DIM, &err));
  CHECK(all(rows, 2 * DIM, 0) && rows[4] == 1 && rows[5] == 0 && all(rows + 6, DIM, 0));
  CHECK(rows[8] == 3 && rows[9] == 4 && rows[10] == 3 && rows[11] == 4);
  CHECK(srnn_coverage_words(c, SRNN_MATCH_EXACT) == 1 && srnn_coverage_words(c, SRNN_MATCH_LOWER) == 2);
  CHECK(srnn_coverage_words(c, SRNN_MATCH_MISSING) == 2 && srnn_coverage_words(c, SRNN_MATCH_PADDING) == 1);
  CHECK(srnn_coverage_words(c, SRNN_MATCH_FOLDED) == 0 && srnn_coverage_words(c, SRNN_MATCH_SUBWORDS) == 0);
  CHECK(srnn_coverage_tokens(c, SRNN_MATCH_LOWER) == 7 && srnn_coverage_tokens(c, SRNN_MATCH_MISSING) == 5);
  CHECK(srnn_coverage_words(c, 6) == 0 && srnn_coverage_tokens(c, -1) == 0);
  CHECK(srnn_coverage_words(NULL, 0) == 0 && srnn_coverage_tokens(NULL, 0) == 0);
  IS_NULL("coverage", srnn_coverage_missing(NULL, ids, 2, &n, &err));
  IS_NULL("ids", srnn_coverage_missing(c, NULL, 2, &n, &err));
  IS_NULL("count", srnn_coverage_missing(c, ids, 2, NULL, &err));
  CHECK(n == 77 && ids[0] == 77);
  OK(srnn_coverage_missing(c, ids, 1, &n, &err));
  CHECK(n == 2 && ids[0] == 3 && ids[1] == 77);
  srnn_coverage_destroy(c);
  srnn_coverage_destroy(NULL);
  srnn_embedding_destroy(e);
  OK(srnn_embedding_load_file(FILE_NAME, v, NULL, 0, NULL, &e, NULL, &err));
  srnn_embedding_destroy(e);
  srnn_vocab_destroy(v);
}

static void classifier(void) {
  srnn_classifier_config config;
  srnn_vectors_options o;
  srnn_dataset *data;
  srnn_vocab *v;
  srnn_classifier *model;
  srnn_coverage *c = NULL;
  OK(srnn_dataset_read_train(DATA, NULL, NULL, &data, &v, &err));
  srnn_classifier_config_init(&config);
  config.hidden_size = 3;
  config.embedding_dim = DIM;
  OK(srnn_classifier_create(&config, v, data, 1, &model, &err));
  srnn_vectors_options_init(&o);
  IS_NULL("classifier", srnn_classifier_load_embeddings(NULL, FILE_NAME, data, &o, &c, &err));
  IS_NULL("path", srnn_classifier_load_embeddings(model, NULL, data, &o, &c, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_classifier_load_embeddings(model, NO_FILE, data, &o, &c, &err));
  o.frozen = 5;
  BAD_ARGUMENT("frozen is 5", srnn_classifier_load_embeddings(model, FILE_NAME, data, &o, &c, &err));
  o.frozen = 0;
  o.dim = DIM + 1;
  BAD_SHAPE("dim is 3, expected 2", srnn_classifier_load_embeddings(model, FILE_NAME, data, &o, &c, &err));
  CHECK(c == NULL);
  OK(srnn_classifier_load_embeddings(model, FILE_NAME, data, NULL, &c, &err));
  CHECK(srnn_coverage_words(c, SRNN_MATCH_EXACT) == 2 && srnn_coverage_tokens(c, SRNN_MATCH_EXACT) == 3);
  srnn_coverage_destroy(c);
  IS_NULL("classifier", srnn_classifier_set_embeddings_frozen(NULL, 1, &err));
  BAD_ARGUMENT("frozen is 2", srnn_classifier_set_embeddings_frozen(model, 2, &err));
  OK(srnn_classifier_set_embeddings_frozen(model, 1, &err));
  srnn_classifier_destroy(model);
  config.embedding_dim = DIM + 1;
  OK(srnn_classifier_create(&config, v, data, 1, &model, &err));
  BAD_SHAPE("2 values, expected 3", srnn_classifier_load_embeddings(model, FILE_NAME, NULL, NULL, NULL, &err));
  srnn_classifier_destroy(model);
  srnn_dataset_destroy(data);
  srnn_vocab_destroy(v);
}

int main(void) {
  write_text(FILE_NAME, "cat 1 0\ndog 3 4\nbird -2 0\n\xff\xfe 0 0\ncat 7 7\n");
  write_text(BAD_FILE, "cat 1 0\ndog 3 x\n");
  write_text(DATA, "animal\tcat dog dog\nother\tzebra\n");
  options();
  table();
  embedding();
  classifier();
  remove(FILE_NAME);
  remove(BAD_FILE);
  remove(DATA);
  return finish();
}
