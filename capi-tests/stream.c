/* Streams. */

#include "check.h"

enum { IN = 3, HIDDEN = 5, LANES = 2, STEPS = 7, LAYERS = 2 };
enum { X = LANES * IN, Y = LANES * HIDDEN, STATE = LAYERS * LANES * HIDDEN };

static float x[STEPS * X + 1], whole[STEPS * Y], y[STEPS * Y + 1];

/* Step by step, in pieces and whole: the same bits. */
static void use(const srnn_rnn *rnn) {
  srnn_session *session = make_session();
  srnn_stream *stream;
  srnn_pool *pool;
  srnn_forward_args batch;
  srnn_state from;
  srnn_state_out last, to;
  float hn[STATE], cn[STATE], h[STATE], c[STATE];
  size_t t;
  srnn_forward_args_init(&batch, LANES, STEPS);
  srnn_state_out_init(&last, hn, STATE, cn, STATE);
  OK(run_forward(rnn, session, &batch, x, STEPS * X, NULL, whole, STEPS * Y, &last, &err));
  OK(srnn_stream_create(rnn, LANES, &stream, &err));
  CHECK(srnn_stream_lane_count(stream) == LANES && srnn_stream_lane_count(NULL) == 0);
  CHECK(srnn_stream_bytes(stream) > 0 && srnn_stream_bytes(NULL) == 0);
  for (t = 0; t < STEPS; ++t) OK(srnn_stream_step(stream, rnn, x + t * X, X, y + t * Y, Y, &err));
  CHECK(same_bits(y, whole, STEPS * Y));
  srnn_state_out_init(&to, h, STATE, c, STATE);
  OK(srnn_stream_get_state(stream, &to, &err));
  CHECK(same_bits(h, hn, STATE) && same_bits(c, cn, STATE));

  OK(srnn_stream_reset(stream, &err));
  OK(srnn_stream_get_state(stream, &to, &err));
  CHECK(all(h, STATE, 0.0f) && all(c, STATE, 0.0f));
  memset(y, 0, sizeof y);
  OK(srnn_stream_process(stream, rnn, 3, x, 3 * X, y, 3 * Y, &err));
  OK(srnn_stream_get_state(stream, &to, &err));
  OK(srnn_stream_process(stream, rnn, STEPS - 3, x + 3 * X, (STEPS - 3) * X, y + 3 * Y, (STEPS - 3) * Y, &err));
  CHECK(same_bits(y, whole, STEPS * Y));

  /* Back to the third step; silently over the next; on from there. */
  srnn_state_init(&from, h, STATE, c, STATE);
  OK(srnn_stream_set_state(stream, &from, &err));
  OK(srnn_stream_process(stream, rnn, 1, x + 3 * X, X, NULL, 0, &err));
  OK(srnn_stream_step(stream, rnn, x + 4 * X, X, y, Y, &err));
  CHECK(same_bits(y, whole + 4 * Y, Y));

  /* One lane starts again, the other goes on. */
  OK(srnn_stream_set_state(stream, &from, &err));
  OK(srnn_stream_reset_lane(stream, 1, &err));
  OK(srnn_stream_step(stream, rnn, x + 3 * X, X, y, Y, &err));
  CHECK(same_bits(y, whole + 3 * Y, HIDDEN) && !same_bits(y + HIDDEN, whole + 3 * Y + HIDDEN, HIDDEN));
  OK(srnn_stream_set_state(stream, NULL, &err)); /* zeros */
  OK(srnn_stream_step(stream, rnn, x, X, y, Y, &err));
  CHECK(same_bits(y, whole, Y));

  /* A pool, which the stream keeps alive, and none again: the states stay. */
  OK(srnn_pool_create(2, &pool, &err));
  OK(srnn_stream_set_pool(stream, pool, &err));
  srnn_pool_destroy(pool);
  OK(srnn_stream_step(stream, rnn, x + X, X, y + Y, Y, &err));
  OK(srnn_stream_set_pool(stream, NULL, &err));
  OK(srnn_stream_process(stream, rnn, STEPS - 2, x + 2 * X, (STEPS - 2) * X, y + 2 * Y, (STEPS - 2) * Y, &err));
  CHECK(same_bits(y, whole, STEPS * Y));
  srnn_stream_destroy(stream);
  srnn_stream_destroy(NULL);
  srnn_session_destroy(session);
}

static void misuse(const srnn_rnn *rnn) {
  srnn_rnn *backward = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, LAYERS, SRNN_DIRECTION_BIDIRECTIONAL);
  srnn_rnn *gru = make_rnn(SRNN_CELL_GRU, IN, HIDDEN, LAYERS, SRNN_DIRECTION_FORWARD);
  srnn_stream *s, *g, *none = NULL;
  srnn_state from;
  srnn_state_out to;
  float h[STATE + 1], before[STATE];
  IS_NULL("rnn", srnn_stream_create(NULL, 1, &none, &err));
  IS_NULL("stream", srnn_stream_create(rnn, 1, NULL, &err));
  BAD_ARGUMENT("lanes", srnn_stream_create(rnn, 0, &none, &err));
  BAD_ARGUMENT("forward layers", srnn_stream_create(backward, 1, &none, &err));
  TOO_LARGE("", srnn_stream_create(rnn, SIZE_MAX, &none, &err));
  REFUSED(SRNN_ERROR_OUT_OF_MEMORY, "allocate", srnn_stream_create(rnn, SIZE_MAX >> 20, &none, &err));
  CHECK(none == NULL);
  OK(srnn_stream_create(rnn, LANES, &s, &err));
  OK(srnn_stream_create(gru, LANES, &g, &err));
  OK(srnn_stream_step(s, rnn, x, X, y, Y, &err));
  srnn_state_out_init(&to, before, STATE, NULL, 0);
  OK(srnn_stream_get_state(s, &to, &err));
  y[0] = 77;

  IS_NULL("stream", srnn_stream_step(NULL, rnn, x, X, y, Y, &err));
  IS_NULL("rnn", srnn_stream_step(s, NULL, x, X, y, Y, &err));
  IS_NULL("x", srnn_stream_step(s, rnn, NULL, X, y, Y, &err));
  IS_NULL("y", srnn_stream_step(s, rnn, x, X, NULL, Y, &err));
  BAD_SHAPE("x", srnn_stream_step(s, rnn, x, X - 1, y, Y, &err));
  BAD_SHAPE("y", srnn_stream_step(s, rnn, x, X, y, Y + 1, &err));
  BAD_SHAPE("y", srnn_stream_step(s, rnn, x, X, NULL, 0, &err));
  TOO_LARGE("x", srnn_stream_step(s, rnn, x, HUGE_LEN, y, Y, &err));
  BAD_ARGUMENT("aligned", srnn_stream_step(s, rnn, misaligned(x), X, y, Y, &err));
  BAD_ARGUMENT("overlaps", srnn_stream_step(s, rnn, y + 1, X, y, Y, &err));
  BAD_STATE("configuration", srnn_stream_step(s, gru, x, X, y, Y, &err));

  IS_NULL("stream", srnn_stream_process(NULL, rnn, 1, x, X, y, Y, &err));
  IS_NULL("rnn", srnn_stream_process(s, NULL, 1, x, X, y, Y, &err));
  IS_NULL("x", srnn_stream_process(s, rnn, 1, NULL, X, y, Y, &err));
  IS_NULL("y", srnn_stream_process(s, rnn, 1, x, X, NULL, Y, &err));
  BAD_SHAPE("x", srnn_stream_process(s, rnn, 2, x, X, y, 2 * Y, &err));
  BAD_SHAPE("y", srnn_stream_process(s, rnn, 2, x, 2 * X, y, Y, &err));
  TOO_LARGE("", srnn_stream_process(s, rnn, SIZE_MAX, x, X, y, Y, &err));
  BAD_STATE("configuration", srnn_stream_process(s, gru, 1, x, X, y, Y, &err));

  IS_NULL("stream", srnn_stream_get_state(NULL, &to, &err));
  IS_NULL("state", srnn_stream_get_state(s, NULL, &err));
  srnn_state_out_init(&to, h, STATE + 1, NULL, 0);
  BAD_SHAPE("h", srnn_stream_get_state(s, &to, &err));
  srnn_state_out_init(&to, NULL, STATE, NULL, 0);
  IS_NULL("state.h", srnn_stream_get_state(s, &to, &err));
  srnn_state_out_init(&to, NULL, 0, h, STATE);
  BAD_ARGUMENT("only an LSTM", srnn_stream_get_state(g, &to, &err));
  to.struct_size = 0;
  BAD_ARGUMENT("struct_size", srnn_stream_get_state(s, &to, &err));

  IS_NULL("stream", srnn_stream_set_state(NULL, NULL, &err));
  srnn_state_init(&from, h, STATE - 1, NULL, 0);
  BAD_SHAPE("h", srnn_stream_set_state(s, &from, &err));
  srnn_state_init(&from, h, STATE, NULL, 1);
  IS_NULL("state.c", srnn_stream_set_state(s, &from, &err));
  srnn_state_init(&from, NULL, 0, h, STATE);
  BAD_ARGUMENT("only an LSTM", srnn_stream_set_state(g, &from, &err));
  IS_NULL("stream", srnn_stream_set_pool(NULL, NULL, &err));
  IS_NULL("stream", srnn_stream_reset(NULL, &err));
  IS_NULL("stream", srnn_stream_reset_lane(NULL, 0, &err));
  BAD_ARGUMENT("lane 2", srnn_stream_reset_lane(s, LANES, &err));

  /* No failed call has moved anything. */
  CHECK(y[0] == 77);
  srnn_state_out_init(&to, h, STATE, NULL, 0);
  OK(srnn_stream_get_state(s, &to, &err));
  CHECK(same_bits(h, before, STATE));
  srnn_stream_destroy(s);
  srnn_stream_destroy(g);
  srnn_rnn_destroy(gru);
  srnn_rnn_destroy(backward);
}

int main(void) {
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, LAYERS, SRNN_DIRECTION_FORWARD);
  fill(x, STEPS * X, 1);
  use(rnn);
  misuse(rnn);
  srnn_rnn_destroy(rnn);
  return finish();
}
