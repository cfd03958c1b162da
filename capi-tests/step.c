/* Training steps of whole models: lists of modules with their gradients. */

#include "effects.h"

enum { IN = 2, HIDDEN = 3, ROWS = 4, OUT = 2, DENSE = HIDDEN * OUT + OUT, N = 4, MODULES = 4 };

/* Two of each. */
static srnn_rnn *rnns[2];
static srnn_grads *rnn_grads[2];
static srnn_embedding *embeddings[2];
static srnn_embedding_grads *embedding_grads[2];
static srnn_dense *denses[2];
static float dense_grads[2][DENSE], values[2][N], grads[2][N];

static void create(void) {
  int i;
  for (i = 0; i < 2; ++i) {
    rnns[i] = make_rnn(SRNN_CELL_GRU, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
    OK(srnn_grads_create(rnns[i], &rnn_grads[i], &err));
    OK(srnn_embedding_create(ROWS, IN, -1, &embeddings[i], &err));
    OK(srnn_embedding_grads_create(embeddings[i], &embedding_grads[i], &err));
    OK(srnn_dense_create(HIDDEN, OUT, 1, &denses[i], &err));
  }
}

static void destroy(void) {
  int i;
  for (i = 0; i < 2; ++i) {
    srnn_rnn_destroy(rnns[i]);
    srnn_grads_destroy(rnn_grads[i]);
    srnn_embedding_destroy(embeddings[i]);
    srnn_embedding_grads_destroy(embedding_grads[i]);
    srnn_dense_destroy(denses[i]);
  }
}

/* Values and gradients that differ between the two, or not. */
static void reset(uint32_t other) {
  const uint32_t rows[2] = {1, 3};
  float dy[2 * IN], *data;
  size_t len;
  uint32_t i;
  for (i = 0; i < 2; ++i) {
    const uint32_t seed = i * other;
    OK(srnn_rnn_init(rnns[i], SRNN_INIT_TORCH_UNIFORM, seed, &err));
    OK(srnn_grads_data(rnn_grads[i], &data, &len, &err));
    fill(data, len, 2 + seed);
    OK(srnn_embedding_init_normal(embeddings[i], 3 + seed, &err));
    OK(srnn_embedding_grads_zero(embedding_grads[i], &err));
    fill(dy, COUNT(dy), 4 + seed);
    OK(srnn_embedding_grads_add(embedding_grads[i], rows, 2, dy, COUNT(dy), &err));
    OK(srnn_embedding_set_frozen(embeddings[i], 0, &err));
    OK(srnn_dense_init(denses[i], 5 + seed, &err));
    fill(dense_grads[i], DENSE, 6 + seed);
    fill(values[i], N, 7 + seed);
    fill(grads[i], N, 8 + seed);
  }
}

/* All parameters and gradients of the i-th ones. */
static uint64_t state(int i) {
  float all[256], *data;
  const uint32_t *rows;
  size_t len = srnn_rnn_value_count(rnns[i]), rows_len;
  uint64_t hash;
  OK(srnn_rnn_read_values(rnns[i], all, len, &err));
  hash = of_floats(all, len);
  OK(srnn_grads_data(rnn_grads[i], &data, &len, &err));
  hash = mix(hash, data, len * sizeof *data);
  OK(srnn_embedding_read_rows(embeddings[i], 0, all, ROWS * IN, &err));
  hash = mix(hash, all, ROWS * IN * sizeof *all);
  OK(srnn_embedding_grads_data(embedding_grads[i], &rows, &rows_len, &data, &len, &err));
  hash = mix(mix(hash, rows, rows_len * sizeof *rows), data, len * sizeof *data);
  OK(srnn_dense_read_values(denses[i], all, DENSE, &err));
  hash = mix(mix(hash, all, DENSE * sizeof *all), dense_grads[i], sizeof dense_grads[i]);
  return mix(mix(hash, values[i], sizeof values[i]), grads[i], sizeof grads[i]);
}

/* The model of all the i-th ones. */
static const srnn_module *model(int i) {
  static srnn_module m[2][MODULES];
  int k;
  for (k = 0; k < MODULES; ++k) srnn_module_init(&m[i][k]);
  m[i][0].embedding = embeddings[i], m[i][0].embedding_grads = embedding_grads[i];
  m[i][1].rnn = rnns[i], m[i][1].rnn_grads = rnn_grads[i];
  m[i][2].dense = denses[i], m[i][2].grads = dense_grads[i], m[i][2].grads_len = DENSE;
  m[i][3].values = values[i], m[i][3].values_len = N, m[i][3].grads = grads[i], m[i][3].grads_len = N;
  return m[i];
}

static srnn_optimizer *make_optimizer(int32_t kind, int32_t non_finite) {
  srnn_optimizer_config c;
  srnn_optimizer *o;
  srnn_optimizer_config_init(&c, kind);
  c.non_finite = non_finite;
  OK(srnn_optimizer_create(&c, &o, &err));
  return o;
}

/* A step of the list is the steps of its modules, and clipping that of all arrays in the list's order. */
static void whole_and_pieces(void) {
  int32_t kind;
  int step, k;
  for (kind = SRNN_OPTIMIZER_SGD; kind <= SRNN_OPTIMIZER_RMSPROP; ++kind) {
    srnn_optimizer *whole = make_optimizer(kind, SRNN_NON_FINITE_STOP);
    srnn_optimizer *pieces = make_optimizer(kind, SRNN_NON_FINITE_STOP);
    reset(0);
    CHECK(state(0) == state(1));
    for (step = 0; step < 3; ++step) {
      float *arrays[MODULES];
      size_t lengths[MODULES], rows_len;
      const uint32_t *rows;
      double norm = 0, piecewise = 0;
      const uint64_t before = state(0);
      OK(srnn_modules_clip_grad_norm(model(0), MODULES, 0.75, 1, &norm, &err));
      OK(srnn_optimizer_step(whole, model(0), MODULES, &err));
      CHECK(state(0) != before);
      OK(srnn_embedding_grads_data(embedding_grads[1], &rows, &rows_len, &arrays[0], &lengths[0], &err));
      OK(srnn_grads_data(rnn_grads[1], &arrays[1], &lengths[1], &err));
      arrays[2] = dense_grads[1], lengths[2] = DENSE;
      arrays[3] = grads[1], lengths[3] = N;
      OK(srnn_clip_grad_norm(arrays, lengths, MODULES, 0.75, 1, &piecewise, &err));
      OK(srnn_optimizer_begin_step(pieces, &err));
      OK(srnn_optimizer_update_embedding(pieces, 0, embeddings[1], embedding_grads[1], &err));
      OK(srnn_optimizer_update_rnn(pieces, 1, rnns[1], rnn_grads[1], &err));
      OK(srnn_optimizer_update_dense(pieces, 2, denses[1], dense_grads[1], DENSE, &err));
      OK(srnn_optimizer_update(pieces, 3, values[1], N, grads[1], N, &err));
      CHECK(norm == piecewise && norm > 0.5 && state(0) == state(1));
    }
    CHECK(srnn_optimizer_step_count(whole) == 3 && srnn_optimizer_step_count(pieces) == 3);
    OK(srnn_modules_zero_grad(model(0), MODULES, &err));
    for (k = 0; k < 2; ++k) {
      float *data;
      size_t len, rows_len;
      const uint32_t *rows;
      OK(srnn_grads_data(rnn_grads[0], &data, &len, &err));
      CHECK(all(data, len, 0) && all(dense_grads[0], DENSE, 0) && all(grads[0], N, 0));
      OK(srnn_embedding_grads_data(embedding_grads[0], &rows, &rows_len, &data, &len, &err));
      CHECK(rows_len == 0);
    }
    srnn_optimizer_destroy(whole);
    srnn_optimizer_destroy(pieces);
  }
}

/* Modules without gradients and frozen embeddings stay as they are, count in no norm and keep their slots. */
static void absent(void) {
  srnn_optimizer *o = make_optimizer(SRNN_OPTIMIZER_ADAM, SRNN_NON_FINITE_STOP);
  srnn_module m[MODULES];
  float before[ROWS * IN], after[ROWS * IN];
  double norm = 0, of_values = 0;
  const float *only[1];
  const size_t lengths[1] = {N};
  only[0] = grads[0];
  reset(0);
  memcpy(m, model(0), sizeof m);
  m[1].rnn_grads = NULL;
  m[2].grads = NULL;
  m[2].grads_len = 0;
  OK(srnn_embedding_set_frozen(embeddings[0], 1, &err));
  OK(srnn_embedding_read_rows(embeddings[0], 0, before, COUNT(before), &err));
  OK(srnn_modules_clip_grad_norm(m, MODULES, INFINITY, 1, &norm, &err));
  OK(srnn_grad_norm(only, lengths, 1, &of_values, &err));
  CHECK(norm == of_values);
  OK(srnn_optimizer_step(o, m, MODULES, &err));
  OK(srnn_embedding_read_rows(embeddings[0], 0, after, COUNT(after), &err));
  CHECK(same_bits(before, after, COUNT(before)) && !same_bits(values[0], values[1], N));
  memcpy(values[0], values[1], sizeof values[0]);
  OK(srnn_embedding_set_frozen(embeddings[0], 0, &err));
  CHECK(state(0) == state(1)); /* nothing else has moved */
  OK(srnn_optimizer_step(o, model(0), MODULES, &err));
  OK(srnn_optimizer_step(o, NULL, 0, &err));
  CHECK(srnn_optimizer_step_count(o) == 3);
  OK(srnn_modules_clip_grad_norm(NULL, 0, 1, 1, &norm, &err));
  CHECK(norm == 0);
  OK(srnn_modules_zero_grad(NULL, 0, &err));
  srnn_optimizer_destroy(o);
}

/* It is decided for the whole step. */
static void not_finite(void) {
  srnn_optimizer *stop = make_optimizer(SRNN_OPTIMIZER_SGD, SRNN_NON_FINITE_STOP);
  srnn_optimizer *skip = make_optimizer(SRNN_OPTIMIZER_SGD, SRNN_NON_FINITE_SKIP);
  srnn_optimizer *go_on = make_optimizer(SRNN_OPTIMIZER_SGD, SRNN_NON_FINITE_CONTINUE);
  uint64_t before;
  reset(0);
  grads[0][N - 1] = (float)NAN;
  before = state(0);
  REFUSED(SRNN_ERROR_NON_FINITE, "slot 3", srnn_optimizer_step(stop, model(0), MODULES, &err));
  REFUSED(SRNN_ERROR_NON_FINITE, "norm", srnn_modules_clip_grad_norm(model(0), MODULES, 1, 1, NULL, &err));
  OK(srnn_modules_clip_grad_norm(model(0), MODULES, 1, 0, NULL, &err));
  OK(srnn_optimizer_step(skip, model(0), MODULES, &err));
  CHECK(state(0) == before && srnn_optimizer_step_count(stop) == 0 && srnn_optimizer_skipped_count(stop) == 0);
  CHECK(srnn_optimizer_step_count(skip) == 0 && srnn_optimizer_skipped_count(skip) == 1);
  OK(srnn_optimizer_step(go_on, model(0), MODULES, &err));
  CHECK(srnn_optimizer_step_count(go_on) == 1 && isnan(values[0][N - 1]) && !isnan(values[0][0]) && state(0) != before);
  srnn_optimizer_destroy(stop);
  srnn_optimizer_destroy(skip);
  srnn_optimizer_destroy(go_on);
}

static void misuse(void) {
  srnn_optimizer *o = make_optimizer(SRNN_OPTIMIZER_ADAM, SRNN_NON_FINITE_STOP);
  srnn_module m[2], one;
  uint64_t before;
  reset(0);
  before = state(0);
  srnn_module_init(NULL);
  memcpy(m, model(0), sizeof m);
  IS_NULL("optimizer", srnn_optimizer_step(NULL, m, 1, &err));
  IS_NULL("srnn_module", srnn_optimizer_step(o, NULL, 1, &err));
  IS_NULL("srnn_module", srnn_modules_zero_grad(NULL, 1, &err));
  IS_NULL("srnn_module", srnn_modules_clip_grad_norm(NULL, 1, 1, 1, NULL, &err));
  TOO_LARGE("modules", srnn_optimizer_step(o, m, SIZE_MAX / 8, &err));
  BAD_ARGUMENT("max_norm", srnn_modules_clip_grad_norm(m, 1, -1, 1, NULL, &err));
  BAD_ARGUMENT("error_if_nonfinite", srnn_modules_clip_grad_norm(m, 1, 1, 2, NULL, &err));
  srnn_module_init(&one);
  BAD_ARGUMENT("0 of rnn", srnn_optimizer_step(o, &one, 1, &err));
  one.rnn = rnns[0], one.dense = denses[0];
  BAD_ARGUMENT("2 of rnn", srnn_optimizer_step(o, &one, 1, &err));
  one.dense = NULL, one.embedding_grads = embedding_grads[0];
  BAD_ARGUMENT("another kind", srnn_optimizer_step(o, &one, 1, &err));
  m[1] = m[0];
  BAD_ARGUMENT("twice", srnn_optimizer_step(o, m, 2, &err));
  BAD_ARGUMENT("twice", srnn_modules_zero_grad(m, 2, &err));
  m[1] = model(0)[1];
  m[1].struct_size -= 8;
  BAD_ARGUMENT("struct_size", srnn_optimizer_step(o, m, 2, &err));
  one = model(0)[3];
  one.grads = values[0] + 1;
  one.grads_len = N - 1;
  BAD_ARGUMENT("overlaps another", srnn_optimizer_step(o, &one, 1, &err));
  one = model(0)[3];
  one.grads = NULL;
  IS_NULL("array", srnn_optimizer_step(o, &one, 1, &err));
  OK(srnn_optimizer_step(o, &model(0)[3], 1, &err)); /* slot 0 has N values now */
  memcpy(values[0], values[1], sizeof values[0]);
  BAD_SHAPE("created for 4", srnn_optimizer_step(o, model(0), MODULES, &err));
  CHECK(state(0) == before && srnn_optimizer_step_count(o) == 1);
  srnn_optimizer_destroy(o);
}

static uint64_t run_module(const srnn_module *m) {
  srnn_optimizer *o = make_optimizer(SRNN_OPTIMIZER_SGD, SRNN_NON_FINITE_STOP);
  uint64_t hash;
  reset(1);
  OK(srnn_optimizer_step(o, m, 1, &err));
  hash = state(0);
  srnn_optimizer_destroy(o);
  return hash ^ state(1) * 3;
}

static uint64_t clipped(double max_norm) {
  reset(0);
  OK(srnn_modules_clip_grad_norm(model(0), MODULES, max_norm, 1, NULL, &err));
  return state(0);
}

static uint64_t clipped_nan(int32_t error_if_nonfinite) {
  reset(0);
  grads[0][0] = (float)NAN;
  return (uint64_t)srnn_modules_clip_grad_norm(model(0), MODULES, 1, error_if_nonfinite, NULL, &err);
}

static void options(void) {
  srnn_optimizer *o = make_optimizer(SRNN_OPTIMIZER_SGD, SRNN_NON_FINITE_STOP);
  srnn_module m;
  reset(1);
  m = model(0)[0];
  FIELD(srnn_module, embedding, run_module, &m, embeddings[1]);
  FIELD(srnn_module, embedding_grads, run_module, &m, embedding_grads[1]);
  m = model(0)[1];
  FIELD(srnn_module, rnn, run_module, &m, rnns[1]);
  FIELD(srnn_module, rnn_grads, run_module, &m, rnn_grads[1]);
  m = model(0)[2];
  FIELD(srnn_module, dense, run_module, &m, denses[1]);
  FIELD(srnn_module, grads, run_module, &m, dense_grads[1]);
  FIELD(srnn_module, struct_size, run_module, &m, (uint32_t)offsetof(srnn_module, grads));
  LENGTH(srnn_module, grads_len, &m, srnn_optimizer_step(o, given, 1, &err));
  m = model(0)[3];
  FIELD(srnn_module, values, run_module, &m, values[1]);
  LENGTH(srnn_module, values_len, &m, srnn_optimizer_step(o, given, 1, &err));
  RESERVED(srnn_module, reserved0, &m, srnn_optimizer_step(o, given, 1, &err));
  RESERVED(srnn_module, reserved, &m, srnn_optimizer_step(o, given, 1, &err));
  ARGUMENT(srnn_modules_clip_grad_norm, max_norm, clipped(0.5), clipped(0.25));
  ARGUMENT(srnn_modules_clip_grad_norm, error_if_nonfinite, clipped_nan(0), clipped_nan(1));
  srnn_optimizer_destroy(o);
}

int main(void) {
  create();
  whole_and_pieces();
  absent();
  not_finite();
  misuse();
  options();
  destroy();
  return finish_effects();
}
