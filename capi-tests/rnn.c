/* Configuration and parameters of recurrent layers. */

#include "check.h"

static void configuration(void) {
  srnn_rnn_config config, back;
  srnn_rnn *rnn;
  memset(&config, 0xff, sizeof config);
  srnn_rnn_config_init(&config, SRNN_CELL_LSTM, 3, 8);
  CHECK(config.struct_size == sizeof config && config.cell == SRNN_CELL_LSTM);
  CHECK(config.input_size == 3 && config.hidden_size == 8 && config.num_layers == 1 && config.proj_size == 0);
  CHECK(config.direction == SRNN_DIRECTION_FORWARD && config.bias == 1 && config.batch_first == 0);
  CHECK(config.flush_small_states == 0 && config.dropout == 0.0f && config.reserved0 == 0 && config.reserved[3] == 0);
  srnn_rnn_config_init(NULL, SRNN_CELL_LSTM, 3, 8);

  config.num_layers = 2;
  config.proj_size = 5;
  config.direction = SRNN_DIRECTION_BIDIRECTIONAL;
  config.bias = 0;
  config.batch_first = 1;
  config.flush_small_states = 1;
  config.dropout = 0.25f;
  OK(srnn_rnn_create(&config, &rnn, &err));
  memset(&back, 0xff, sizeof back);
  OK(srnn_rnn_get_config(rnn, &back, &err));
  CHECK(memcmp(&config, &back, sizeof config) == 0);
  CHECK(srnn_rnn_output_size(rnn) == 10 && srnn_rnn_state_size(rnn) == 5 && srnn_rnn_pass_count(rnn) == 4);
  CHECK(srnn_isa_is_available(srnn_rnn_isa(rnn)) == 1);
  CHECK(srnn_rnn_bytes(rnn) >= 4 * srnn_rnn_value_count(rnn));
  IS_NULL("rnn", srnn_rnn_get_config(NULL, &back, &err));
  IS_NULL("config", srnn_rnn_get_config(rnn, NULL, &err));
  CHECK(srnn_rnn_isa(NULL) == -1 && srnn_rnn_bytes(NULL) == 0 && srnn_rnn_output_size(NULL) == 0);
  CHECK(srnn_rnn_param_count(NULL) == 0 && srnn_rnn_value_count(NULL) == 0);
  CHECK(srnn_rnn_state_size(NULL) == 0 && srnn_rnn_pass_count(NULL) == 0 && srnn_rnn_generation(NULL) == 0);
  srnn_rnn_destroy(rnn);
  srnn_rnn_destroy(NULL);
}

#define WRONG(status, word, field, value)                              \
  do {                                                                 \
    srnn_rnn_config_init(&config, SRNN_CELL_LSTM, 3, 8);               \
    config.field = (value);                                            \
    REFUSED(status, word, srnn_rnn_create(&config, &rnn, &err));       \
    CHECK(rnn == NULL);                                                \
  } while (0)

/* A copy has the weights, and its own from then on. */
static void copies(void) {
  srnn_rnn *rnn = make_rnn(SRNN_CELL_GRU, 3, 8, 2, SRNN_DIRECTION_BIDIRECTIONAL), *copy = NULL;
  const size_t len = srnn_rnn_value_count(rnn);
  float *a = malloc(len * sizeof *a), *b = malloc(len * sizeof *b);
  srnn_rnn_config of_rnn, of_copy;
  OK(srnn_rnn_clone(rnn, &copy, &err));
  OK(srnn_rnn_get_config(rnn, &of_rnn, &err));
  OK(srnn_rnn_get_config(copy, &of_copy, &err));
  CHECK(memcmp(&of_rnn, &of_copy, sizeof of_rnn) == 0);
  OK(srnn_rnn_read_values(rnn, a, len, &err));
  OK(srnn_rnn_read_values(copy, b, len, &err));
  CHECK(same_bits(a, b, len) && !all(a, len, 0.0f));
  CHECK(srnn_rnn_generation(rnn) == srnn_rnn_generation(copy));
  OK(srnn_rnn_init(copy, SRNN_INIT_TORCH_UNIFORM, 99, &err));
  CHECK(srnn_rnn_generation(rnn) != srnn_rnn_generation(copy));
  OK(srnn_rnn_read_values(rnn, b, len, &err));
  CHECK(same_bits(a, b, len));
  IS_NULL("rnn", srnn_rnn_clone(NULL, &copy, &err));
  IS_NULL("copy", srnn_rnn_clone(rnn, NULL, &err));
  free(a);
  free(b);
  srnn_rnn_destroy(rnn);
  srnn_rnn_destroy(copy);
}

static void wrong_configurations(void) {
  srnn_rnn_config config;
  struct {
    srnn_rnn_config config;
    uint64_t later_field;
  } longer;
  srnn_rnn *rnn = NULL;
  srnn_rnn_config_init(&config, SRNN_CELL_LSTM, 3, 8);
  IS_NULL("config", srnn_rnn_create(NULL, &rnn, &err));
  IS_NULL("rnn", srnn_rnn_create(&config, NULL, &err));
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "cell 5", cell, 5);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "cell -1", cell, -1);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "input_size", input_size, 0);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "hidden_size", hidden_size, 0);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "num_layers", num_layers, 0);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "direction 3", direction, 3);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "bias", bias, 2);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "batch_first", batch_first, -1);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "flush_small_states", flush_small_states, 7);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "dropout", dropout, 1.5f);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "dropout", dropout, -0.5f);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "dropout", dropout, (float)NAN);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "proj_size", proj_size, 8);
  WRONG(SRNN_ERROR_SIZE_OVERFLOW, "hidden_size", hidden_size, UINT64_MAX);
  WRONG(SRNN_ERROR_SIZE_OVERFLOW, "weights", input_size, UINT64_MAX);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "at most 1024", num_layers, SRNN_MAX_LAYERS + 1);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "num_layers is 16777216", num_layers, (uint64_t)1 << 24);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "num_layers", num_layers, UINT64_MAX);
  WRONG(SRNN_ERROR_OUT_OF_MEMORY, "allocate", hidden_size, (uint64_t)1 << 22);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "reserved", reserved0, 1);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "reserved", reserved[3], 1);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "struct_size", struct_size, 0);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "struct_size", struct_size, 13);
  WRONG(SRNN_ERROR_INVALID_ARGUMENT, "struct_size", struct_size, UINT32_MAX);
  srnn_rnn_config_init(&config, SRNN_CELL_GRU, 3, 8);
  config.proj_size = 4;
  BAD_ARGUMENT("proj_size needs an LSTM", srnn_rnn_create(&config, &rnn, &err));

  /* An older caller's struct ends before num_layers; what comes after is not its. */
  srnn_rnn_config_init(&config, SRNN_CELL_LSTM, 3, 8);
  config.struct_size = 24;
  config.num_layers = 99;
  config.reserved[0] = 99;
  OK(srnn_rnn_create(&config, &rnn, &err));
  OK(srnn_rnn_get_config(rnn, &config, &err));
  CHECK(config.num_layers == 1 && config.bias == 1 && config.hidden_size == 8);
  srnn_rnn_destroy(rnn);
  rnn = NULL;

  /* A newer caller's struct has a field that this library does not know. */
  srnn_rnn_config_init(&longer.config, SRNN_CELL_LSTM, 3, 8);
  longer.config.struct_size = sizeof longer;
  longer.later_field = 0;
  OK(srnn_rnn_create(&longer.config, &rnn, &err));
  srnn_rnn_destroy(rnn);
  longer.later_field = 1;
  BAD_ARGUMENT("does not know", srnn_rnn_create(&longer.config, &rnn, &err));
}

static void parameters(void) {
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, 3, 8, 2, SRNN_DIRECTION_BIDIRECTIONAL);
  const size_t count = srnn_rnn_param_count(rnn), total = srnn_rnn_value_count(rnn);
  float *flat = malloc(total * sizeof *flat), *again = malloc(total * sizeof *again);
  char name[SRNN_PARAM_NAME_SIZE];
  size_t i, j, rows, cols, ndim, at = 0;
  CHECK(count == 16 && total == 2 * (32 * 3 + 32 * 8 + 64) + 2 * (32 * 16 + 32 * 8 + 64));
  OK(srnn_rnn_read_values(rnn, flat, total, &err));
  for (i = 0; i < count; ++i) {
    float values[32 * 16];
    OK(srnn_rnn_param_name(rnn, i, name, sizeof name, &err));
    OK(srnn_rnn_find_param(rnn, name, &j, &err));
    CHECK(i == j);
    OK(srnn_rnn_param_shape(rnn, i, &rows, &cols, NULL, &err));
    OK(srnn_rnn_read_param(rnn, i, values, rows * cols, &err));
    CHECK(same_bits(values, flat + at, rows * cols) && !all(values, rows * cols, 0.0f));
    at += rows * cols;
  }
  CHECK(at == total);
  OK(srnn_rnn_param_name(rnn, 13, name, sizeof name, &err));
  CHECK(strcmp(name, "weight_hh_l1_reverse") == 0);
  OK(srnn_rnn_param_shape(rnn, 13, &rows, &cols, &ndim, &err));
  CHECK(rows == 32 && cols == 8 && ndim == 2);
  OK(srnn_rnn_param_shape(rnn, 2, &rows, &cols, &ndim, &err));
  CHECK(rows == 32 && cols == 1 && ndim == 1);
  {
    /* One column is not one dimension. */
    srnn_rnn *narrow = make_rnn(SRNN_CELL_GRU, 1, 1, 1, SRNN_DIRECTION_FORWARD);
    static const size_t dimensions[4] = {2, 2, 1, 1};
    for (i = 0; i < 4; ++i) {
      OK(srnn_rnn_param_shape(narrow, i, &rows, &cols, &ndim, &err));
      CHECK(rows == 3 && cols == 1 && ndim == dimensions[i]);
    }
    srnn_rnn_destroy(narrow);
  }

  /* The same seed draws the same values, another one others; schemes differ. */
  OK(srnn_rnn_init(rnn, SRNN_INIT_TORCH_UNIFORM, 1, &err));
  OK(srnn_rnn_read_values(rnn, again, total, &err));
  CHECK(same_bits(flat, again, total));
  OK(srnn_rnn_init(rnn, SRNN_INIT_TORCH_UNIFORM, 2, &err));
  OK(srnn_rnn_read_values(rnn, again, total, &err));
  CHECK(!same_bits(flat, again, total));
  OK(srnn_rnn_init(rnn, SRNN_INIT_XAVIER_ORTHOGONAL_FORGET_ONE, 1, &err));
  OK(srnn_rnn_read_param(rnn, 2, again, 32, &err));
  CHECK(all(again, 8, 0.0f) && all(again + 8, 8, 1.0f) && all(again + 16, 16, 0.0f));
  OK(srnn_rnn_init(rnn, SRNN_INIT_XAVIER_ORTHOGONAL, 1, &err));
  OK(srnn_rnn_read_param(rnn, 2, again, 32, &err));
  CHECK(all(again, 32, 0.0f));

  /* Whole and single writes. */
  OK(srnn_rnn_write_values(rnn, flat, total, &err));
  OK(srnn_rnn_read_values(rnn, again, total, &err));
  CHECK(same_bits(flat, again, total));
  fill(again, 96, 5);
  OK(srnn_rnn_write_param(rnn, 0, again, 96, &err));
  OK(srnn_rnn_read_param(rnn, 0, flat, 96, &err));
  CHECK(same_bits(flat, again, 96));

  /* Misuse. */
  IS_NULL("rnn", srnn_rnn_init(NULL, SRNN_INIT_TORCH_UNIFORM, 1, &err));
  BAD_ARGUMENT("initialization 3", srnn_rnn_init(rnn, 3, 1, &err));
  BAD_ARGUMENT("initialization -1", srnn_rnn_init(rnn, -1, 1, &err));

  IS_NULL("rnn", srnn_rnn_param_name(NULL, 0, name, sizeof name, &err));
  IS_NULL("name", srnn_rnn_param_name(rnn, 0, NULL, sizeof name, &err));
  BAD_ARGUMENT("index 16", srnn_rnn_param_name(rnn, 16, name, sizeof name, &err));
  strcpy(name, "untouched");
  BAD_SHAPE("room", srnn_rnn_param_name(rnn, 0, name, 12, &err));
  BAD_SHAPE("room", srnn_rnn_param_name(rnn, 0, NULL, 0, &err));
  CHECK(strcmp(name, "untouched") == 0);
  OK(srnn_rnn_param_name(rnn, 0, name, 13, &err));
  CHECK(strcmp(name, "weight_ih_l0") == 0);

  rows = cols = 77;
  IS_NULL("rnn", srnn_rnn_param_shape(NULL, 0, &rows, &cols, NULL, &err));
  IS_NULL("rows", srnn_rnn_param_shape(rnn, 0, NULL, &cols, NULL, &err));
  IS_NULL("cols", srnn_rnn_param_shape(rnn, 0, &rows, NULL, NULL, &err));
  BAD_ARGUMENT("index", srnn_rnn_param_shape(rnn, SIZE_MAX, &rows, &cols, NULL, &err));
  CHECK(rows == 77 && cols == 77);

  j = 77;
  IS_NULL("rnn", srnn_rnn_find_param(NULL, "weight_ih_l0", &j, &err));
  IS_NULL("name", srnn_rnn_find_param(rnn, NULL, &j, &err));
  IS_NULL("index", srnn_rnn_find_param(rnn, "weight_ih_l0", NULL, &err));
  REFUSED(SRNN_ERROR_NOT_FOUND, "weight_ih_l2", srnn_rnn_find_param(rnn, "weight_ih_l2", &j, &err));
  BAD_ARGUMENT("UTF-8", srnn_rnn_find_param(rnn, "\xff", &j, &err));
  CHECK(j == 77);

  IS_NULL("rnn", srnn_rnn_read_param(NULL, 0, again, 96, &err));
  IS_NULL("values", srnn_rnn_read_param(rnn, 0, NULL, 96, &err));
  BAD_SHAPE("95", srnn_rnn_read_param(rnn, 0, again, 95, &err));
  BAD_SHAPE("97", srnn_rnn_read_param(rnn, 0, again, 97, &err));
  BAD_ARGUMENT("index", srnn_rnn_read_param(rnn, 16, again, 96, &err));
  BAD_ARGUMENT("aligned", srnn_rnn_read_param(rnn, 0, misaligned(again), 96, &err));
  TOO_LARGE("values", srnn_rnn_read_param(rnn, 0, again, HUGE_LEN, &err));

  IS_NULL("rnn", srnn_rnn_write_param(NULL, 0, again, 96, &err));
  IS_NULL("values", srnn_rnn_write_param(rnn, 0, NULL, 96, &err));
  BAD_SHAPE("95", srnn_rnn_write_param(rnn, 0, again, 95, &err));
  BAD_ARGUMENT("index", srnn_rnn_write_param(rnn, 16, again, 96, &err));
  BAD_ARGUMENT("aligned", srnn_rnn_write_param(rnn, 0, misaligned(again), 96, &err));
  TOO_LARGE("values", srnn_rnn_write_param(rnn, 0, again, HUGE_LEN, &err));

  IS_NULL("rnn", srnn_rnn_read_values(NULL, again, total, &err));
  IS_NULL("values", srnn_rnn_read_values(rnn, NULL, total, &err));
  BAD_SHAPE("values", srnn_rnn_read_values(rnn, again, total - 1, &err));
  BAD_SHAPE("values", srnn_rnn_read_values(rnn, NULL, 0, &err));
  BAD_ARGUMENT("aligned", srnn_rnn_read_values(rnn, misaligned(again), total - 1, &err));
  TOO_LARGE("values", srnn_rnn_read_values(rnn, again, SIZE_MAX, &err));

  IS_NULL("rnn", srnn_rnn_write_values(NULL, again, total, &err));
  IS_NULL("values", srnn_rnn_write_values(rnn, NULL, total, &err));
  BAD_SHAPE("values", srnn_rnn_write_values(rnn, again, total - 1, &err));
  BAD_ARGUMENT("aligned", srnn_rnn_write_values(rnn, misaligned(again), total - 1, &err));
  TOO_LARGE("values", srnn_rnn_write_values(rnn, again, SIZE_MAX, &err));
  free(flat);
  free(again);
  srnn_rnn_destroy(rnn);
}

int main(void) {
  configuration();
  copies();
  wrong_configurations();
  parameters();
  return finish();
}
