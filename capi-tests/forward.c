/* Batches, states, sessions and forward. */

#include "check.h"

enum { IN = 3, HIDDEN = 5, BATCH = 4, STEPS = 6 };
enum { X = STEPS * BATCH * IN, Y = STEPS * BATCH * HIDDEN, STATE = BATCH * HIDDEN };

/* h' = tanh(W x + b + U h), from the parameters. */
static void elman(const srnn_rnn *rnn, const float *x, const float *h0, float *y) {
  float w[HIDDEN * IN], u[HIDDEN * HIDDEN], b[HIDDEN], c[HIDDEN];
  size_t t, n, i, k;
  OK(srnn_rnn_read_param(rnn, 0, w, COUNT(w), &err));
  OK(srnn_rnn_read_param(rnn, 1, u, COUNT(u), &err));
  OK(srnn_rnn_read_param(rnn, 2, b, COUNT(b), &err));
  OK(srnn_rnn_read_param(rnn, 3, c, COUNT(c), &err));
  for (t = 0; t < STEPS; ++t)
    for (n = 0; n < BATCH; ++n) {
      const float *before = t == 0 ? h0 + n * HIDDEN : y + ((t - 1) * BATCH + n) * HIDDEN;
      for (i = 0; i < HIDDEN; ++i) {
        double sum = (double)b[i] + c[i];
        for (k = 0; k < IN; ++k) sum += (double)w[i * IN + k] * x[(t * BATCH + n) * IN + k];
        for (k = 0; k < HIDDEN; ++k) sum += (double)u[i * HIDDEN + k] * before[k];
        y[(t * BATCH + n) * HIDDEN + i] = (float)tanh(sum);
      }
    }
}

static void equations(void) {
  srnn_rnn *rnn = make_rnn(SRNN_CELL_ELMAN_TANH, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_session *session = make_session();
  float x[X], y[Y], expected[Y], h0[STATE], hn[STATE], worst = 0;
  srnn_state initial;
  srnn_state_out last;
  srnn_batch batch;
  size_t i;
  fill(x, X, 1);
  fill(h0, STATE, 2);
  srnn_batch_init(&batch, BATCH, STEPS);
  CHECK(batch.struct_size == sizeof batch && batch.lengths == NULL && batch.lengths_len == 0);
  srnn_state_init(&initial, h0, STATE, NULL, 0);
  srnn_state_out_init(&last, hn, STATE, NULL, 0);
  CHECK(initial.struct_size == sizeof initial && initial.h == h0 && initial.c == NULL && last.h_len == STATE);
  OK(srnn_rnn_forward(rnn, session, &batch, x, X, &initial, y, Y, &last, &err));
  elman(rnn, x, h0, expected);
  for (i = 0; i < Y; ++i) worst = fmaxf(worst, fabsf(y[i] - expected[i]));
  CHECK(worst < 1e-6f);
  CHECK(same_bits(hn, y + Y - STATE, STATE));
  CHECK(srnn_session_bytes(session) > 0 && srnn_session_bytes(NULL) == 0);
  srnn_session_destroy(session);
  srnn_session_destroy(NULL);
  srnn_rnn_destroy(rnn);
}

/* The same bits alone and among others, padded or not, in pieces, with threads, and for every instruction set. */
static void one_result(void) {
  static const size_t lengths[BATCH] = {6, 0, 2, 5};
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 2, SRNN_DIRECTION_FORWARD), *scalar;
  srnn_session *session = make_session(), *threaded;
  srnn_pool *pool;
  float x[X], y[Y], again[Y], alone_x[STEPS * IN], alone_y[STEPS * HIDDEN], h[2 * STATE], c[2 * STATE];
  srnn_state from;
  srnn_state_out to;
  srnn_batch batch, first, second;
  size_t n, t;
  int32_t isa;
  fill(x, X, 1);
  memset(again, 0xff, sizeof again);
  srnn_batch_init(&batch, BATCH, STEPS);
  batch.lengths = lengths;
  batch.lengths_len = BATCH;
  OK(srnn_rnn_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  for (n = 0; n < BATCH; ++n) {
    for (t = 0; t < STEPS; ++t) memcpy(alone_x + t * IN, x + (t * BATCH + n) * IN, IN * sizeof *x);
    srnn_batch_init(&first, 1, lengths[n]);
    OK(srnn_rnn_forward(rnn, session, &first, alone_x, lengths[n] * IN, NULL, alone_y, lengths[n] * HIDDEN, NULL,
                        &err));
    for (t = 0; t < STEPS; ++t) {
      const float *row = y + (t * BATCH + n) * HIDDEN;
      CHECK(t < lengths[n] ? same_bits(row, alone_y + t * HIDDEN, HIDDEN) : all(row, HIDDEN, 0.0f));
    }
  }

  srnn_batch_init(&batch, BATCH, STEPS);
  OK(srnn_rnn_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  srnn_batch_init(&first, BATCH, 2);
  srnn_batch_init(&second, BATCH, STEPS - 2);
  srnn_state_init(&from, h, COUNT(h), c, COUNT(c));
  srnn_state_out_init(&to, h, COUNT(h), c, COUNT(c));
  OK(srnn_rnn_forward(rnn, session, &first, x, 2 * BATCH * IN, NULL, again, 2 * STATE, &to, &err));
  OK(srnn_rnn_forward(rnn, session, &second, x + 2 * BATCH * IN, X - 2 * BATCH * IN, &from, again + 2 * STATE,
                      Y - 2 * STATE, NULL, &err));
  CHECK(same_bits(y, again, Y));

  OK(srnn_pool_create(2, &pool, &err));
  OK(srnn_session_create(&threaded, &err));
  OK(srnn_session_set_pool(threaded, pool, &err));
  OK(srnn_rnn_forward(rnn, threaded, &batch, x, X, NULL, again, Y, NULL, &err));
  CHECK(same_bits(y, again, Y));
  srnn_pool_destroy(pool);
  memset(again, 0xff, sizeof again);
  OK(srnn_rnn_forward(rnn, threaded, &batch, x, X, NULL, again, Y, NULL, &err)); /* the pool lives in the session */
  CHECK(same_bits(y, again, Y));
  srnn_session_destroy(threaded);

  isa = srnn_rnn_isa(rnn);
  OK(srnn_isa_set_limit(SRNN_ISA_SCALAR, &err));
  scalar = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 2, SRNN_DIRECTION_FORWARD);
  OK(srnn_isa_set_limit(isa, &err));
  memset(again, 0xff, sizeof again);
  OK(srnn_rnn_forward(scalar, session, &batch, x, X, NULL, again, Y, NULL, &err));
  CHECK(same_bits(y, again, Y));
  srnn_rnn_destroy(scalar);
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
}

static void misuse(void) {
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_rnn *gru = make_rnn(SRNN_CELL_GRU, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_session *s = make_session(), *none = NULL;
  float x[X + 1], y[Y + 1], h[STATE + 1], c[STATE + 1];
  size_t lengths[BATCH] = {1, 2, 3, 4};
  srnn_state initial;
  srnn_state_out last;
  srnn_batch b;
  fill(x, X, 1);
  memset(h, 0, sizeof h);
  memset(c, 0, sizeof c);
  y[0] = y[Y - 1] = 77.0f;
  srnn_batch_init(&b, BATCH, STEPS);
  srnn_batch_init(NULL, BATCH, STEPS);
  srnn_state_init(NULL, h, STATE, c, STATE);
  srnn_state_out_init(NULL, h, STATE, c, STATE);
  IS_NULL("session", srnn_session_create(NULL, &err));
  IS_NULL("session", srnn_session_set_pool(NULL, NULL, &err));
  BAD_ARGUMENT("pool is not aligned", srnn_session_set_pool(s, (srnn_pool *)(void *)misaligned(h), &err));
  CHECK(none == NULL);

  IS_NULL("rnn", srnn_rnn_forward(NULL, s, &b, x, X, NULL, y, Y, NULL, &err));
  IS_NULL("session", srnn_rnn_forward(rnn, NULL, &b, x, X, NULL, y, Y, NULL, &err));
  IS_NULL("batch", srnn_rnn_forward(rnn, s, NULL, x, X, NULL, y, Y, NULL, &err));
  IS_NULL("x is NULL", srnn_rnn_forward(rnn, s, &b, NULL, X, NULL, y, Y, NULL, &err));
  IS_NULL("y is NULL", srnn_rnn_forward(rnn, s, &b, x, X, NULL, NULL, Y, NULL, &err));
  BAD_SHAPE("x has 71 values, expected 72", srnn_rnn_forward(rnn, s, &b, x, X - 1, NULL, y, Y, NULL, &err));
  BAD_SHAPE("x", srnn_rnn_forward(rnn, s, &b, x, X + 1, NULL, y, Y, NULL, &err));
  BAD_SHAPE("x has 0", srnn_rnn_forward(rnn, s, &b, NULL, 0, NULL, y, Y, NULL, &err));
  BAD_SHAPE("y", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y - 1, NULL, &err));
  BAD_SHAPE("y", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y + 1, NULL, &err));
  TOO_LARGE("x", srnn_rnn_forward(rnn, s, &b, x, HUGE_LEN, NULL, y, Y, NULL, &err));
  TOO_LARGE("y", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, HUGE_LEN, NULL, &err));
  BAD_ARGUMENT("x is not aligned", srnn_rnn_forward(rnn, s, &b, misaligned(x), X, NULL, y, Y, NULL, &err));
  BAD_ARGUMENT("y is not aligned", srnn_rnn_forward(rnn, s, &b, x, X, NULL, misaligned(y), Y, NULL, &err));
  BAD_ARGUMENT("y overlaps x", srnn_rnn_forward(rnn, s, &b, y, X, NULL, y, Y, NULL, &err));

  srnn_state_init(&initial, h, STATE - 1, c, STATE);
  BAD_SHAPE("h0", srnn_rnn_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_init(&initial, NULL, STATE, c, STATE);
  IS_NULL("initial.h", srnn_rnn_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_init(&initial, h, STATE, c, STATE + 1);
  BAD_SHAPE("c0", srnn_rnn_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_init(&initial, h, STATE, misaligned(c), STATE);
  BAD_ARGUMENT("initial.c", srnn_rnn_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_init(&initial, h, STATE, c, STATE);
  BAD_ARGUMENT("only an LSTM", srnn_rnn_forward(gru, s, &b, x, X, &initial, y, Y, NULL, &err));
  initial.struct_size = 0;
  BAD_ARGUMENT("srnn_state.struct_size", srnn_rnn_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_init(&initial, h, STATE, c, STATE);
  initial.reserved0 = 1;
  BAD_ARGUMENT("reserved", srnn_rnn_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_out_init(&last, h, STATE + 1, NULL, 0);
  BAD_SHAPE("hn", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, &last, &err));
  srnn_state_out_init(&last, h, STATE, NULL, STATE);
  IS_NULL("last.c", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, &last, &err));
  srnn_state_out_init(&last, h, STATE, h, STATE);
  BAD_ARGUMENT("last.c overlaps last.h", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, &last, &err));
  last.struct_size = 9;
  BAD_ARGUMENT("srnn_state_out.struct_size", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, &last, &err));

  srnn_batch_init(&b, 0, STEPS);
  BAD_ARGUMENT("batch_size", srnn_rnn_forward(rnn, s, &b, x, 0, NULL, y, 0, NULL, &err));
  srnn_batch_init(&b, SIZE_MAX, SIZE_MAX);
  TOO_LARGE("batch_size", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  srnn_batch_init(&b, BATCH, SIZE_MAX / 64);
  TOO_LARGE("x", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  srnn_batch_init(&b, BATCH, STEPS);
  b.lengths = lengths;
  b.lengths_len = BATCH - 1;
  BAD_SHAPE("lengths", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.lengths_len = HUGE_LEN;
  TOO_LARGE("lengths", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.lengths_len = BATCH;
  lengths[2] = STEPS + 1;
  BAD_ARGUMENT("lengths[2] is 7", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.lengths = NULL;
  IS_NULL("lengths", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  srnn_batch_init(&b, BATCH, STEPS);
  b.struct_size += 4096;
  BAD_ARGUMENT("srnn_batch.struct_size", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  srnn_batch_init(&b, BATCH, STEPS);
  b.reserved[1] = 1;
  BAD_ARGUMENT("reserved", srnn_rnn_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  CHECK(y[0] == 77.0f && y[Y - 1] == 77.0f);

  /* What is legal: no outputs at all, and no steps. */
  srnn_batch_init(&b, BATCH, STEPS);
  OK(srnn_rnn_forward(rnn, s, &b, x, X, NULL, NULL, 0, NULL, &err));
  srnn_batch_init(&b, BATCH, 0);
  srnn_state_out_init(&last, h, STATE, NULL, 0);
  fill(h, STATE, 3);
  OK(srnn_rnn_forward(rnn, s, &b, NULL, 0, NULL, NULL, 0, &last, &err));
  CHECK(all(h, STATE, 0.0f));
  srnn_session_destroy(s);
  srnn_rnn_destroy(gru);
  srnn_rnn_destroy(rnn);
}

/* Packed arrays hold the same rows without those past the ends. */
static void packed(void) {
  static const size_t lengths[BATCH] = {6, 0, 2, 5};
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 2, SRNN_DIRECTION_FORWARD);
  srnn_session *session = make_session();
  float x[X], y[Y], packed_x[13 * IN], packed_y[13 * HIDDEN];
  srnn_batch batch;
  size_t n, t, row = 0;
  fill(x, X, 1);
  srnn_batch_init(&batch, BATCH, STEPS);
  CHECK(batch.packed == 0);
  batch.lengths = lengths;
  batch.lengths_len = BATCH;
  OK(srnn_rnn_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  for (n = 0; n < BATCH; ++n)
    for (t = 0; t < lengths[n]; ++t) memcpy(packed_x + row++ * IN, x + (t * BATCH + n) * IN, sizeof(float) * IN);
  batch.packed = 1;
  BAD_SHAPE("expected", srnn_rnn_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  OK(srnn_rnn_forward(rnn, session, &batch, packed_x, 13 * IN, NULL, packed_y, 13 * HIDDEN, NULL, &err));
  for (row = n = 0; n < BATCH; ++n)
    for (t = 0; t < lengths[n]; ++t) CHECK(same_bits(packed_y + row++ * HIDDEN, y + (t * BATCH + n) * HIDDEN, HIDDEN));
  batch.packed = 2;
  BAD_ARGUMENT("packed is 2", srnn_rnn_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
}

int main(void) {
  equations();
  packed();
  one_result();
  misuse();
  return finish();
}
