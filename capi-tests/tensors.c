/* Weight files. Everything is written to the working directory and removed. */

#include "check.h"

#define FILE_NAME "capi_tensors.safetensors"
#define OTHER_NAME "capi_other.safetensors"
#define NO_FILE "no_such_directory/file.safetensors"

static void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL);
  if (file == NULL) return;
  fputs(text, file);
  fclose(file);
}

static void models(void) {
  srnn_rnn *a = make_rnn(SRNN_CELL_LSTM, 2, 3, 2, SRNN_DIRECTION_BIDIRECTIONAL);
  srnn_rnn *b = make_rnn(SRNN_CELL_LSTM, 2, 3, 2, SRNN_DIRECTION_BIDIRECTIONAL);
  srnn_rnn *larger = make_rnn(SRNN_CELL_LSTM, 2, 4, 2, SRNN_DIRECTION_BIDIRECTIONAL);
  const size_t n = srnn_rnn_value_count(a);
  float *va = malloc(n * sizeof *va), *vb = malloc(n * sizeof *vb);
  OK(srnn_rnn_init(b, SRNN_INIT_TORCH_UNIFORM, 2, &err));
  OK(srnn_rnn_read_values(a, va, n, &err));
  OK(srnn_rnn_save_safetensors(a, FILE_NAME, "lstm.", &err));
  OK(srnn_rnn_read_values(b, vb, n, &err));
  CHECK(!same_bits(va, vb, n));
  REFUSED(SRNN_ERROR_NOT_FOUND, "gru.weight_ih_l0", srnn_rnn_load_safetensors(b, FILE_NAME, "gru.", &err));
  REFUSED(SRNN_ERROR_SHAPE_MISMATCH, "lstm.weight_ih_l0", srnn_rnn_load_safetensors(larger, FILE_NAME, "lstm.", &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_rnn_load_safetensors(b, NO_FILE, "lstm.", &err));
  IS_NULL("rnn", srnn_rnn_load_safetensors(NULL, FILE_NAME, "lstm.", &err));
  IS_NULL("path", srnn_rnn_load_safetensors(b, NULL, "lstm.", &err));
  IS_NULL("prefix", srnn_rnn_load_safetensors(b, FILE_NAME, NULL, &err));
  BAD_ARGUMENT("prefix is not UTF-8", srnn_rnn_load_safetensors(b, FILE_NAME, "\xff", &err));
  write_text(OTHER_NAME, "nonsense that is no tensor file");
  REFUSED(SRNN_ERROR_INVALID_DATA, OTHER_NAME, srnn_rnn_load_safetensors(b, OTHER_NAME, "", &err));
  {
    float still[1000];
    OK(srnn_rnn_read_values(b, still, n, &err));
    CHECK(same_bits(vb, still, n)); /* no failed load has changed anything */
  }
  OK(srnn_rnn_load_safetensors(b, FILE_NAME, "lstm.", &err));
  OK(srnn_rnn_read_values(b, vb, n, &err));
  CHECK(same_bits(va, vb, n));
  IS_NULL("rnn", srnn_rnn_save_safetensors(NULL, FILE_NAME, "", &err));
  IS_NULL("path", srnn_rnn_save_safetensors(a, NULL, "", &err));
  IS_NULL("prefix", srnn_rnn_save_safetensors(a, FILE_NAME, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_rnn_save_safetensors(a, NO_FILE, "", &err));
  free(va);
  free(vb);
  srnn_rnn_destroy(larger);
  srnn_rnn_destroy(b);
  srnn_rnn_destroy(a);
}

/* Training goes on bit for bit where it was saved. */
static void optimizers(void) {
  srnn_optimizer_config config;
  srnn_optimizer *a, *b;
  float p[3] = {1, 2, 3}, q[3];
  const float g[3] = {1, -1, 0.5f};
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_ADAM);
  OK(srnn_optimizer_create(&config, &a, &err));
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_SGD);
  OK(srnn_optimizer_create(&config, &b, &err));
  OK(srnn_optimizer_begin_step(a, &err));
  OK(srnn_optimizer_update(a, 0, p, 3, g, 3, &err));
  memcpy(q, p, sizeof q);
  OK(srnn_optimizer_save_safetensors(a, FILE_NAME, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_optimizer_load_safetensors(b, NO_FILE, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, OTHER_NAME, srnn_optimizer_load_safetensors(b, OTHER_NAME, &err));
  IS_NULL("optimizer", srnn_optimizer_load_safetensors(NULL, FILE_NAME, &err));
  IS_NULL("path", srnn_optimizer_load_safetensors(b, NULL, &err));
  CHECK(srnn_optimizer_step_count(b) == 0);
  OK(srnn_optimizer_load_safetensors(b, FILE_NAME, &err));
  CHECK(srnn_optimizer_step_count(b) == 1);
  OK(srnn_optimizer_begin_step(a, &err));
  OK(srnn_optimizer_begin_step(b, &err));
  OK(srnn_optimizer_update(a, 0, p, 3, g, 3, &err));
  OK(srnn_optimizer_update(b, 0, q, 3, g, 3, &err));
  CHECK(same_bits(p, q, 3));
  IS_NULL("optimizer", srnn_optimizer_save_safetensors(NULL, FILE_NAME, &err));
  IS_NULL("path", srnn_optimizer_save_safetensors(a, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_optimizer_save_safetensors(a, NO_FILE, &err));
  srnn_optimizer_destroy(b);
  srnn_optimizer_destroy(a);
}

static void files(void) {
  static const size_t matrix[2] = {2, 3}, vector[1] = {4}, huge[2] = {SIZE_MAX, 2};
  float a[6], b[4], back[6];
  char text[32];
  size_t shape[2], n, shape_dims;
  srnn_tensor_writer *w, *no_writer = NULL;
  srnn_tensor_file *f, *none = NULL;
  fill(a, 6, 1);
  fill(b, 4, 2);
  OK(srnn_tensor_writer_create(&w, &err));
  IS_NULL("writer", srnn_tensor_writer_create(NULL, &err));
  OK(srnn_tensor_writer_add(w, "fc.weight", matrix, 2, a, 6, &err));
  OK(srnn_tensor_writer_add(w, "fc.bias", vector, 1, b, 4, &err));
  OK(srnn_tensor_writer_add_metadata(w, "author", "somebody", &err));
  IS_NULL("writer", srnn_tensor_writer_add(NULL, "x", vector, 1, b, 4, &err));
  IS_NULL("name", srnn_tensor_writer_add(w, NULL, vector, 1, b, 4, &err));
  IS_NULL("shape", srnn_tensor_writer_add(w, "x", NULL, 1, b, 4, &err));
  IS_NULL("values", srnn_tensor_writer_add(w, "x", vector, 1, NULL, 4, &err));
  BAD_SHAPE("x", srnn_tensor_writer_add(w, "x", vector, 1, b, 3, &err));
  BAD_ARGUMENT("fc.bias", srnn_tensor_writer_add(w, "fc.bias", vector, 1, b, 4, &err));
  TOO_LARGE("", srnn_tensor_writer_add(w, "x", huge, 2, b, 4, &err));
  BAD_ARGUMENT("aligned", srnn_tensor_writer_add(w, "x", vector, 1, misaligned(a), 4, &err));
  IS_NULL("writer", srnn_tensor_writer_add_metadata(NULL, "k", "t", &err));
  IS_NULL("key", srnn_tensor_writer_add_metadata(w, NULL, "t", &err));
  IS_NULL("text", srnn_tensor_writer_add_metadata(w, "k", NULL, &err));
  BAD_ARGUMENT("author", srnn_tensor_writer_add_metadata(w, "author", "somebody else", &err));
  IS_NULL("writer", srnn_tensor_writer_save(NULL, FILE_NAME, NULL, &err));
  IS_NULL("path", srnn_tensor_writer_save(w, NULL, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_tensor_writer_save(w, NO_FILE, NULL, &err));
  memset(b, 0, sizeof b); /* the writer has copies */
  OK(srnn_tensor_writer_save(w, FILE_NAME, NULL, &err));
  fill(b, 4, 2);
  srnn_tensor_writer_destroy(w);
  srnn_tensor_writer_destroy(NULL);
  CHECK(no_writer == NULL);

  OK(srnn_tensor_file_open(FILE_NAME, &f, &err));
  IS_NULL("path", srnn_tensor_file_open(NULL, &none, &err));
  IS_NULL("file", srnn_tensor_file_open(FILE_NAME, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_tensor_file_open(NO_FILE, &none, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, OTHER_NAME, srnn_tensor_file_open(OTHER_NAME, &none, &err));
  CHECK(none == NULL && srnn_tensor_file_count(f) == 2 && srnn_tensor_file_count(NULL) == 0);
  OK(srnn_tensor_file_name(f, 1, NULL, 0, &n, &err));
  CHECK(n == 9);
  OK(srnn_tensor_file_name(f, 1, text, 10, &n, &err));
  CHECK(n == 9 && strcmp(text, "fc.weight") == 0);
  OK(srnn_tensor_file_name(f, 0, text, sizeof text, &n, &err));
  CHECK(strcmp(text, "fc.bias") == 0);
  OK(srnn_tensor_file_shape(f, "fc.weight", NULL, 0, &n, &err));
  CHECK(n == 2);
  OK(srnn_tensor_file_shape(f, "fc.weight", shape, 2, &n, &err));
  CHECK(n == 2 && shape[0] == 2 && shape[1] == 3);
  OK(srnn_tensor_file_read(f, "fc.weight", NULL, back, 6, &err));
  CHECK(same_bits(a, back, 6));
  OK(srnn_tensor_file_read(f, "fc.bias", NULL, back, 4, &err));
  CHECK(same_bits(b, back, 4));
  OK(srnn_tensor_file_metadata(f, "author", text, sizeof text, &n, &err));
  CHECK(n == 8 && strcmp(text, "somebody") == 0);

  strcpy(text, "untouched");
  n = shape_dims = 77;
  back[0] = 77;
  shape[0] = 77;
  IS_NULL("file", srnn_tensor_file_name(NULL, 0, text, sizeof text, &n, &err));
  IS_NULL("text is", srnn_tensor_file_name(f, 0, NULL, 5, &n, &err));
  IS_NULL("text_len", srnn_tensor_file_name(f, 0, text, sizeof text, NULL, &err));
  BAD_ARGUMENT("index 2", srnn_tensor_file_name(f, 2, text, sizeof text, &n, &err));
  BAD_SHAPE("room", srnn_tensor_file_name(f, 0, text, 7, &n, &err));
  IS_NULL("file", srnn_tensor_file_shape(NULL, "fc.bias", shape, 2, &shape_dims, &err));
  IS_NULL("name", srnn_tensor_file_shape(f, NULL, shape, 2, &shape_dims, &err));
  IS_NULL("shape", srnn_tensor_file_shape(f, "fc.bias", NULL, 2, &shape_dims, &err));
  IS_NULL("ndim", srnn_tensor_file_shape(f, "fc.bias", shape, 2, NULL, &err));
  REFUSED(SRNN_ERROR_NOT_FOUND, "fc.b", srnn_tensor_file_shape(f, "fc.b", shape, 2, &shape_dims, &err));
  BAD_SHAPE("dimensions", srnn_tensor_file_shape(f, "fc.weight", shape, 1, &shape_dims, &err));
  IS_NULL("file", srnn_tensor_file_read(NULL, "fc.bias", NULL, back, 4, &err));
  IS_NULL("name", srnn_tensor_file_read(f, NULL, NULL, back, 4, &err));
  IS_NULL("values", srnn_tensor_file_read(f, "fc.bias", NULL, NULL, 4, &err));
  BAD_SHAPE("fc.bias", srnn_tensor_file_read(f, "fc.bias", NULL, back, 5, &err));
  REFUSED(SRNN_ERROR_NOT_FOUND, "fc.b", srnn_tensor_file_read(f, "fc.b", NULL, back, 4, &err));
  IS_NULL("file", srnn_tensor_file_metadata(NULL, "author", text, sizeof text, &n, &err));
  IS_NULL("key", srnn_tensor_file_metadata(f, NULL, text, sizeof text, &n, &err));
  IS_NULL("text_len", srnn_tensor_file_metadata(f, "author", text, sizeof text, NULL, &err));
  REFUSED(SRNN_ERROR_NOT_FOUND, "editor", srnn_tensor_file_metadata(f, "editor", text, sizeof text, &n, &err));
  BAD_SHAPE("room", srnn_tensor_file_metadata(f, "author", text, 8, &n, &err));
  CHECK(strcmp(text, "untouched") == 0 && n == 77 && shape_dims == 77 && shape[0] == 77 && back[0] == 77);
  srnn_tensor_file_destroy(f);
  srnn_tensor_file_destroy(NULL);
}

int main(void) {
  models();
  optimizers();
  files();
  CHECK(remove(FILE_NAME) == 0 && remove(OTHER_NAME) == 0);
  return finish();
}
