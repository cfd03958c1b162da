/* Dense layers. */

#include "check.h"

enum { IN = 3, OUT = 4, ROWS = 5, VALUES = OUT * IN + OUT };

static float w[VALUES + 1], x[ROWS * IN + 1], y[ROWS * OUT + 1], dy[ROWS * OUT], dx[ROWS * IN + 1], g[VALUES + 1];

/* y = W x + b and its gradients, written out. */
static void use(srnn_session *session) {
  srnn_dense *dense, *plain;
  float back[VALUES];
  size_t r, i, k;
  OK(srnn_dense_create(IN, OUT, 1, &dense, &err));
  OK(srnn_dense_create(IN, OUT, 0, &plain, &err));
  CHECK(srnn_dense_in_features(dense) == IN && srnn_dense_out_features(dense) == OUT);
  CHECK(srnn_dense_value_count(dense) == VALUES && srnn_dense_value_count(plain) == OUT * IN);
  CHECK(srnn_dense_in_features(NULL) == 0 && srnn_dense_out_features(NULL) == 0 && srnn_dense_value_count(NULL) == 0);
  OK(srnn_dense_read_values(dense, w, VALUES, &err));
  CHECK(all(w, VALUES, 0.0f));
  OK(srnn_dense_init(dense, 1, &err));
  OK(srnn_dense_read_values(dense, w, VALUES, &err));
  for (i = 0; i < VALUES; ++i) CHECK(w[i] != 0 && fabsf(w[i]) <= 0.5774f);
  fill(w, VALUES, 1);
  OK(srnn_dense_write_values(dense, w, VALUES, &err));
  OK(srnn_dense_read_values(dense, back, VALUES, &err));
  CHECK(same_bits(w, back, VALUES));

  fill(x, ROWS * IN, 2);
  fill(dy, ROWS * OUT, 3);
  memset(g, 0, sizeof g);
  OK(srnn_dense_forward(dense, session, x, ROWS * IN, y, ROWS * OUT, &err));
  OK(srnn_dense_backward(dense, session, x, ROWS * IN, dy, ROWS * OUT, dx, ROWS * IN, g, VALUES, &err));
  for (r = 0; r < ROWS; ++r) {
    for (i = 0; i < OUT; ++i) {
      double sum = w[OUT * IN + i];
      for (k = 0; k < IN; ++k) sum += (double)w[i * IN + k] * x[r * IN + k];
      CHECK(fabs(sum - y[r * OUT + i]) < 1e-6);
    }
    for (k = 0; k < IN; ++k) {
      double sum = 0;
      for (i = 0; i < OUT; ++i) sum += (double)w[i * IN + k] * dy[r * OUT + i];
      CHECK(fabs(sum - dx[r * IN + k]) < 1e-6);
    }
  }
  for (i = 0; i < OUT; ++i) {
    double bias = 0;
    for (r = 0; r < ROWS; ++r) bias += dy[r * OUT + i];
    CHECK(fabs(bias - g[OUT * IN + i]) < 1e-6);
    for (k = 0; k < IN; ++k) {
      double sum = 0;
      for (r = 0; r < ROWS; ++r) sum += (double)dy[r * OUT + i] * x[r * IN + k];
      CHECK(fabs(sum - g[i * IN + k]) < 1e-6);
    }
  }
  /* Either half of backward alone, gradients adding up, and no rows at all. */
  memcpy(back, g, sizeof back);
  OK(srnn_dense_backward(dense, session, x, ROWS * IN, dy, ROWS * OUT, NULL, 0, g, VALUES, &err));
  for (i = 0; i < VALUES; ++i) CHECK(fabsf(g[i] - 2 * back[i]) < 1e-5f);
  OK(srnn_dense_backward(dense, session, x, ROWS * IN, dy, ROWS * OUT, dx, ROWS * IN, NULL, 0, &err));
  OK(srnn_dense_forward(dense, session, NULL, 0, NULL, 0, &err));
  srnn_dense_destroy(plain);
  srnn_dense_destroy(dense);
  srnn_dense_destroy(NULL);
}

/* Products large enough for a pool: one row, split by columns, and many. */
static void on_threads(void) {
  enum { WIDE = 515, TALL = 2049, MOST = 30 };
  static const size_t counts[2] = {1, MOST};
  srnn_dense *dense;
  srnn_pool *pool;
  srnn_session *session;
  size_t n;
  float *in = calloc(MOST * WIDE, sizeof *in);
  float *alone = calloc(MOST * TALL, sizeof *alone), *shared = calloc(MOST * TALL, sizeof *shared);
  CHECK(in != NULL && alone != NULL && shared != NULL);
  fill(in, MOST * WIDE, 5);
  OK(srnn_dense_create(WIDE, TALL, 1, &dense, &err));
  OK(srnn_dense_init(dense, 6, &err));
  OK(srnn_pool_create(2, &pool, &err));
  OK(srnn_session_create(&session, &err));
  OK(srnn_session_set_pool(session, pool, &err));
  for (n = 0; n < COUNT(counts); ++n) {
    size_t x_len = counts[n] * WIDE, y_len = counts[n] * TALL;
    OK(srnn_dense_forward(dense, NULL, in, x_len, alone, y_len, &err));
    OK(srnn_dense_forward(dense, session, in, x_len, shared, y_len, &err));
    CHECK(same_bits(alone, shared, y_len) && !all(alone, y_len, 0.0f));
  }
  srnn_session_destroy(session);
  srnn_pool_destroy(pool);
  srnn_dense_destroy(dense);
  free(shared);
  free(alone);
  free(in);
}

static void misuse(srnn_session *s) {
  srnn_dense *d, *none = NULL;
  IS_NULL("dense", srnn_dense_create(IN, OUT, 1, NULL, &err));
  BAD_ARGUMENT("in_features", srnn_dense_create(0, OUT, 1, &none, &err));
  BAD_ARGUMENT("out_features", srnn_dense_create(IN, 0, 1, &none, &err));
  BAD_ARGUMENT("bias is 2", srnn_dense_create(IN, OUT, 2, &none, &err));
  TOO_LARGE("weights", srnn_dense_create(SIZE_MAX, SIZE_MAX, 1, &none, &err));
  TOO_LARGE("weights", srnn_dense_create(SIZE_MAX, 1, 1, &none, &err));
  REFUSED(SRNN_ERROR_OUT_OF_MEMORY, "allocate", srnn_dense_create((size_t)1 << 28, (size_t)1 << 28, 1, &none, &err));
  CHECK(none == NULL);
  OK(srnn_dense_create(IN, OUT, 1, &d, &err));
  IS_NULL("dense", srnn_dense_init(NULL, 1, &err));

  w[0] = y[0] = dx[0] = g[0] = 77;
  IS_NULL("dense", srnn_dense_read_values(NULL, w, VALUES, &err));
  IS_NULL("values", srnn_dense_read_values(d, NULL, VALUES, &err));
  BAD_SHAPE("values", srnn_dense_read_values(d, w, VALUES + 1, &err));
  TOO_LARGE("values", srnn_dense_read_values(d, w, HUGE_LEN, &err));
  IS_NULL("dense", srnn_dense_write_values(NULL, w, VALUES, &err));
  IS_NULL("values", srnn_dense_write_values(d, NULL, VALUES, &err));
  BAD_SHAPE("values", srnn_dense_write_values(d, w, VALUES - 1, &err));
  BAD_ARGUMENT("aligned", srnn_dense_write_values(d, misaligned(w), VALUES, &err));

  IS_NULL("dense", srnn_dense_forward(NULL, s, x, IN, y, OUT, &err));
  IS_NULL("x", srnn_dense_forward(d, NULL, NULL, IN, y, OUT, &err));
  IS_NULL("y", srnn_dense_forward(d, NULL, x, IN, NULL, OUT, &err));
  BAD_SHAPE("x", srnn_dense_forward(d, NULL, x, IN + 1, y, OUT, &err));
  BAD_SHAPE("y", srnn_dense_forward(d, NULL, x, IN, y, OUT + 1, &err));
  BAD_SHAPE("y", srnn_dense_forward(d, NULL, x, IN, y, 2 * OUT, &err));
  TOO_LARGE("x", srnn_dense_forward(d, NULL, x, HUGE_LEN, y, OUT, &err));
  BAD_ARGUMENT("aligned", srnn_dense_forward(d, NULL, x, IN, misaligned(y), OUT, &err));
  BAD_ARGUMENT("overlaps", srnn_dense_forward(d, NULL, y, IN, y, OUT, &err));

  IS_NULL("dense", srnn_dense_backward(NULL, s, x, IN, dy, OUT, dx, IN, g, VALUES, &err));
  IS_NULL("session", srnn_dense_backward(d, NULL, x, IN, dy, OUT, dx, IN, g, VALUES, &err));
  IS_NULL("x", srnn_dense_backward(d, s, NULL, IN, dy, OUT, dx, IN, g, VALUES, &err));
  IS_NULL("dy", srnn_dense_backward(d, s, x, IN, NULL, OUT, dx, IN, g, VALUES, &err));
  IS_NULL("dx", srnn_dense_backward(d, s, x, IN, dy, OUT, NULL, IN, g, VALUES, &err));
  IS_NULL("grads", srnn_dense_backward(d, s, x, IN, dy, OUT, dx, IN, NULL, VALUES, &err));
  BAD_SHAPE("x", srnn_dense_backward(d, s, x, IN + 1, dy, OUT, dx, IN, g, VALUES, &err));
  BAD_SHAPE("dy", srnn_dense_backward(d, s, x, IN, dy, OUT + 1, dx, IN, g, VALUES, &err));
  BAD_SHAPE("dx", srnn_dense_backward(d, s, x, IN, dy, OUT, dx, IN + 1, g, VALUES, &err));
  BAD_SHAPE("grads", srnn_dense_backward(d, s, x, IN, dy, OUT, dx, IN, g, VALUES - 1, &err));
  TOO_LARGE("grads", srnn_dense_backward(d, s, x, IN, dy, OUT, dx, IN, g, HUGE_LEN, &err));
  BAD_ARGUMENT("overlaps", srnn_dense_backward(d, s, x, IN, dy, OUT, x, IN, g, VALUES, &err));
  CHECK(w[0] == 77 && y[0] == 77 && dx[0] == 77 && g[0] == 77);
  srnn_dense_destroy(d);
}

int main(void) {
  srnn_session *session = make_session();
  use(session);
  on_threads();
  misuse(session);
  srnn_session_destroy(session);
  return finish();
}
