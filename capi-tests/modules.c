/* Modules in weight files: several in one file and in memory, strictness and its options, and that a refused call changes
 * nothing. Everything is written to the working directory and removed. */

#include "check.h"

#define FILE_NAME "capi_modules.safetensors"

enum { HIDDEN = 3, INPUT = 2, ROWS = 4, ROOM = 1 << 16 };

static srnn_load_options strict, lax;
static srnn_save_options any;

/* The file that the writer makes, read into memory. */
static srnn_tensor_file *opened(const srnn_tensor_writer *writer) {
  static unsigned char bytes[ROOM];
  srnn_tensor_file *file;
  FILE *stream;
  size_t len;
  SUCCEEDS(srnn_tensor_writer_save(writer, FILE_NAME, &any, &err));
  stream = fopen(FILE_NAME, "rb");
  if (stream == NULL) exit(1);
  len = fread(bytes, 1, sizeof bytes, stream);
  fclose(stream);
  OK(srnn_tensor_file_open_memory(bytes, len, "bytes in memory", &file, &err));
  memset(bytes, 0xff, sizeof bytes); /* the file has a copy */
  return file;
}

static void layers(void) {
  srnn_rnn *gru = make_rnn(SRNN_CELL_GRU, INPUT, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_rnn *other = make_rnn(SRNN_CELL_GRU, INPUT, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_rnn *both = make_rnn(SRNN_CELL_GRU, INPUT, HIDDEN, 1, SRNN_DIRECTION_BIDIRECTIONAL);
  srnn_dense *dense, *plain;
  srnn_embedding *table, *again;
  srnn_tensor_writer *writer;
  srnn_tensor_file *file;
  float a[200], b[200], c[200];
  const size_t n = srnn_rnn_value_count(gru), d = HIDDEN * INPUT + INPUT;
  OK(srnn_dense_create(HIDDEN, INPUT, 1, &dense, &err));
  OK(srnn_dense_create(HIDDEN, INPUT, 0, &plain, &err));
  OK(srnn_dense_init(dense, 1, &err));
  OK(srnn_embedding_create(ROWS, INPUT, 0, &table, &err));
  OK(srnn_embedding_create(ROWS, INPUT, -1, &again, &err));
  OK(srnn_embedding_init_normal(table, 1, &err));
  OK(srnn_tensor_writer_create(&writer, &err));
  OK(srnn_rnn_save_tensors(gru, writer, "", &err));
  OK(srnn_rnn_save_tensors(both, writer, "two.ways.", &err));
  OK(srnn_dense_save_tensors(dense, writer, "fc.", &err));
  OK(srnn_embedding_save_tensors(table, writer, "emb.", &err));
  /* A name that is taken adds none of the module's tensors, twice. */
  BAD_ARGUMENT("'fc.bias'", srnn_dense_save_tensors(dense, writer, "fc.", &err));
  BAD_ARGUMENT("'fc.bias'", srnn_dense_save_tensors(dense, writer, "fc.", &err));
  BAD_ARGUMENT("'emb.weight'", srnn_embedding_save_tensors(table, writer, "emb.", &err));
  BAD_ARGUMENT("'bias_hh_l0'", srnn_rnn_save_tensors(gru, writer, "", &err));
  IS_NULL("rnn", srnn_rnn_save_tensors(NULL, writer, "", &err));
  IS_NULL("writer", srnn_rnn_save_tensors(gru, NULL, "", &err));
  IS_NULL("prefix", srnn_rnn_save_tensors(gru, writer, NULL, &err));
  IS_NULL("dense", srnn_dense_save_tensors(NULL, writer, "", &err));
  IS_NULL("embedding", srnn_embedding_save_tensors(NULL, writer, "", &err));
  file = opened(writer);
  CHECK(srnn_tensor_file_count(file) == 4 + 8 + 2 + 1);

  OK(srnn_rnn_init(other, SRNN_INIT_TORCH_UNIFORM, 9, &err));
  OK(srnn_rnn_load_tensors(other, file, "", &strict, &err));
  OK(srnn_rnn_read_values(gru, a, n, &err));
  OK(srnn_rnn_read_values(other, b, n, &err));
  CHECK(same_bits(a, b, n));
  /* One direction of two: named, unless that is allowed. */
  REFUSED(SRNN_ERROR_INVALID_DATA, "_reverse'", srnn_rnn_load_tensors(other, file, "two.ways.", NULL, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "_reverse'", srnn_rnn_load_tensors(other, file, "two.ways.", &strict, &err));
  OK(srnn_rnn_read_values(other, c, n, &err));
  CHECK(same_bits(b, c, n));
  OK(srnn_rnn_load_tensors(other, file, "two.ways.", &lax, &err));
  OK(srnn_rnn_read_values(both, a, 2 * n, &err));
  OK(srnn_rnn_read_values(other, b, n, &err));
  CHECK(same_bits(a, b, n));
  IS_NULL("rnn", srnn_rnn_load_tensors(NULL, file, "", NULL, &err));
  IS_NULL("file", srnn_rnn_load_tensors(other, NULL, "", NULL, &err));
  IS_NULL("prefix", srnn_rnn_load_tensors(other, file, NULL, NULL, &err));
  REFUSED(SRNN_ERROR_NOT_FOUND, "no.weight_ih_l0", srnn_rnn_load_tensors(other, file, "no.", NULL, &err));

  OK(srnn_dense_read_values(dense, a, d, &err));
  OK(srnn_dense_init(dense, 2, &err));
  OK(srnn_dense_load_tensors(dense, file, "fc.", NULL, &err));
  OK(srnn_dense_read_values(dense, b, d, &err));
  CHECK(same_bits(a, b, d));
  REFUSED(SRNN_ERROR_INVALID_DATA, "'fc.bias'", srnn_dense_load_tensors(plain, file, "fc.", NULL, &err));
  OK(srnn_dense_read_values(plain, c, d - INPUT, &err));
  CHECK(all(c, d - INPUT, 0.0f));
  OK(srnn_dense_load_tensors(plain, file, "fc.", &lax, &err));
  OK(srnn_dense_read_values(plain, c, d - INPUT, &err));
  CHECK(same_bits(a, c, d - INPUT));
  IS_NULL("dense", srnn_dense_load_tensors(NULL, file, "", NULL, &err));
  OK(srnn_embedding_load_tensors(again, file, "emb.", NULL, &err));
  OK(srnn_embedding_read_rows(table, 0, a, ROWS * INPUT, &err));
  OK(srnn_embedding_read_rows(again, 0, b, ROWS * INPUT, &err));
  CHECK(same_bits(a, b, ROWS * INPUT));
  REFUSED(SRNN_ERROR_SHAPE_MISMATCH, "'fc.weight'", srnn_embedding_load_tensors(again, file, "fc.", NULL, &err));
  IS_NULL("embedding", srnn_embedding_load_tensors(NULL, file, "", NULL, &err));
  srnn_tensor_file_destroy(file);
  srnn_tensor_writer_destroy(writer);

  OK(srnn_dense_save_safetensors(dense, FILE_NAME, "fc.", &err));
  OK(srnn_dense_read_values(dense, a, d, &err));
  OK(srnn_dense_init(dense, 3, &err));
  OK(srnn_dense_load_safetensors(dense, FILE_NAME, "fc.", &err));
  OK(srnn_dense_read_values(dense, b, d, &err));
  CHECK(same_bits(a, b, d));
  OK(srnn_embedding_save_safetensors(table, FILE_NAME, "", &err));
  OK(srnn_embedding_init_normal(again, 7, &err));
  OK(srnn_embedding_load_safetensors(again, FILE_NAME, "", &err));
  OK(srnn_embedding_read_rows(table, 0, a, ROWS * INPUT, &err));
  OK(srnn_embedding_read_rows(again, 0, b, ROWS * INPUT, &err));
  CHECK(same_bits(a, b, ROWS * INPUT));
  IS_NULL("dense", srnn_dense_save_safetensors(NULL, FILE_NAME, "", &err));
  IS_NULL("path", srnn_dense_load_safetensors(dense, NULL, "", &err));
  IS_NULL("embedding", srnn_embedding_save_safetensors(NULL, FILE_NAME, "", &err));
  IS_NULL("prefix", srnn_embedding_load_safetensors(again, FILE_NAME, NULL, &err));
  srnn_embedding_destroy(again);
  srnn_embedding_destroy(table);
  srnn_dense_destroy(plain);
  srnn_dense_destroy(dense);
  srnn_rnn_destroy(both);
  srnn_rnn_destroy(other);
  srnn_rnn_destroy(gru);
}

/* What is not finite is neither saved nor loaded, unless that is allowed. */
static void numbers(void) {
  static const size_t shape[1] = {2};
  const float good[2] = {1, 2}, bad[2] = {1, INFINITY};
  float values[2] = {7, 7}, weights[2], kept[2];
  srnn_tensor_writer *writer;
  srnn_tensor_file *file;
  srnn_embedding *table;
  srnn_load_options wrong = strict;
  srnn_save_options other = any;
  OK(srnn_tensor_writer_create(&writer, &err));
  OK(srnn_tensor_writer_add(writer, "weight", shape, 1, good, 2, &err));
  OK(srnn_tensor_writer_save(writer, FILE_NAME, NULL, &err));
  OK(srnn_tensor_writer_add(writer, "diverged", shape, 1, bad, 2, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "value 1 is inf", srnn_tensor_writer_save(writer, FILE_NAME, NULL, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "value 1 is inf", srnn_tensor_writer_save(writer, FILE_NAME, NULL, &err));
  OK(srnn_tensor_file_open(FILE_NAME, &file, &err));
  CHECK(srnn_tensor_file_count(file) == 1); /* the old file */
  srnn_tensor_file_destroy(file);
  other.reserved[1] = 1;
  BAD_ARGUMENT("reserved", srnn_tensor_writer_save(writer, FILE_NAME, &other, &err));
  other = any;
  other.allow_non_finite = 2;
  BAD_ARGUMENT("allow_non_finite is 2", srnn_tensor_writer_save(writer, FILE_NAME, &other, &err));
  file = opened(writer);
  srnn_tensor_writer_destroy(writer);
  REFUSED(SRNN_ERROR_INVALID_DATA, "value 1 is inf", srnn_tensor_file_read(file, "diverged", NULL, values, 2, &err));
  CHECK(values[0] == 7 && values[1] == 7);
  OK(srnn_tensor_file_read(file, "diverged", &lax, values, 2, &err));
  CHECK(same_bits(values, bad, 2));
  wrong.allow_unused = -1;
  BAD_ARGUMENT("allow_unused is -1", srnn_tensor_file_read(file, "weight", &wrong, values, 2, &err));
  wrong = strict;
  wrong.reserved0 = 1;
  BAD_ARGUMENT("reserved", srnn_tensor_file_read(file, "weight", &wrong, values, 2, &err));
  CHECK(same_bits(values, bad, 2));
  srnn_tensor_file_destroy(file);

  OK(srnn_embedding_create(1, 2, -1, &table, &err));
  OK(srnn_embedding_write_rows(table, 0, good, 2, &err));
  OK(srnn_embedding_save_safetensors(table, FILE_NAME, "", &err));
  OK(srnn_embedding_write_rows(table, 0, bad, 2, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "'weight': value 1", srnn_embedding_save_safetensors(table, FILE_NAME, "", &err));
  OK(srnn_tensor_writer_create(&writer, &err));
  OK(srnn_embedding_save_tensors(table, writer, "", &err));
  file = opened(writer);
  OK(srnn_embedding_write_rows(table, 0, good, 2, &err));
  OK(srnn_embedding_read_rows(table, 0, kept, 2, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "value 1 is inf", srnn_embedding_load_tensors(table, file, "", NULL, &err));
  OK(srnn_embedding_read_rows(table, 0, weights, 2, &err));
  CHECK(same_bits(weights, kept, 2));
  OK(srnn_embedding_load_tensors(table, file, "", &lax, &err));
  OK(srnn_embedding_read_rows(table, 0, weights, 2, &err));
  CHECK(same_bits(weights, bad, 2));
  srnn_embedding_destroy(table);
  srnn_tensor_file_destroy(file);
  srnn_tensor_writer_destroy(writer);
}

/* An optimizer and a classifier beside each other in one file. */
static void training(void) {
  static const char tsv[] = "a\tone two\nb\tthree\n";
  FILE *data = fopen("capi_modules.tsv", "wb");
  srnn_optimizer_config config;
  srnn_classifier_config shape;
  srnn_optimizer *optimizer, *again;
  srnn_dataset *dataset;
  srnn_vocab *vocab;
  srnn_classifier *classifier, *loaded = NULL;
  srnn_classifier_session *session;
  srnn_tensor_writer *writer;
  srnn_tensor_file *file;
  float p[2] = {1, 2}, q[2], first[2], second[2];
  const float g[2] = {0.5f, -1};
  if (data == NULL) exit(1);
  fputs(tsv, data);
  fclose(data);
  OK(srnn_dataset_open_train("capi_modules.tsv", NULL, NULL, &dataset, &vocab, &err));
  srnn_classifier_config_init(&shape);
  shape.embedding_dim = shape.hidden_size = 2;
  OK(srnn_classifier_create(&shape, vocab, dataset, 1, &classifier, &err));
  OK(srnn_classifier_session_create(&session, &err));
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_ADAM);
  OK(srnn_optimizer_create(&config, &optimizer, &err));
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_SGD);
  OK(srnn_optimizer_create(&config, &again, &err));
  OK(srnn_optimizer_begin_step(optimizer, &err));
  OK(srnn_optimizer_update(optimizer, 0, p, 2, g, 2, &err));
  memcpy(q, p, sizeof q);

  OK(srnn_tensor_writer_create(&writer, &err));
  OK(srnn_classifier_save_tensors(classifier, writer, &err));
  OK(srnn_optimizer_save_tensors(optimizer, writer, &err));
  BAD_ARGUMENT("optimizer.", srnn_optimizer_save_tensors(optimizer, writer, &err));
  BAD_ARGUMENT("dense.bias", srnn_classifier_save_tensors(classifier, writer, &err));
  IS_NULL("optimizer", srnn_optimizer_save_tensors(NULL, writer, &err));
  IS_NULL("writer", srnn_classifier_save_tensors(classifier, NULL, &err));
  file = opened(writer);
  IS_NULL("optimizer", srnn_optimizer_load_tensors(NULL, file, NULL, &err));
  IS_NULL("file", srnn_optimizer_load_tensors(again, NULL, NULL, &err));
  IS_NULL("file", srnn_classifier_open_tensors(NULL, NULL, &loaded, &err));
  IS_NULL("classifier", srnn_classifier_open_tensors(file, NULL, NULL, &err));
  CHECK(loaded == NULL && srnn_optimizer_step_count(again) == 0);
  OK(srnn_optimizer_load_tensors(again, file, &strict, &err));
  OK(srnn_optimizer_begin_step(optimizer, &err));
  OK(srnn_optimizer_begin_step(again, &err));
  OK(srnn_optimizer_update(optimizer, 0, p, 2, g, 2, &err));
  OK(srnn_optimizer_update(again, 0, q, 2, g, 2, &err));
  CHECK(same_bits(p, q, 2));
  OK(srnn_classifier_open_tensors(file, &strict, &loaded, &err));
  OK(srnn_classifier_classify(classifier, session, "one", first, 2, &err));
  OK(srnn_classifier_classify(loaded, session, "one", second, 2, &err));
  CHECK(same_bits(first, second, 2));
  srnn_classifier_destroy(loaded);
  loaded = NULL;
  srnn_tensor_file_destroy(file);

  /* A tensor that is nobody's. */
  {
    static const size_t one[1] = {1};
    OK(srnn_tensor_writer_add(writer, "dense.scale", one, 1, g, 1, &err));
    OK(srnn_tensor_writer_add(writer, "optimizer.more", one, 1, g, 1, &err));
    file = opened(writer);
    REFUSED(SRNN_ERROR_INVALID_DATA, "'dense.scale'", srnn_classifier_open_tensors(file, NULL, &loaded, &err));
    REFUSED(SRNN_ERROR_INVALID_DATA, "'dense.scale'", srnn_classifier_open_tensors(file, NULL, &loaded, &err));
    CHECK(loaded == NULL);
    OK(srnn_classifier_open_tensors(file, &lax, &loaded, &err));
    REFUSED(SRNN_ERROR_INVALID_DATA, "'optimizer.more'", srnn_optimizer_load_tensors(again, file, NULL, &err));
    CHECK(srnn_optimizer_step_count(again) == 2);
    OK(srnn_optimizer_load_tensors(again, file, &lax, &err));
    CHECK(srnn_optimizer_step_count(again) == 1);
    srnn_tensor_file_destroy(file);
  }
  IS_NULL("bytes", srnn_tensor_file_open_memory(NULL, 5, "x", &file, &err));
  IS_NULL("name", srnn_tensor_file_open_memory((const uint8_t *)tsv, 5, NULL, &file, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "named x", srnn_tensor_file_open_memory((const uint8_t *)tsv, 5, "named x", &file, &err));
  srnn_tensor_writer_destroy(writer);
  srnn_classifier_destroy(loaded);
  srnn_classifier_session_destroy(session);
  srnn_classifier_destroy(classifier);
  srnn_optimizer_destroy(again);
  srnn_optimizer_destroy(optimizer);
  srnn_vocab_destroy(vocab);
  srnn_dataset_destroy(dataset);
  CHECK(remove("capi_modules.tsv") == 0);
}

int main(void) {
  srnn_load_options_init(NULL);
  srnn_save_options_init(NULL);
  srnn_load_options_init(&strict);
  lax = strict;
  lax.allow_non_finite = lax.allow_unused = 1;
  srnn_save_options_init(&any);
  any.allow_non_finite = 1;
  layers();
  numbers();
  training();
  CHECK(remove(FILE_NAME) == 0);
  return finish();
}
