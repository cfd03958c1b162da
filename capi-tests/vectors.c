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
  CHECK(srnn_vectors_word_count(v) == 2);
  srnn_vectors_destroy(v);
}

static void write_bytes(const char *path, const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL && fwrite(bytes, 1, size, file) == size);
  if (file != NULL) fclose(file);
}

/* A fastText model of the word "a" with values 1 and 2 and three buckets of ones. */
static void write_model(const char *path) {
  static const int32_t head[] = {793712314, 12, DIM, 5, 5, 1, 5, 1, 2, 2, 3, 1, 2, 100, 0, 0, 1, 1, 0};
  static const int64_t tokens[] = {9, -1}, count[] = {1}, input[] = {4, DIM}, output[] = {0, DIM};
  static const float values[] = {1, 2, 1, 1, 1, 1, 1, 1};
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL);
  if (file == NULL) return;
  fwrite(head, 1, sizeof head, file);
  fwrite(tokens, 1, sizeof tokens, file);
  fwrite("a", 1, 2, file);
  fwrite(count, 1, sizeof count, file);
  fwrite("\0", 1, 2, file); /* the word's type, and that nothing is quantized */
  fwrite(input, 1, sizeof input, file);
  fwrite(values, 1, sizeof values, file);
  fwrite("", 1, 1, file);
  fwrite(output, 1, sizeof output, file);
  fclose(file);
}

/* How many words a file has with these options; SIZE_MAX if it is refused with that status. */
static size_t words_of(const char *path, const srnn_vectors_options *o, srnn_status status) {
  srnn_vectors *v = NULL;
  size_t count;
  if (status != SRNN_OK) {
    CHECK(srnn_vectors_open(path, o, &v, &err) == status && v == NULL);
    return SIZE_MAX;
  }
  SUCCEEDS(srnn_vectors_open(path, o, &v, &err)); /* packed data may end the process where memory is short */
  count = srnn_vectors_word_count(v);
  srnn_vectors_destroy(v);
  return count;
}

/* Every option does what it says. */
static void effects(void) {
  static const unsigned char packed[] = {
      31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 75, 78, 44, 81, 48, 84, 48, 224, 2, 0, 122, 89, 188, 8, 8, 0, 0, 0};
  static const unsigned char archive[] = {
      80, 75, 3, 4, 20, 0, 0, 0, 0, 0, 0, 0, 33, 0, 122, 89, 188, 8, 8, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 97, 46, 116,
      120, 116, 99, 97, 116, 32, 49, 32, 48, 10, 80, 75, 3, 4, 20, 0, 0, 0, 0, 0, 0, 0, 33, 0, 142, 74, 0, 235, 10, 0,
      0, 0, 10, 0, 0, 0, 5, 0, 0, 0, 98, 46, 116, 120, 116, 100, 111, 103, 32, 51, 32, 52, 32, 53, 10, 80, 75, 1, 2,
      20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 33, 0, 122, 89, 188, 8, 8, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 128, 1, 0, 0, 0, 0, 97, 46, 116, 120, 116, 80, 75, 1, 2, 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 33, 0, 142, 74, 0,
      235, 10, 0, 0, 0, 10, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 1, 43, 0, 0, 0, 98, 46, 116, 120, 116,
      80, 75, 5, 6, 0, 0, 0, 0, 2, 0, 2, 0, 102, 0, 0, 0, 88, 0, 0, 0, 0, 0};
  srnn_vectors_options o;
  srnn_vectors *v;
  size_t index;
  float values[DIM];
  srnn_vectors_options_init(&o);
  write_text(COPY, "1 1\nb 5\n");
  CHECK(words_of(COPY, &o, SRNN_OK) == 1);
  o.format = SRNN_VECTORS_FORMAT_GLOVE;
  CHECK(words_of(COPY, &o, SRNN_OK) == 2);
  o.format = SRNN_VECTORS_FORMAT_ANY;

  o.invalid_utf8 = SRNN_INVALID_UTF8_REFUSE;
  words_of(FILE_NAME, &o, SRNN_ERROR_INVALID_DATA);
  o.invalid_utf8 = SRNN_INVALID_UTF8_REPLACE;
  OK(srnn_vectors_open(FILE_NAME, &o, &v, &err));
  OK(srnn_vectors_find(v, "\xef\xbf\xbd\xef\xbf\xbd", &index, &err));
  CHECK(index == 3 && srnn_vectors_skipped_row_count(v) == 0 && srnn_vectors_skipped_row_count(NULL) == 0);
  srnn_vectors_destroy(v);
  o.invalid_utf8 = SRNN_INVALID_UTF8_REFUSE;
  o.skip_bad_rows = 1;
  OK(srnn_vectors_open(FILE_NAME, &o, &v, &err));
  CHECK(srnn_vectors_word_count(v) == 3 && srnn_vectors_skipped_row_count(v) == 1);
  srnn_vectors_destroy(v);
  o.invalid_utf8 = SRNN_INVALID_UTF8_KEEP;
  CHECK(words_of(BAD_FILE, &o, SRNN_OK) == 1);
  o.skip_bad_rows = 2;
  BAD_ARGUMENT("skip_bad_rows is 2", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.skip_bad_rows = 0;
  words_of(BAD_FILE, &o, SRNN_ERROR_INVALID_DATA);

  write_bytes(COPY, packed, sizeof packed);
  o.max_decompressed = 7;
  words_of(COPY, &o, SRNN_ERROR_INVALID_DATA);
  o.max_decompressed = 8;
  CHECK(words_of(COPY, &o, SRNN_OK) == 1);
  o.max_decompressed = 1 << 20;
  o.member = "a.txt";
  words_of(COPY, &o, SRNN_ERROR_INVALID_ARGUMENT);
  write_bytes(COPY, archive, sizeof archive);
  CHECK(words_of(COPY, &o, SRNN_OK) == 1);
  o.member = "b.txt";
  SUCCEEDS(srnn_vectors_open(COPY, &o, &v, &err));
  CHECK(srnn_vectors_dim(v) == 3);
  srnn_vectors_destroy(v);
  o.member = "c.txt";
  words_of(COPY, &o, SRNN_ERROR_NOT_FOUND);
  o.member = NULL;
  words_of(COPY, &o, SRNN_ERROR_INVALID_ARGUMENT);
  o.reserved0 = 1;
  BAD_ARGUMENT("reserved", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.reserved0 = 0;
  o.reserved1 = 1;
  BAD_ARGUMENT("reserved", srnn_vectors_open(FILE_NAME, &o, &v, &err));
  o.reserved1 = 0;

  write_model(COPY);
  OK(srnn_vectors_open(COPY, &o, &v, &err));
  OK(srnn_vectors_get(v, "bc", values, DIM, &err));
  CHECK(values[0] == 1 && values[1] == 1);
  srnn_vectors_destroy(v);
  o.subwords = 0;
  OK(srnn_vectors_open(COPY, &o, &v, &err));
  REFUSED(SRNN_ERROR_NOT_FOUND, "'bc'", srnn_vectors_get(v, "bc", values, DIM, &err));
  OK(srnn_vectors_get(v, "a", values, DIM, &err));
  srnn_vectors_destroy(v);
  remove(COPY);
}

/* The row of "zebra", of which the file has only "ZEBRA" 1 2, beside "cat" 3 4. */
static void row_of_zebra(const srnn_vectors_options *o, srnn_match match, float *row) {
  static const char *const words[2] = {"zebra", "cat"};
  srnn_vocab *v;
  srnn_embedding *e;
  srnn_coverage *c;
  OK(srnn_vocab_create(words, 2, 0, 0, &v, &err));
  OK(srnn_embedding_open_vectors(COPY, v, NULL, 0, o, &e, &c, &err));
  OK(srnn_embedding_read_rows(e, 2, row, DIM, &err));
  CHECK(srnn_coverage_word_count(c, match) == (match == SRNN_MATCH_MISSING ? 2 : 1));
  CHECK(srnn_coverage_skipped_row_count(c) == 1 && srnn_coverage_skipped_row_count(NULL) == 0);
  srnn_coverage_destroy(c);
  srnn_embedding_destroy(e);
  srnn_vocab_destroy(v);
}

static void effects_on_embeddings(void) {
  srnn_vectors_options o;
  float a[DIM], b[DIM];
  write_text(COPY, "ZEBRA 1 2\ncat 3 4\n  5 6\n");
  srnn_vectors_options_init(&o);
  o.skip_bad_rows = 1;
  o.seed = 1;
  row_of_zebra(&o, SRNN_MATCH_MISSING, a);
  row_of_zebra(&o, SRNN_MATCH_MISSING, b);
  CHECK(a[0] != 0 && same_bits(a, b, DIM));
  o.seed = 2;
  row_of_zebra(&o, SRNN_MATCH_MISSING, b);
  CHECK(a[0] != b[0] && a[1] != b[1]);
  o.unknown = SRNN_UNKNOWN_VECTOR_ZERO;
  row_of_zebra(&o, SRNN_MATCH_MISSING, a);
  CHECK(all(a, DIM, 0));
  o.unknown = SRNN_UNKNOWN_VECTOR_MEAN;
  row_of_zebra(&o, SRNN_MATCH_MISSING, a);
  CHECK(a[0] == 3 && a[1] == 4);
  o.fold_case = 1;
  row_of_zebra(&o, SRNN_MATCH_FOLDED, a);
  CHECK(a[0] == 1 && a[1] == 2);
  remove(COPY);
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
  CHECK(srnn_vectors_word_count(v) == 4 && srnn_vectors_dim(v) == DIM && srnn_vectors_duplicate_count(v) == 1);
  CHECK(srnn_vectors_file_format(v) == SRNN_VECTORS_FORMAT_GLOVE);
  CHECK(srnn_vectors_word_count(NULL) == 0 && srnn_vectors_dim(NULL) == 0 && srnn_vectors_duplicate_count(NULL) == 0);
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
  IS_NULL("vectors", srnn_vectors_nearest(NULL, query, DIM, NULL, 0, found, 5, similar, 5, &n, &err));
  IS_NULL("query", srnn_vectors_nearest(v, NULL, DIM, NULL, 0, found, 5, similar, 5, &n, &err));
  IS_NULL("without", srnn_vectors_nearest(v, query, DIM, NULL, 1, found, 5, similar, 5, &n, &err));
  IS_NULL("indices", srnn_vectors_nearest(v, query, DIM, NULL, 0, NULL, 5, similar, 5, &n, &err));
  IS_NULL("similarities", srnn_vectors_nearest(v, query, DIM, NULL, 0, found, 5, NULL, 5, &n, &err));
  IS_NULL("count", srnn_vectors_nearest(v, query, DIM, NULL, 0, found, 5, similar, 5, NULL, &err));
  BAD_SHAPE("room for 4", srnn_vectors_nearest(v, query, DIM, NULL, 0, found, 5, similar, 4, &n, &err));
  BAD_SHAPE("query", srnn_vectors_nearest(v, query, 1, NULL, 0, found, 5, similar, 5, &n, &err));
  BAD_ARGUMENT("finite", srnn_vectors_nearest(v, nan_query, DIM, NULL, 0, found, 5, similar, 5, &n, &err));
  CHECK(n == 77);
  OK(srnn_pool_create(2, &pool, &err));
  IS_NULL("vectors", srnn_vectors_set_pool(NULL, pool, &err));
  BAD_ARGUMENT("pool", srnn_vectors_set_pool(v, (srnn_pool *)(void *)misaligned(similar), &err));
  OK(srnn_vectors_set_pool(v, pool, &err));
  OK(srnn_vectors_nearest(v, query, DIM, without, 1, found, 5, similar, 5, &n, &err));
  CHECK(n == 3 && found[0] == 1 && found[1] == 3 && found[2] == 2);
  CHECK(fabs(similar[0] - 0.6) < 1e-6 && similar[1] == 0 && fabs(similar[2] + 1) < 1e-6);
  OK(srnn_vectors_set_pool(v, NULL, &err));
  OK(srnn_vectors_nearest(v, query, DIM, NULL, 0, found, 1, similar, 1, &n, &err));
  CHECK(n == 1 && found[0] == 0);

  counts[0] = counts[1] = 77;
  IS_NULL("vectors",
          srnn_vectors_nearest_batch(NULL, two, 2 * DIM, NULL, 0, found, 4, similar, 4, counts, 2, &err));
  IS_NULL("queries",
          srnn_vectors_nearest_batch(v, NULL, 2 * DIM, NULL, 0, found, 4, similar, 4, counts, 2, &err));
  IS_NULL("without", srnn_vectors_nearest_batch(v, two, 2 * DIM, NULL, 2, found, 4, similar, 4, counts, 2, &err));
  IS_NULL("indices", srnn_vectors_nearest_batch(v, two, 2 * DIM, NULL, 0, NULL, 4, similar, 4, counts, 2, &err));
  IS_NULL("similarities",
          srnn_vectors_nearest_batch(v, two, 2 * DIM, NULL, 0, found, 4, NULL, 4, counts, 2, &err));
  IS_NULL("counts", srnn_vectors_nearest_batch(v, two, 2 * DIM, NULL, 0, found, 4, similar, 4, NULL, 2, &err));
  BAD_SHAPE("queries", srnn_vectors_nearest_batch(v, two, DIM, NULL, 0, found, 4, similar, 4, counts, 2, &err));
  BAD_SHAPE("without",
            srnn_vectors_nearest_batch(v, two, 2 * DIM, without, 1, found, 4, similar, 4, counts, 2, &err));
  BAD_SHAPE("similarities",
            srnn_vectors_nearest_batch(v, two, 2 * DIM, NULL, 0, found, 4, similar, 3, counts, 2, &err));
  BAD_SHAPE("multiple of 2",
            srnn_vectors_nearest_batch(v, two, 2 * DIM, NULL, 0, found, 5, similar, 5, counts, 2, &err));
  CHECK(counts[0] == 77 && counts[1] == 77);
  OK(srnn_vectors_set_pool(v, pool, &err));
  OK(srnn_vectors_nearest_batch(v, two, 2 * DIM, leave, 2, found, 4, similar, 4, counts, 2, &err));
  CHECK(counts[0] == 2 && found[0] == 1 && found[1] == 3 && fabs(similar[0] - 0.6) < 1e-6);
  CHECK(counts[1] == 2 && found[2] == 2 && similar[2] > 0.999);
  OK(srnn_vectors_nearest_batch(v, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, &err));

  n = 77;
  IS_NULL("vectors", srnn_vectors_analogy(NULL, plus, 2, minus, 1, found, 5, similar, 5, &n, &err));
  IS_NULL("plus", srnn_vectors_analogy(v, NULL, 2, minus, 1, found, 5, similar, 5, &n, &err));
  BAD_ARGUMENT("no words", srnn_vectors_analogy(v, NULL, 0, NULL, 0, found, 5, similar, 5, &n, &err));
  BAD_ARGUMENT("word 4", srnn_vectors_analogy(v, plus, 2, beyond, 1, found, 5, similar, 5, &n, &err));
  CHECK(n == 77);
  OK(srnn_vectors_analogy(v, plus, 2, minus, 1, found, 5, similar, 5, &n, &err));
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
  CHECK(srnn_vectors_word_count(v) == 4 && srnn_vectors_file_format(v) == SRNN_VECTORS_FORMAT_WORD2VEC_BINARY);
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
  IS_NULL("path", srnn_embedding_open_vectors(NULL, v, NULL, 0, &o, &e, &c, &err));
  IS_NULL("vocab", srnn_embedding_open_vectors(FILE_NAME, NULL, NULL, 0, &o, &e, &c, &err));
  IS_NULL("embedding", srnn_embedding_open_vectors(FILE_NAME, v, NULL, 0, &o, NULL, &c, &err));
  IS_NULL("counts", srnn_embedding_open_vectors(FILE_NAME, v, NULL, 6, &o, &e, &c, &err));
  BAD_SHAPE("counts", srnn_embedding_open_vectors(FILE_NAME, v, counts, 5, &o, &e, &c, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_embedding_open_vectors(NO_FILE, v, NULL, 0, &o, &e, &c, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "line 2", srnn_embedding_open_vectors(BAD_FILE, v, NULL, 0, &o, &e, &c, &err));
  /* Arguments are looked at before the file. */
  BAD_SHAPE("counts", srnn_embedding_open_vectors(NO_FILE, v, counts, 5, &o, &e, &c, &err));
  o.unknown = 3;
  BAD_ARGUMENT("unknown is 3", srnn_embedding_open_vectors(NO_FILE, v, NULL, 0, &o, &e, &c, &err));
  BAD_ARGUMENT("unknown is 3", srnn_embedding_open_vectors(FILE_NAME, v, NULL, 0, &o, &e, &c, &err));
  o.unknown = SRNN_UNKNOWN_VECTOR_ZERO;
  o.frozen = 2;
  BAD_ARGUMENT("frozen is 2", srnn_embedding_open_vectors(NO_FILE, v, NULL, 0, &o, &e, &c, &err));
  BAD_ARGUMENT("frozen is 2", srnn_embedding_open_vectors(FILE_NAME, v, NULL, 0, &o, &e, &c, &err));
  o.frozen = 1;
  CHECK(e == NULL && c == NULL);
  OK(srnn_embedding_open_vectors(FILE_NAME, v, counts, 6, &o, &e, &c, &err));
  CHECK(srnn_embedding_num_embeddings(e) == 6 && srnn_embedding_dim(e) == DIM && srnn_embedding_is_frozen(e) == 1);
  OK(srnn_embedding_read_rows(e, 0, rows, 6 * DIM, &err));
  CHECK(all(rows, 2 * DIM, 0) && rows[4] == 1 && rows[5] == 0 && all(rows + 6, DIM, 0));
  CHECK(rows[8] == 3 && rows[9] == 4 && rows[10] == 3 && rows[11] == 4);
  CHECK(srnn_coverage_word_count(c, SRNN_MATCH_EXACT) == 1 && srnn_coverage_word_count(c, SRNN_MATCH_LOWER) == 2);
  CHECK(srnn_coverage_word_count(c, SRNN_MATCH_MISSING) == 2 && srnn_coverage_word_count(c, SRNN_MATCH_PADDING) == 1);
  CHECK(srnn_coverage_word_count(c, SRNN_MATCH_FOLDED) == 0 && srnn_coverage_word_count(c, SRNN_MATCH_SUBWORDS) == 0);
  CHECK(srnn_coverage_token_count(c, SRNN_MATCH_LOWER) == 7 && srnn_coverage_token_count(c, SRNN_MATCH_MISSING) == 5);
  CHECK(srnn_coverage_word_count(c, 6) == 0 && srnn_coverage_token_count(c, -1) == 0);
  CHECK(srnn_coverage_word_count(NULL, 0) == 0 && srnn_coverage_token_count(NULL, 0) == 0);
  IS_NULL("coverage", srnn_coverage_missing(NULL, ids, 2, &n, &err));
  IS_NULL("ids", srnn_coverage_missing(c, NULL, 2, &n, &err));
  IS_NULL("count", srnn_coverage_missing(c, ids, 2, NULL, &err));
  CHECK(n == 77 && ids[0] == 77);
  OK(srnn_coverage_missing(c, ids, 1, &n, &err));
  CHECK(n == 2 && ids[0] == 3 && ids[1] == 77);
  srnn_coverage_destroy(c);
  srnn_coverage_destroy(NULL);
  srnn_embedding_destroy(e);
  OK(srnn_embedding_open_vectors(FILE_NAME, v, NULL, 0, NULL, &e, NULL, &err));
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
  OK(srnn_dataset_open_train(DATA, NULL, NULL, &data, &v, &err));
  srnn_classifier_config_init(&config);
  config.hidden_size = 3;
  config.embedding_dim = DIM;
  OK(srnn_classifier_create(&config, v, data, 1, &model, &err));
  srnn_vectors_options_init(&o);
  IS_NULL("classifier", srnn_classifier_load_vectors(NULL, FILE_NAME, data, &o, &c, &err));
  IS_NULL("path", srnn_classifier_load_vectors(model, NULL, data, &o, &c, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_classifier_load_vectors(model, NO_FILE, data, &o, &c, &err));
  o.frozen = 5;
  BAD_ARGUMENT("frozen is 5", srnn_classifier_load_vectors(model, FILE_NAME, data, &o, &c, &err));
  o.frozen = 0;
  o.dim = DIM + 1;
  BAD_SHAPE("dim is 3, expected 2", srnn_classifier_load_vectors(model, FILE_NAME, data, &o, &c, &err));
  CHECK(c == NULL);
  OK(srnn_classifier_load_vectors(model, FILE_NAME, data, NULL, &c, &err));
  CHECK(srnn_coverage_word_count(c, SRNN_MATCH_EXACT) == 2 && srnn_coverage_token_count(c, SRNN_MATCH_EXACT) == 3);
  srnn_coverage_destroy(c);
  IS_NULL("classifier", srnn_classifier_set_embeddings_frozen(NULL, 1, &err));
  BAD_ARGUMENT("frozen is 2", srnn_classifier_set_embeddings_frozen(model, 2, &err));
  OK(srnn_classifier_set_embeddings_frozen(model, 1, &err));
  srnn_classifier_destroy(model);
  config.embedding_dim = DIM + 1;
  OK(srnn_classifier_create(&config, v, data, 1, &model, &err));
  BAD_SHAPE("2 values, expected 3", srnn_classifier_load_vectors(model, FILE_NAME, NULL, NULL, NULL, &err));
  srnn_classifier_destroy(model);
  srnn_dataset_destroy(data);
  srnn_vocab_destroy(v);
}

int main(void) {
  write_text(FILE_NAME, "cat 1 0\ndog 3 4\nbird -2 0\n\xff\xfe 0 0\ncat 7 7\n");
  write_text(BAD_FILE, "cat 1 0\ndog 3 x\n");
  write_text(DATA, "animal\tcat dog dog\nother\tzebra\n");
  options();
  effects();
  effects_on_embeddings();
  table();
  embedding();
  classifier();
  remove(FILE_NAME);
  remove(BAD_FILE);
  remove(DATA);
  return finish();
}
