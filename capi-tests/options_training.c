/* Options and scalar arguments of losses, clipping and optimizers: each changes results. */

#include "effects.h"

enum { ROWS = 3, COLS = 5, N = ROWS * COLS };

static float x[N], t[N], d[N], p[N], g[N];

/* ---- Losses. ---- */

static uint64_t of_loss(double loss) { return mix(of_floats(d, N), &loss, sizeof loss); }

static uint64_t run_cross_entropy(const srnn_loss_options *o) {
  static const int64_t targets[ROWS] = {4, -100, 1};
  double loss;
  OK(srnn_cross_entropy(o, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  return of_loss(loss);
}

static uint64_t run_bce(const srnn_loss_options *o) {
  double loss;
  OK(srnn_bce_with_logits(o, COLS, x, N, t, N, &loss, d, N, &err));
  return of_loss(loss);
}

static uint64_t run_mse(const srnn_loss_options *o) {
  double loss;
  OK(srnn_mse_loss(o, x, N, t, N, &loss, d, N, &err));
  return of_loss(loss);
}

/* One or two of three rows take no part. */
static uint64_t ignoring(int64_t index) {
  static const int64_t targets[ROWS] = {1, 2, 1};
  srnn_loss_options o;
  double loss;
  srnn_loss_options_init(&o);
  o.ignore_index = index;
  OK(srnn_cross_entropy(&o, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  CHECK(all(d, COLS, 0.0f) == (index == 1) && all(d + COLS, COLS, 0.0f) == (index == 2));
  return of_loss(loss);
}

static uint64_t run_ignoring(const srnn_loss_options *o) { return ignoring(o->ignore_index); }

static uint64_t classes_of(size_t classes, int is_binary) {
  static const int64_t targets[COLS] = {0, 1, 2, 0, 1};
  static const float weights[COLS] = {1, 2, 3, 4, 5};
  srnn_loss_options o;
  double loss;
  srnn_loss_options_init(&o);
  o.weight = weights;
  o.weight_len = classes;
  if (is_binary) OK(srnn_bce_with_logits(&o, classes, x, N, t, N, &loss, d, N, &err));
  if (!is_binary) OK(srnn_cross_entropy(&o, classes, x, N, targets, N / classes, &loss, d, N, &err));
  return of_loss(loss);
}

static void losses(void) {
  static const float weights[COLS] = {1, 2, 3, 4, 5}, others[COLS] = {5, 4, 3, 2, 2};
  static const int64_t targets[ROWS] = {4, 0, 1};
  srnn_loss_options o;
  double loss;
  size_t i;
  fill(x, N, 1);
  for (i = 0; i < N; ++i) t[i] = i % 3 == 0 ? 1.0f : 0.25f;
  srnn_loss_options_init(&o);
  FIELD(srnn_loss_options, reduction, run_cross_entropy, &o, SRNN_REDUCTION_SUM);
  FIELD(srnn_loss_options, reduction, run_bce, &o, SRNN_REDUCTION_SUM);
  FIELD(srnn_loss_options, reduction, run_mse, &o, SRNN_REDUCTION_SUM);
  o.ignore_index = 1;
  FIELD(srnn_loss_options, ignore_index, run_ignoring, &o, 2);
  srnn_loss_options_init(&o);
  o.weight = weights;
  o.weight_len = COLS;
  FIELD(srnn_loss_options, weight, run_cross_entropy, &o, others);
  FIELD(srnn_loss_options, weight, run_bce, &o, others);
  FIELD(srnn_loss_options, struct_size, run_cross_entropy, &o, 16); /* ends before weight */
  LENGTH(srnn_loss_options, weight_len, &o, srnn_cross_entropy(given, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  LENGTH(srnn_loss_options, weight_len, &o, srnn_bce_with_logits(given, COLS, x, N, t, N, &loss, d, N, &err));
  srnn_loss_options_init(&o);
  RESERVED(srnn_loss_options, reserved, &o, srnn_cross_entropy(given, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  RESERVED(srnn_loss_options, reserved, &o, srnn_bce_with_logits(given, COLS, x, N, t, N, &loss, d, N, &err));
  RESERVED(srnn_loss_options, reserved, &o, srnn_mse_loss(given, x, N, t, N, &loss, d, N, &err));
  ARGUMENT(srnn_cross_entropy, classes, classes_of(COLS, 0), classes_of(ROWS, 0));
  ARGUMENT(srnn_bce_with_logits, classes, classes_of(COLS, 1), classes_of(ROWS, 1));
}

/* ---- Clipping. ---- */

static uint64_t norm_of(size_t count) {
  const float *arrays[2];
  const size_t lengths[2] = {5, 5};
  double norm;
  arrays[0] = x, arrays[1] = x + 5;
  OK(srnn_grad_norm(arrays, lengths, count, &norm, &err));
  return digest(&norm, sizeof norm);
}

static uint64_t clipped(size_t count, double to, int is_norm) {
  float *arrays[2];
  const size_t lengths[2] = {5, 5};
  fill(d, N, 1);
  arrays[0] = d, arrays[1] = d + 5;
  if (is_norm) OK(srnn_clip_grad_norm(arrays, lengths, count, to, 1, NULL, &err));
  if (!is_norm) OK(srnn_clip_grad_value(arrays, lengths, count, (float)to, &err));
  return of_floats(d, N);
}

static uint64_t clipped_nan(int32_t error_if_nonfinite) {
  float nan = (float)NAN, *arrays[1];
  const size_t lengths[1] = {1};
  arrays[0] = &nan;
  return (uint64_t)srnn_clip_grad_norm(arrays, lengths, 1, 1, error_if_nonfinite, NULL, &err);
}

static void clipping(void) {
  CHECK(clipped_nan(0) == SRNN_OK && clipped_nan(1) == SRNN_ERROR_NON_FINITE);
  ARGUMENT(srnn_clip_grad_norm, error_if_nonfinite, clipped_nan(0), clipped_nan(1));
  ARGUMENT(srnn_grad_norm, count, norm_of(2), norm_of(1));
  ARGUMENT(srnn_clip_grad_norm, count, clipped(2, 0.5, 1), clipped(1, 0.5, 1));
  ARGUMENT(srnn_clip_grad_norm, max_norm, clipped(2, 0.5, 1), clipped(2, 0.25, 1));
  ARGUMENT(srnn_clip_grad_value, count, clipped(2, 0.25, 0), clipped(1, 0.25, 0));
  ARGUMENT(srnn_clip_grad_value, clip_value, clipped(2, 0.25, 0), clipped(2, 0.125, 0));
}

/* ---- Optimizers. ---- */

static uint64_t run_optimizer(const srnn_optimizer_config *config) {
  srnn_optimizer *o;
  uint32_t step;
  OK(srnn_optimizer_create(config, &o, &err));
  fill(p, N, 1);
  for (step = 0; step < 3; ++step) {
    fill(g, N, 2 + step);
    OK(srnn_optimizer_begin_step(o, &err));
    OK(srnn_optimizer_update(o, 0, p, N, g, N, &err));
  }
  srnn_optimizer_destroy(o);
  return of_floats(p, N);
}

/* What a gradient that is not finite does. */
static uint64_t run_nan(const srnn_optimizer_config *config) {
  srnn_optimizer *o;
  srnn_status status;
  uint64_t skipped;
  OK(srnn_optimizer_create(config, &o, &err));
  fill(p, N, 1);
  fill(g, N, 2);
  g[1] = (float)NAN;
  OK(srnn_optimizer_begin_step(o, &err));
  status = srnn_optimizer_update(o, 0, p, N, g, N, &err);
  skipped = srnn_optimizer_skipped_count(o);
  srnn_optimizer_destroy(o);
  return mix(mix(of_floats(p, N), &status, sizeof status), &skipped, sizeof skipped);
}

static uint64_t of_kind(int32_t kind) {
  srnn_optimizer_config config;
  srnn_optimizer_config_init(&config, kind);
  return run_optimizer(&config);
}

static uint64_t at_rate(double lr) {
  srnn_optimizer_config config;
  srnn_optimizer *o;
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_SGD);
  config.lr = 1;
  OK(srnn_optimizer_create(&config, &o, &err));
  OK(srnn_optimizer_set_lr(o, lr, &err));
  OK(srnn_optimizer_begin_step(o, &err));
  fill(p, N, 1);
  fill(g, N, 2);
  OK(srnn_optimizer_update(o, 0, p, N, g, N, &err));
  srnn_optimizer_destroy(o);
  return of_floats(p, N);
}

/* Two steps of every kind of parameters, the second as slots `slot`, ...: momentum is what slot 0, ... remember. */
static uint64_t in_slot(size_t slot, int which) {
  static const uint32_t rows[3] = {0, 1, 2};
  srnn_optimizer_config config;
  srnn_optimizer *o;
  srnn_rnn *rnn = make_rnn(SRNN_CELL_ELMAN_TANH, 1, 1, 1, SRNN_DIRECTION_FORWARD);
  srnn_grads *grads;
  srnn_dense *dense;
  srnn_embedding *embedding;
  srnn_embedding_grads *eg;
  float *data;
  size_t len, step;
  uint64_t result[4];
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_SGD);
  config.momentum = 0.5;
  OK(srnn_optimizer_create(&config, &o, &err));
  OK(srnn_grads_create(rnn, &grads, &err));
  OK(srnn_grads_data(grads, &data, &len, &err));
  fill(data, len, 1);
  OK(srnn_dense_create(2, 2, 1, &dense, &err));
  OK(srnn_embedding_create(3, 2, -1, &embedding, &err));
  OK(srnn_embedding_grads_create(embedding, &eg, &err));
  fill(g, N, 2);
  fill(p, N, 3);
  OK(srnn_embedding_grads_add(eg, rows, 3, g, 6, &err));
  for (step = 0; step < 2; ++step) {
    const size_t first = step == 0 ? 0 : slot;
    OK(srnn_optimizer_begin_step(o, &err));
    OK(srnn_optimizer_update_rnn(o, first, rnn, grads, &err));
    OK(srnn_optimizer_update_dense(o, first + 1, dense, g, 6, &err));
    OK(srnn_optimizer_update_embedding(o, first + 2, embedding, eg, &err));
    OK(srnn_optimizer_update(o, first + 3, p, N, g, N, &err));
  }
  OK(srnn_rnn_read_values(rnn, d, len, &err));
  result[0] = of_floats(d, len);
  OK(srnn_dense_read_values(dense, d, 6, &err));
  result[1] = of_floats(d, 6);
  OK(srnn_embedding_read_rows(embedding, 0, d, 6, &err));
  result[2] = of_floats(d, 6);
  result[3] = of_floats(p, N);
  srnn_embedding_grads_destroy(eg);
  srnn_embedding_destroy(embedding);
  srnn_dense_destroy(dense);
  srnn_grads_destroy(grads);
  srnn_rnn_destroy(rnn);
  srnn_optimizer_destroy(o);
  return result[which];
}

static void optimizers(void) {
  srnn_optimizer_config c;
  srnn_optimizer *none = NULL;
  int32_t kind;
  for (kind = SRNN_OPTIMIZER_SGD; kind <= SRNN_OPTIMIZER_RMSPROP; ++kind) {
    srnn_optimizer_config_init(&c, kind);
    c.weight_decay = 0.25;
    FIELD(srnn_optimizer_config, kind, run_optimizer, &c, (kind + 1) % 4);
    FIELD(srnn_optimizer_config, lr, run_optimizer, &c, 0.125);
    FIELD(srnn_optimizer_config, weight_decay, run_optimizer, &c, 0.5);
    FIELD(srnn_optimizer_config, struct_size, run_optimizer, &c, 16); /* ends before weight_decay */
    FIELD(srnn_optimizer_config, non_finite, run_nan, &c, SRNN_NON_FINITE_SKIP);
    FIELD(srnn_optimizer_config, non_finite, run_nan, &c, SRNN_NON_FINITE_CONTINUE);
    RESERVED(srnn_optimizer_config, reserved, &c, srnn_optimizer_create(given, &none, &err));
  }
  srnn_optimizer_config_init(&c, SRNN_OPTIMIZER_SGD);
  FIELD(srnn_optimizer_config, momentum, run_optimizer, &c, 0.5);
  c.momentum = 0.5;
  FIELD(srnn_optimizer_config, dampening, run_optimizer, &c, 0.5);
  FIELD(srnn_optimizer_config, nesterov, run_optimizer, &c, 1);
  for (kind = SRNN_OPTIMIZER_ADAM; kind <= SRNN_OPTIMIZER_ADAMW; ++kind) {
    srnn_optimizer_config_init(&c, kind);
    FIELD(srnn_optimizer_config, beta1, run_optimizer, &c, 0.5);
    FIELD(srnn_optimizer_config, beta2, run_optimizer, &c, 0.5);
    FIELD(srnn_optimizer_config, eps, run_optimizer, &c, 0.5);
  }
  srnn_optimizer_config_init(&c, SRNN_OPTIMIZER_RMSPROP);
  FIELD(srnn_optimizer_config, alpha, run_optimizer, &c, 0.5);
  FIELD(srnn_optimizer_config, eps, run_optimizer, &c, 0.5);
  FIELD(srnn_optimizer_config, momentum, run_optimizer, &c, 0.5);
  FIELD(srnn_optimizer_config, centered, run_optimizer, &c, 1);
  CHECK(none == NULL);
  ARGUMENT(srnn_optimizer_config_init, kind, of_kind(SRNN_OPTIMIZER_ADAM), of_kind(SRNN_OPTIMIZER_ADAMW));
  ARGUMENT(srnn_optimizer_config_init, kind, of_kind(SRNN_OPTIMIZER_SGD), of_kind(SRNN_OPTIMIZER_RMSPROP));
  ARGUMENT(srnn_optimizer_set_lr, lr, at_rate(0.5), at_rate(0.25));
  ARGUMENT(srnn_optimizer_update_rnn, slot, in_slot(0, 0), in_slot(4, 0));
  ARGUMENT(srnn_optimizer_update_dense, slot, in_slot(0, 1), in_slot(4, 1));
  ARGUMENT(srnn_optimizer_update_embedding, slot, in_slot(0, 2), in_slot(4, 2));
  ARGUMENT(srnn_optimizer_update, slot, in_slot(0, 3), in_slot(4, 3));
}

int main(void) {
  losses();
  clipping();
  optimizers();
  return finish_effects();
}
