/* Truncated backpropagation through time. */

#include "check.h"

enum { IN = 2, HIDDEN = 3, BATCH = 2, K1 = 3, STEPS = 6 };
enum { X = BATCH * IN, Y = BATCH * HIDDEN, STATE = BATCH * HIDDEN };

static float x[STEPS * X + 1], dy[STEPS * Y], y[STEPS * Y + 1], expected[STEPS * Y];

/* With k2 the whole sequence and errors at its end only, it is plain backpropagation. */
static void use(const srnn_rnn *rnn, srnn_session *session) {
  srnn_truncated_bptt *bptt;
  srnn_tape *tape;
  srnn_grads *truncated, *full;
  srnn_forward_args batch;
  srnn_state_out last, state;
  float h[STATE], c[STATE], hn[STATE], cn[STATE], dx[STEPS * X], dx_last[K1 * X], *a, *b;
  size_t i, len;
  OK(srnn_truncated_bptt_create(rnn, BATCH, K1, STEPS, &bptt, &err));
  CHECK(srnn_truncated_bptt_bytes(bptt) > 0 && srnn_truncated_bptt_bytes(NULL) == 0);
  OK(srnn_grads_create(rnn, &truncated, &err));
  OK(srnn_grads_create(rnn, &full, &err));
  OK(srnn_tape_create(&tape, &err));
  srnn_forward_args_init(&batch, BATCH, STEPS);
  srnn_state_out_init(&last, hn, STATE, cn, STATE);
  OK(run_forward_train(rnn, session, tape, &batch, 0, x, STEPS * X, NULL, expected, STEPS * Y, &last, &err));
  memset(dy, 0, sizeof dy);
  fill(dy + K1 * Y, K1 * Y, 3);
  OK(run_backward(rnn, session, tape, dy, STEPS * Y, NULL, dx, STEPS * X, NULL, full, NULL, &err));

  OK(srnn_truncated_bptt_forward(bptt, rnn, session, K1, 0, x, K1 * X, y, K1 * Y, &err));
  OK(srnn_truncated_bptt_forward(bptt, rnn, session, K1, 0, x + K1 * X, K1 * X, y + K1 * Y, K1 * Y, &err));
  CHECK(same_bits(y, expected, STEPS * Y));
  srnn_state_out_init(&state, h, STATE, c, STATE);
  OK(srnn_truncated_bptt_get_state(bptt, &state, &err));
  CHECK(same_bits(h, hn, STATE) && same_bits(c, cn, STATE));
  OK(srnn_truncated_bptt_backward(bptt, rnn, session, dy + K1 * Y, K1 * Y, dx_last, K1 * X, truncated, &err));
  CHECK(same_bits(dx_last, dx + K1 * X, K1 * X));
  OK(srnn_grads_data(truncated, &a, &len, &err));
  OK(srnn_grads_data(full, &b, &len, &err));
  for (i = 0; i < len; ++i) CHECK(fabsf(a[i] - b[i]) <= 1e-5f * (1 + fabsf(b[i])));
  BAD_STATE("due", srnn_truncated_bptt_backward(bptt, rnn, session, dy, K1 * Y, NULL, 0, truncated, &err));

  OK(srnn_truncated_bptt_reset(bptt, &err));
  OK(srnn_truncated_bptt_get_state(bptt, &state, &err));
  CHECK(all(h, STATE, 0.0f) && all(c, STATE, 0.0f));
  memset(y, 0, sizeof y);
  OK(srnn_truncated_bptt_forward(bptt, rnn, session, 2, 0, x, 2 * X, y, 2 * Y, &err));
  CHECK(same_bits(y, expected, 2 * Y));
  srnn_truncated_bptt_destroy(bptt);
  srnn_truncated_bptt_destroy(NULL);
  srnn_tape_destroy(tape);
  srnn_grads_destroy(truncated);
  srnn_grads_destroy(full);
}

/* What was saved before a backward goes on bit for bit in another handle; states alone do after one, where k1 = k2. */
static void resume(const srnn_rnn *rnn, srnn_session *s) {
  srnn_truncated_bptt *a, *b;
  srnn_grads *of_a, *of_b;
  srnn_state_out out;
  srnn_state state;
  float h[STATE], c[STATE], *va, *vb, other[K1 * Y];
  unsigned char bytes[4096];
  size_t size, len;
  OK(srnn_truncated_bptt_create(rnn, BATCH, K1, STEPS, &a, &err));
  OK(srnn_truncated_bptt_create(rnn, BATCH, K1, STEPS, &b, &err));
  OK(srnn_grads_create(rnn, &of_a, &err));
  OK(srnn_grads_create(rnn, &of_b, &err));
  OK(srnn_truncated_bptt_forward(a, rnn, s, K1, 0, x, K1 * X, NULL, 0, &err));
  OK(srnn_truncated_bptt_forward(a, rnn, s, K1, 0, x + K1 * X, K1 * X, NULL, 0, &err));
  size = srnn_truncated_bptt_saved_bytes(a);
  CHECK(size > 100 && size <= sizeof bytes && srnn_truncated_bptt_saved_bytes(NULL) == 0);
  CHECK(srnn_truncated_bptt_step_count(a) == STEPS && srnn_truncated_bptt_step_count(NULL) == 0);
  OK(srnn_truncated_bptt_save_memory(a, bytes, size, &err));
  OK(srnn_truncated_bptt_load_memory(b, bytes, size, &err));
  OK(srnn_truncated_bptt_backward(a, rnn, s, dy + K1 * Y, K1 * Y, NULL, 0, of_a, &err));
  OK(srnn_truncated_bptt_backward(b, rnn, s, dy + K1 * Y, K1 * Y, NULL, 0, of_b, &err));
  OK(srnn_grads_data(of_a, &va, &len, &err));
  OK(srnn_grads_data(of_b, &vb, &len, &err));
  CHECK(same_bits(va, vb, len) && !all(va, len, 0.0f));

  srnn_state_out_init(&out, h, STATE, c, STATE);
  OK(srnn_truncated_bptt_get_state(a, &out, &err));
  OK(srnn_truncated_bptt_reset(b, &err));
  srnn_state_init(&state, h, STATE, c, STATE);
  OK(srnn_truncated_bptt_set_state(b, &state, STEPS, &err));
  CHECK(srnn_truncated_bptt_step_count(b) == STEPS);
  OK(srnn_truncated_bptt_forward(a, rnn, s, K1, 0, x, K1 * X, y, K1 * Y, &err));
  OK(srnn_truncated_bptt_forward(b, rnn, s, K1, 0, x, K1 * X, other, K1 * Y, &err));
  CHECK(same_bits(y, other, K1 * Y));

  IS_NULL("bptt", srnn_truncated_bptt_save_memory(NULL, bytes, size, &err));
  IS_NULL("bytes", srnn_truncated_bptt_save_memory(a, NULL, size, &err));
  BAD_SHAPE("bytes", srnn_truncated_bptt_save_memory(a, bytes, srnn_truncated_bptt_saved_bytes(a) - 1, &err));
  IS_NULL("bptt", srnn_truncated_bptt_load_memory(NULL, bytes, size, &err));
  IS_NULL("bytes", srnn_truncated_bptt_load_memory(b, NULL, size, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "expected", srnn_truncated_bptt_load_memory(b, bytes, size - 1, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, "saved", srnn_truncated_bptt_load_memory(b, NULL, 0, &err));
  IS_NULL("bptt", srnn_truncated_bptt_set_state(NULL, &state, 0, &err));
  srnn_state_init(&state, h, STATE - 1, c, STATE);
  BAD_SHAPE("h", srnn_truncated_bptt_set_state(b, &state, 0, &err));
  srnn_truncated_bptt_destroy(a);
  srnn_truncated_bptt_destroy(b);
  srnn_grads_destroy(of_a);
  srnn_grads_destroy(of_b);
}

static void misuse(const srnn_rnn *rnn, srnn_session *s) {
  srnn_rnn *both = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 1, SRNN_DIRECTION_BIDIRECTIONAL);
  srnn_rnn *gru = make_rnn(SRNN_CELL_GRU, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_truncated_bptt *b, *g, *none = NULL;
  srnn_grads *grads, *foreign;
  srnn_state_out state;
  float h[STATE + 1];
  OK(srnn_grads_create(rnn, &grads, &err));
  OK(srnn_grads_create(gru, &foreign, &err));
  OK(srnn_truncated_bptt_create(rnn, BATCH, K1, K1, &b, &err));
  OK(srnn_truncated_bptt_create(gru, BATCH, K1, K1, &g, &err));
  IS_NULL("rnn", srnn_truncated_bptt_create(NULL, BATCH, K1, K1, &none, &err));
  IS_NULL("bptt", srnn_truncated_bptt_create(rnn, BATCH, K1, K1, NULL, &err));
  BAD_ARGUMENT("batch_size", srnn_truncated_bptt_create(rnn, 0, K1, K1, &none, &err));
  BAD_ARGUMENT("k1", srnn_truncated_bptt_create(rnn, BATCH, 0, K1, &none, &err));
  BAD_ARGUMENT("multiple", srnn_truncated_bptt_create(rnn, BATCH, 3, 4, &none, &err));
  BAD_ARGUMENT("multiple", srnn_truncated_bptt_create(rnn, BATCH, 3, 0, &none, &err));
  BAD_ARGUMENT("forward layers", srnn_truncated_bptt_create(both, BATCH, K1, K1, &none, &err));
  TOO_LARGE("states", srnn_truncated_bptt_create(rnn, SIZE_MAX, K1, K1, &none, &err));
  CHECK(none == NULL);
  OK(srnn_truncated_bptt_create(rnn, BATCH, 1, SIZE_MAX, &none, &err)); /* memory comes with the chunks */
  CHECK(srnn_truncated_bptt_bytes(none) < 4096);
  srnn_truncated_bptt_destroy(none);

  y[0] = 77;
  BAD_STATE("due", srnn_truncated_bptt_backward(b, rnn, s, dy, K1 * Y, NULL, 0, grads, &err));
  IS_NULL("bptt", srnn_truncated_bptt_forward(NULL, rnn, s, K1, 0, x, K1 * X, y, K1 * Y, &err));
  IS_NULL("rnn", srnn_truncated_bptt_forward(b, NULL, s, K1, 0, x, K1 * X, y, K1 * Y, &err));
  IS_NULL("session", srnn_truncated_bptt_forward(b, rnn, NULL, K1, 0, x, K1 * X, y, K1 * Y, &err));
  IS_NULL("x", srnn_truncated_bptt_forward(b, rnn, s, K1, 0, NULL, K1 * X, y, K1 * Y, &err));
  IS_NULL("y", srnn_truncated_bptt_forward(b, rnn, s, K1, 0, x, K1 * X, NULL, K1 * Y, &err));
  BAD_ARGUMENT("4 steps", srnn_truncated_bptt_forward(b, rnn, s, K1 + 1, 0, x, K1 * X, y, K1 * Y, &err));
  BAD_ARGUMENT("0 steps", srnn_truncated_bptt_forward(b, rnn, s, 0, 0, x, 0, y, 0, &err));
  BAD_SHAPE("x", srnn_truncated_bptt_forward(b, rnn, s, K1, 0, x, K1 * X + 1, y, K1 * Y, &err));
  BAD_SHAPE("y", srnn_truncated_bptt_forward(b, rnn, s, K1, 0, x, K1 * X, y, K1 * Y - 1, &err));
  TOO_LARGE("x", srnn_truncated_bptt_forward(b, rnn, s, K1, 0, x, HUGE_LEN, y, K1 * Y, &err));
  BAD_ARGUMENT("overlaps", srnn_truncated_bptt_forward(b, rnn, s, K1, 0, y, K1 * X, y, K1 * Y, &err));
  BAD_STATE("configuration", srnn_truncated_bptt_forward(b, gru, s, K1, 0, x, K1 * X, y, K1 * Y, &err));
  CHECK(y[0] == 77);

  OK(srnn_truncated_bptt_forward(b, rnn, s, K1, 0, x, K1 * X, NULL, 0, &err));
  IS_NULL("bptt", srnn_truncated_bptt_backward(NULL, rnn, s, dy, K1 * Y, NULL, 0, grads, &err));
  IS_NULL("rnn", srnn_truncated_bptt_backward(b, NULL, s, dy, K1 * Y, NULL, 0, grads, &err));
  IS_NULL("session", srnn_truncated_bptt_backward(b, rnn, NULL, dy, K1 * Y, NULL, 0, grads, &err));
  IS_NULL("dy", srnn_truncated_bptt_backward(b, rnn, s, NULL, K1 * Y, NULL, 0, grads, &err));
  IS_NULL("dx", srnn_truncated_bptt_backward(b, rnn, s, dy, K1 * Y, NULL, 1, grads, &err));
  IS_NULL("grads", srnn_truncated_bptt_backward(b, rnn, s, dy, K1 * Y, NULL, 0, NULL, &err));
  BAD_SHAPE("dy", srnn_truncated_bptt_backward(b, rnn, s, dy, K1 * Y - 1, NULL, 0, grads, &err));
  BAD_SHAPE("dx", srnn_truncated_bptt_backward(b, rnn, s, dy, K1 * Y, y, K1 * X + 1, grads, &err));
  BAD_SHAPE("gradients", srnn_truncated_bptt_backward(b, rnn, s, dy, K1 * Y, NULL, 0, foreign, &err));
  BAD_STATE("configuration", srnn_truncated_bptt_backward(b, gru, s, dy, K1 * Y, NULL, 0, foreign, &err));
  OK(srnn_truncated_bptt_backward(b, rnn, s, dy, K1 * Y, NULL, 0, grads, &err));

  srnn_state_out_init(&state, h, STATE, NULL, 0);
  IS_NULL("bptt", srnn_truncated_bptt_get_state(NULL, &state, &err));
  IS_NULL("state", srnn_truncated_bptt_get_state(b, NULL, &err));
  srnn_state_out_init(&state, h, STATE + 1, NULL, 0);
  BAD_SHAPE("h", srnn_truncated_bptt_get_state(b, &state, &err));
  srnn_state_out_init(&state, NULL, 0, h, STATE - 1);
  BAD_SHAPE("c", srnn_truncated_bptt_get_state(b, &state, &err));
  srnn_state_out_init(&state, NULL, 0, h, STATE);
  BAD_ARGUMENT("only an LSTM", srnn_truncated_bptt_get_state(g, &state, &err));
  IS_NULL("bptt", srnn_truncated_bptt_reset(NULL, &err));
  srnn_truncated_bptt_destroy(b);
  srnn_truncated_bptt_destroy(g);
  srnn_grads_destroy(grads);
  srnn_grads_destroy(foreign);
  srnn_rnn_destroy(gru);
  srnn_rnn_destroy(both);
}

/* Chunks of unequal length, each call with a session of its own: where calls are watched, allocations fail in the newest
 * chunk and in older ones, and a failure shows in what comes after. */
static void unequal_chunks(const srnn_rnn *rnn) {
  static const size_t chunks[5] = {40, 1, 40, 17, 40};
  enum { LONG = 40 };
  static float in[LONG * X], out[LONG * Y], errors[LONG * Y], dx[LONG * X];
  srnn_truncated_bptt *b;
  srnn_grads *grads;
  float *g;
  size_t i, len;
  OK(srnn_truncated_bptt_create(rnn, BATCH, LONG, 2 * LONG, &b, &err));
  OK(srnn_grads_create(rnn, &grads, &err));
  OK(srnn_grads_data(grads, &g, &len, &err));
  for (i = 0; i < COUNT(chunks); ++i) {
    const size_t n = chunks[i];
    srnn_session *s = make_session();
    fill(in, LONG * X, (uint32_t)(30 + i));
    fill(errors, LONG * Y, (uint32_t)(40 + i));
    OK(srnn_truncated_bptt_forward(b, rnn, s, n, i, in, n * X, out, n * Y, &err));
    srnn_session_destroy(s);
    s = make_session();
    OK(srnn_truncated_bptt_backward(b, rnn, s, errors, n * Y, dx, n * X, grads, &err));
    srnn_session_destroy(s);
    CHECK(!all(dx, n * X, 0.0f) && !all(g, len, 0.0f));
  }
  srnn_grads_destroy(grads);
  srnn_truncated_bptt_destroy(b);
}

int main(void) {
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_session *session = make_session();
  fill(x, STEPS * X, 1);
  use(rnn, session);
  resume(rnn, session);
  misuse(rnn, session);
  unequal_chunks(rnn);
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
  return finish();
}
