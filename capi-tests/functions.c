/* Functions on arrays: softmax, activations, dropout, losses, clipping. */

#include "check.h"

enum { ROWS = 3, COLS = 5, N = ROWS * COLS };

static float x[N + 1], y[N + 1], z[N + 1];

static void softmax(void) {
  size_t r, i;
  fill(x, N, 1);
  OK(srnn_softmax(COLS, x, N, y, N, &err));
  OK(srnn_log_softmax(COLS, x, N, z, N, &err));
  for (r = 0; r < ROWS; ++r) {
    double sum = 0;
    for (i = 0; i < COLS; ++i) sum += exp((double)x[r * COLS + i]);
    for (i = 0; i < COLS; ++i) {
      CHECK(fabs(exp((double)x[r * COLS + i]) / sum - y[r * COLS + i]) < 1e-6);
      CHECK(fabs(x[r * COLS + i] - log(sum) - z[r * COLS + i]) < 1e-6);
    }
  }
  memcpy(y, x, sizeof y);
  OK(srnn_sigmoid(y, N, &err));
  for (i = 0; i < N; ++i) CHECK(fabs(1 / (1 + exp(-(double)x[i])) - y[i]) < 1e-6);
  OK(srnn_softmax(COLS, NULL, 0, NULL, 0, &err));
  OK(srnn_sigmoid(NULL, 0, &err));

  y[0] = z[0] = 77;
  IS_NULL("x", srnn_softmax(COLS, NULL, N, y, N, &err));
  IS_NULL("y", srnn_softmax(COLS, x, N, NULL, N, &err));
  BAD_SHAPE("columns", srnn_softmax(COLS, x, N - 1, y, N - 1, &err));
  BAD_SHAPE("columns", srnn_softmax(0, x, N, y, N, &err));
  BAD_SHAPE("15", srnn_softmax(COLS, x, N, y, N - COLS, &err));
  BAD_ARGUMENT("overlaps", srnn_softmax(COLS, y, N, y, N, &err));
  TOO_LARGE("x", srnn_softmax(COLS, x, HUGE_LEN, y, N, &err));
  IS_NULL("x", srnn_log_softmax(COLS, NULL, N, z, N, &err));
  IS_NULL("y", srnn_log_softmax(COLS, x, N, NULL, N, &err));
  BAD_SHAPE("columns", srnn_log_softmax(COLS, x, N + 1, z, N + 1, &err));
  BAD_ARGUMENT("aligned", srnn_log_softmax(COLS, misaligned(x), N, z, N, &err));
  IS_NULL("x", srnn_sigmoid(NULL, N, &err));
  BAD_ARGUMENT("aligned", srnn_sigmoid(misaligned(y), N, &err));
  TOO_LARGE("x", srnn_sigmoid(y, SIZE_MAX, &err));
  CHECK(y[0] == 77 && z[0] == 77);
}

static void activations(void) {
  enum { ALL = 41 };
  static float t[ALL], r[ALL], s[ALL], d[3][ALL];
  const float *const results[3] = {s, t, r};
  srnn_status (*const backward[3])(const float *, size_t, float *, size_t, srnn_error *) = {
      srnn_sigmoid_backward, srnn_tanh_backward, srnn_relu_backward};
  int i, f;
  for (i = 0; i < ALL; ++i) {
    t[i] = r[i] = s[i] = (float)(i - 20) / 8;
    d[0][i] = d[1][i] = d[2][i] = 2;
  }
  OK(srnn_tanh(t, ALL, &err));
  OK(srnn_relu(r, ALL, &err));
  OK(srnn_sigmoid(s, ALL, &err));
  OK(srnn_sigmoid_backward(s, ALL, d[0], ALL, &err));
  OK(srnn_tanh_backward(t, ALL, d[1], ALL, &err));
  OK(srnn_relu_backward(r, ALL, d[2], ALL, &err));
  for (i = 0; i < ALL; ++i) {
    const double v = (i - 20) / 8.0, sigmoid = 1 / (1 + exp(-v));
    CHECK(fabs(tanh(v) - t[i]) < 2e-7 && r[i] == (v > 0 ? (float)v : 0));
    CHECK(fabs(2 * sigmoid * (1 - sigmoid) - d[0][i]) < 1e-6 && fabs(2 / cosh(v) / cosh(v) - d[1][i]) < 1e-6);
    CHECK(d[2][i] == (v > 0 ? 2 : 0));
  }
  OK(srnn_tanh(NULL, 0, &err));
  OK(srnn_relu(NULL, 0, &err));

  t[0] = r[0] = s[0] = 77;
  IS_NULL("x", srnn_tanh(NULL, ALL, &err));
  BAD_ARGUMENT("aligned", srnn_tanh(misaligned(t), 1, &err));
  TOO_LARGE("x", srnn_tanh(t, SIZE_MAX, &err));
  IS_NULL("x", srnn_relu(NULL, ALL, &err));
  BAD_ARGUMENT("aligned", srnn_relu(misaligned(r), 1, &err));
  TOO_LARGE("x", srnn_relu(r, SIZE_MAX, &err));
  BAD_SHAPE("d has 40", srnn_sigmoid_backward(s, ALL, d[0], ALL - 1, &err));
  BAD_SHAPE("d has 40", srnn_tanh_backward(t, ALL, d[1], ALL - 1, &err));
  BAD_SHAPE("d has 40", srnn_relu_backward(r, ALL, d[2], ALL - 1, &err));
  for (f = 0; f < 3; ++f) {
    const float first = d[f][0];
    IS_NULL("y", backward[f](NULL, ALL, d[f], ALL, &err));
    IS_NULL("d", backward[f](results[f], ALL, NULL, ALL, &err));
    CHECK(d[f][0] == first);
  }
  CHECK(t[0] == 77 && r[0] == 77 && s[0] == 77);
}

static void dropout(void) {
  enum { MANY = 4000 };
  static float a[MANY], b[MANY];
  size_t i, zeros = 0;
  for (i = 0; i < MANY; ++i) a[i] = b[i] = 1.0f;
  OK(srnn_dropout(0.75, 9, 0, a, MANY, &err));
  for (i = 0; i < MANY; ++i) {
    CHECK(a[i] == 0.0f || a[i] == 4.0f);
    zeros += a[i] == 0.0f;
  }
  CHECK(zeros > 2900 && zeros < 3100);
  OK(srnn_dropout(0.75, 9, 0, b, 1001, &err)); /* the same mask, however it is cut */
  OK(srnn_dropout(0.75, 9, 1001, b + 1001, MANY - 1001, &err));
  CHECK(same_bits(a, b, MANY));
  IS_NULL("x", srnn_dropout(0.5, 9, 0, NULL, 1, &err));
  BAD_ARGUMENT("probability", srnn_dropout(1.5, 9, 0, b, MANY, &err));
  BAD_ARGUMENT("probability", srnn_dropout(-0.5, 9, 0, b, MANY, &err));
  BAD_ARGUMENT("probability", srnn_dropout((double)NAN, 9, 0, b, MANY, &err));
  BAD_ARGUMENT("aligned", srnn_dropout(0.5, 9, 0, misaligned(b), MANY - 1, &err));
  TOO_LARGE("x", srnn_dropout(0.5, 9, 0, b, SIZE_MAX, &err));
  CHECK(same_bits(a, b, MANY));
}

static void cross_entropy(void) {
  static const int64_t targets[ROWS] = {4, -100, 0}, wrong[ROWS] = {1, 2, COLS};
  static const float weights[COLS] = {1, 2, 3, 4, 5}, negative[COLS] = {1, 2, 3, 4, -5};
  srnn_loss_options o;
  double loss, sum, expected, p[N];
  float d[N + 1];
  size_t r, i;
  memset(&o, 0xff, sizeof o);
  srnn_loss_options_init(&o);
  CHECK(o.struct_size == sizeof o && o.reduction == SRNN_REDUCTION_MEAN && o.ignore_index == -100);
  CHECK(o.weight == NULL && o.weight_len == 0 && o.reserved[0] == 0 && o.reserved[1] == 0);
  srnn_loss_options_init(NULL);
  fill(x, N, 1);
  for (r = 0; r < ROWS; ++r) {
    for (sum = 0, i = 0; i < COLS; ++i) sum += exp((double)x[r * COLS + i]);
    for (i = 0; i < COLS; ++i) p[r * COLS + i] = exp((double)x[r * COLS + i]) / sum;
  }
  expected = -(log(p[4]) + log(p[2 * COLS])) / 2;
  OK(srnn_cross_entropy(NULL, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  CHECK(fabs(loss - expected) < 1e-6);
  for (i = 0; i < N; ++i) {
    const double one = i == 4 || i == 2 * COLS ? 1 : 0;
    CHECK(fabs((i / COLS == 1 ? 0 : (p[i] - one) / 2) - d[i]) < 1e-6);
  }
  o.weight = weights;
  o.weight_len = COLS;
  OK(srnn_cross_entropy(&o, COLS, x, N, targets, ROWS, &loss, NULL, 0, &err));
  CHECK(fabs(loss + (5 * log(p[4]) + log(p[2 * COLS])) / 6) < 1e-6);
  o.reduction = SRNN_REDUCTION_SUM;
  OK(srnn_cross_entropy(&o, COLS, x, N, targets, ROWS, &loss, NULL, 0, &err));
  CHECK(fabs(loss + (5 * log(p[4]) + log(p[2 * COLS]))) < 1e-6);

  loss = 77;
  d[0] = 77;
  srnn_loss_options_init(&o);
  IS_NULL("logits", srnn_cross_entropy(NULL, COLS, NULL, N, targets, ROWS, &loss, d, N, &err));
  IS_NULL("targets", srnn_cross_entropy(NULL, COLS, x, N, NULL, ROWS, &loss, d, N, &err));
  IS_NULL("loss", srnn_cross_entropy(NULL, COLS, x, N, targets, ROWS, NULL, d, N, &err));
  IS_NULL("dlogits", srnn_cross_entropy(NULL, COLS, x, N, targets, ROWS, &loss, NULL, N, &err));
  BAD_SHAPE("logits", srnn_cross_entropy(NULL, COLS, x, N - 1, targets, ROWS, &loss, d, N, &err));
  BAD_SHAPE("dlogits", srnn_cross_entropy(NULL, COLS, x, N, targets, ROWS, &loss, d, N + 1, &err));
  TOO_LARGE("logits", srnn_cross_entropy(NULL, SIZE_MAX, x, N, targets, ROWS, &loss, d, N, &err));
  BAD_ARGUMENT("row 2 is 5", srnn_cross_entropy(NULL, COLS, x, N, wrong, ROWS, &loss, d, N, &err));
  BAD_ARGUMENT("mean", srnn_cross_entropy(NULL, COLS, x, COLS, targets + 1, 1, &loss, d, COLS, &err));
  BAD_ARGUMENT("overlaps", srnn_cross_entropy(NULL, COLS, x, N, targets, ROWS, &loss, x, N, &err));
  o.reduction = 2;
  BAD_ARGUMENT("reduction 2", srnn_cross_entropy(&o, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  srnn_loss_options_init(&o);
  o.weight = weights;
  o.weight_len = COLS - 1;
  BAD_SHAPE("weight", srnn_cross_entropy(&o, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  o.weight = negative;
  o.weight_len = COLS;
  BAD_ARGUMENT("weight[4]", srnn_cross_entropy(&o, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  o.weight = NULL;
  IS_NULL("weight", srnn_cross_entropy(&o, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  srnn_loss_options_init(&o);
  o.struct_size = 3;
  BAD_ARGUMENT("struct_size", srnn_cross_entropy(&o, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  srnn_loss_options_init(&o);
  o.reserved[0] = 1;
  BAD_ARGUMENT("reserved", srnn_cross_entropy(&o, COLS, x, N, targets, ROWS, &loss, d, N, &err));
  CHECK(loss == 77 && d[0] == 77);
}

static void other_losses(void) {
  static const float weights[COLS] = {1, 2, 3, 4, 5};
  srnn_loss_options o;
  float t[N], d[N + 1];
  double loss, bce = 0, mse = 0;
  size_t i;
  fill(x, N, 1);
  for (i = 0; i < N; ++i) {
    const double s = 1 / (1 + exp(-(double)x[i]));
    t[i] = i % 3 == 0 ? 1.0f : 0.0f;
    bce -= t[i] * (1 + i % COLS) * log(s) + (1 - t[i]) * log(1 - s);
    mse += ((double)x[i] - t[i]) * ((double)x[i] - t[i]);
  }
  srnn_loss_options_init(&o);
  o.weight = weights;
  o.weight_len = COLS;
  OK(srnn_bce_with_logits(&o, COLS, x, N, t, N, &loss, d, N, &err));
  CHECK(fabs(loss - bce / N) < 1e-6);
  CHECK(fabs((1 / (1 + exp(-(double)x[1]))) / N - d[1]) < 1e-7);
  OK(srnn_mse_loss(NULL, x, N, t, N, &loss, d, N, &err));
  CHECK(fabs(loss - mse / N) < 1e-6 && fabs(d[0] - 2.0 * (x[0] - t[0]) / N) < 1e-7);

  loss = 77;
  d[0] = 77;
  IS_NULL("logits", srnn_bce_with_logits(NULL, COLS, NULL, N, t, N, &loss, d, N, &err));
  IS_NULL("targets", srnn_bce_with_logits(NULL, COLS, x, N, NULL, N, &loss, d, N, &err));
  IS_NULL("loss", srnn_bce_with_logits(NULL, COLS, x, N, t, N, NULL, d, N, &err));
  IS_NULL("dlogits", srnn_bce_with_logits(NULL, COLS, x, N, t, N, &loss, NULL, N, &err));
  BAD_SHAPE("targets", srnn_bce_with_logits(NULL, COLS, x, N, t, N - 1, &loss, d, N, &err));
  BAD_SHAPE("classes", srnn_bce_with_logits(NULL, 4, x, N, t, N, &loss, d, N, &err));
  BAD_SHAPE("dlogits", srnn_bce_with_logits(NULL, COLS, x, N, t, N, &loss, d, N + 1, &err));
  BAD_ARGUMENT("target", srnn_bce_with_logits(NULL, COLS, t, N, x, N, &loss, d, N, &err));
  BAD_ARGUMENT("", srnn_bce_with_logits(NULL, COLS, x, 0, t, 0, &loss, NULL, 0, &err));
  o.reduction = -1;
  BAD_ARGUMENT("reduction", srnn_bce_with_logits(&o, COLS, x, N, t, N, &loss, d, N, &err));
  srnn_loss_options_init(&o);
  o.weight = weights;
  o.weight_len = 1;
  BAD_SHAPE("weight", srnn_bce_with_logits(&o, COLS, x, N, t, N, &loss, d, N, &err));

  IS_NULL("prediction", srnn_mse_loss(NULL, NULL, N, t, N, &loss, d, N, &err));
  IS_NULL("target", srnn_mse_loss(NULL, x, N, NULL, N, &loss, d, N, &err));
  IS_NULL("loss", srnn_mse_loss(NULL, x, N, t, N, NULL, d, N, &err));
  IS_NULL("dprediction", srnn_mse_loss(NULL, x, N, t, N, &loss, NULL, N, &err));
  BAD_SHAPE("target", srnn_mse_loss(NULL, x, N, t, N - 1, &loss, d, N, &err));
  BAD_SHAPE("dprediction", srnn_mse_loss(NULL, x, N, t, N, &loss, d, N - 1, &err));
  BAD_ARGUMENT("weight", srnn_mse_loss(&o, x, N, t, N, &loss, d, N, &err));
  BAD_ARGUMENT("", srnn_mse_loss(NULL, x, 0, t, 0, &loss, NULL, 0, &err));
  BAD_ARGUMENT("overlaps", srnn_mse_loss(NULL, x, N, t, N, &loss, t, N, &err));
  CHECK(loss == 77 && d[0] == 77);
}

static void clipping(void) {
  float a[3] = {3, 0, -4}, b[2] = {12, 0}, before[3];
  float *both[2], *overlapping[2], *missing[2];
  const float *read_only[2];
  const size_t lengths[2] = {3, 2}, huge[2] = {3, HUGE_LEN};
  double norm;
  both[0] = a, both[1] = b;
  read_only[0] = a, read_only[1] = b;
  overlapping[0] = a + 1, overlapping[1] = a;
  missing[0] = a, missing[1] = NULL;
  OK(srnn_grad_norm(read_only, lengths, 2, &norm, &err));
  CHECK(norm == 13);
  OK(srnn_clip_grad_norm(both, lengths, 2, 6.5, 1, &norm, &err));
  CHECK(norm == 13 && fabsf(a[0] - 1.5f) < 1e-5f && fabsf(a[2] + 2) < 1e-5f && fabsf(b[0] - 6) < 1e-5f);
  OK(srnn_clip_grad_norm(both, lengths, 2, (double)INFINITY, 1, NULL, &err));
  CHECK(fabsf(a[0] - 1.5f) < 1e-5f);
  OK(srnn_clip_grad_value(both, lengths, 2, 1, &err));
  CHECK(a[0] == 1 && a[1] == 0 && a[2] == -1 && b[0] == 1);
  OK(srnn_grad_norm(NULL, NULL, 0, &norm, &err));
  CHECK(norm == 0);

  memcpy(before, a, sizeof a);
  norm = 77;
  IS_NULL("grads", srnn_grad_norm(NULL, lengths, 2, &norm, &err));
  IS_NULL("lengths", srnn_grad_norm(read_only, NULL, 2, &norm, &err));
  IS_NULL("norm", srnn_grad_norm(read_only, lengths, 2, NULL, &err));
  TOO_LARGE("grads", srnn_grad_norm(read_only, lengths, HUGE_LEN, &norm, &err));
  TOO_LARGE("grads", srnn_grad_norm(read_only, huge, 2, &norm, &err));
  IS_NULL("grads", srnn_clip_grad_norm(NULL, lengths, 2, 0.5, 1, &norm, &err));
  IS_NULL("lengths", srnn_clip_grad_norm(both, NULL, 2, 0.5, 1, &norm, &err));
  IS_NULL("array of grads", srnn_clip_grad_norm(missing, lengths, 2, 0.5, 1, &norm, &err));
  BAD_ARGUMENT("max_norm", srnn_clip_grad_norm(both, lengths, 2, -1, 1, &norm, &err));
  BAD_ARGUMENT("max_norm", srnn_clip_grad_norm(both, lengths, 2, (double)NAN, 1, &norm, &err));
  BAD_ARGUMENT("overlap", srnn_clip_grad_norm(overlapping, lengths, 2, 0.5, 1, &norm, &err));
  TOO_LARGE("grads", srnn_clip_grad_norm(both, huge, 2, 0.5, 1, &norm, &err));
  IS_NULL("grads", srnn_clip_grad_value(NULL, lengths, 2, 0.5f, &err));
  IS_NULL("lengths", srnn_clip_grad_value(both, NULL, 2, 0.5f, &err));
  IS_NULL("array of grads", srnn_clip_grad_value(missing, lengths, 2, 0.5f, &err));
  BAD_ARGUMENT("clip_value", srnn_clip_grad_value(both, lengths, 2, -0.5f, &err));
  BAD_ARGUMENT("overlap", srnn_clip_grad_value(overlapping, lengths, 2, 0.5f, &err));
  TOO_LARGE("grads", srnn_clip_grad_value(both, huge, 2, 0.5f, &err));
  CHECK(same_bits(a, before, 3) && norm == 77);
}

int main(void) {
  softmax();
  activations();
  dropout();
  cross_entropy();
  other_losses();
  clipping();
  return finish();
}
