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
  srnn_forward_args batch;
  size_t i;
  fill(x, X, 1);
  fill(h0, STATE, 2);
  srnn_forward_args_init(&batch, BATCH, STEPS);
  CHECK(batch.struct_size == sizeof batch && batch.lengths == NULL && batch.lengths_len == 0);
  srnn_state_init(&initial, h0, STATE, NULL, 0);
  srnn_state_out_init(&last, hn, STATE, NULL, 0);
  CHECK(initial.struct_size == sizeof initial && initial.h == h0 && initial.c == NULL && last.h_len == STATE);
  OK(run_forward(rnn, session, &batch, x, X, &initial, y, Y, &last, &err));
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
  srnn_forward_args batch, first, second;
  size_t n, t;
  int32_t isa;
  fill(x, X, 1);
  memset(again, 0xff, sizeof again);
  srnn_forward_args_init(&batch, BATCH, STEPS);
  batch.lengths = lengths;
  batch.lengths_len = BATCH;
  OK(run_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  for (n = 0; n < BATCH; ++n) {
    for (t = 0; t < STEPS; ++t) memcpy(alone_x + t * IN, x + (t * BATCH + n) * IN, IN * sizeof *x);
    srnn_forward_args_init(&first, 1, lengths[n]);
    OK(run_forward(rnn, session, &first, alone_x, lengths[n] * IN, NULL, alone_y, lengths[n] * HIDDEN, NULL,
                        &err));
    for (t = 0; t < STEPS; ++t) {
      const float *row = y + (t * BATCH + n) * HIDDEN;
      CHECK(t < lengths[n] ? same_bits(row, alone_y + t * HIDDEN, HIDDEN) : all(row, HIDDEN, 0.0f));
    }
  }

  srnn_forward_args_init(&batch, BATCH, STEPS);
  OK(run_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  srnn_forward_args_init(&first, BATCH, 2);
  srnn_forward_args_init(&second, BATCH, STEPS - 2);
  srnn_state_init(&from, h, COUNT(h), c, COUNT(c));
  srnn_state_out_init(&to, h, COUNT(h), c, COUNT(c));
  OK(run_forward(rnn, session, &first, x, 2 * BATCH * IN, NULL, again, 2 * STATE, &to, &err));
  OK(run_forward(rnn, session, &second, x + 2 * BATCH * IN, X - 2 * BATCH * IN, &from, again + 2 * STATE,
                      Y - 2 * STATE, NULL, &err));
  CHECK(same_bits(y, again, Y));

  OK(srnn_pool_create(2, &pool, &err));
  OK(srnn_session_create(&threaded, &err));
  OK(srnn_session_set_pool(threaded, pool, &err));
  OK(run_forward(rnn, threaded, &batch, x, X, NULL, again, Y, NULL, &err));
  CHECK(same_bits(y, again, Y));
  srnn_pool_destroy(pool);
  memset(again, 0xff, sizeof again);
  OK(run_forward(rnn, threaded, &batch, x, X, NULL, again, Y, NULL, &err)); /* the pool lives in the session */
  CHECK(same_bits(y, again, Y));
  srnn_session_destroy(threaded);

  isa = srnn_rnn_isa(rnn);
  OK(srnn_isa_set_limit(SRNN_ISA_SCALAR, &err));
  scalar = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 2, SRNN_DIRECTION_FORWARD);
  OK(srnn_isa_set_limit(isa, &err));
  memset(again, 0xff, sizeof again);
  OK(run_forward(scalar, session, &batch, x, X, NULL, again, Y, NULL, &err));
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
  srnn_forward_args b;
  fill(x, X, 1);
  memset(h, 0, sizeof h);
  memset(c, 0, sizeof c);
  y[0] = y[Y - 1] = 77.0f;
  srnn_forward_args_init(&b, BATCH, STEPS);
  srnn_forward_args_init(NULL, BATCH, STEPS);
  srnn_state_init(NULL, h, STATE, c, STATE);
  srnn_state_out_init(NULL, h, STATE, c, STATE);
  IS_NULL("session", srnn_session_create(NULL, &err));
  IS_NULL("session", srnn_session_set_pool(NULL, NULL, &err));
  BAD_ARGUMENT("pool is not aligned", srnn_session_set_pool(s, (srnn_pool *)(void *)misaligned(h), &err));
  CHECK(none == NULL);

  IS_NULL("rnn", run_forward(NULL, s, &b, x, X, NULL, y, Y, NULL, &err));
  IS_NULL("srnn_forward_args", srnn_rnn_forward(rnn, s, NULL, NULL, &err));
  IS_NULL("session", run_forward(rnn, NULL, &b, x, X, NULL, y, Y, NULL, &err));
  IS_NULL("srnn_forward_args", run_forward(rnn, s, NULL, x, X, NULL, y, Y, NULL, &err));
  IS_NULL("x is NULL", run_forward(rnn, s, &b, NULL, X, NULL, y, Y, NULL, &err));
  IS_NULL("y is NULL", run_forward(rnn, s, &b, x, X, NULL, NULL, Y, NULL, &err));
  BAD_SHAPE("x has 71 values, expected 72: (seq_len 6, batch 4, input_size 3)", run_forward(rnn, s, &b, x, X - 1, NULL, y, Y, NULL, &err));
  BAD_SHAPE("x", run_forward(rnn, s, &b, x, X + 1, NULL, y, Y, NULL, &err));
  BAD_SHAPE("x has 0", run_forward(rnn, s, &b, NULL, 0, NULL, y, Y, NULL, &err));
  BAD_SHAPE("y", run_forward(rnn, s, &b, x, X, NULL, y, Y - 1, NULL, &err));
  BAD_SHAPE("y", run_forward(rnn, s, &b, x, X, NULL, y, Y + 1, NULL, &err));
  TOO_LARGE("x", run_forward(rnn, s, &b, x, HUGE_LEN, NULL, y, Y, NULL, &err));
  TOO_LARGE("y", run_forward(rnn, s, &b, x, X, NULL, y, HUGE_LEN, NULL, &err));
  BAD_ARGUMENT("x is not aligned", run_forward(rnn, s, &b, misaligned(x), X, NULL, y, Y, NULL, &err));
  BAD_ARGUMENT("y is not aligned", run_forward(rnn, s, &b, x, X, NULL, misaligned(y), Y, NULL, &err));
  BAD_ARGUMENT("y overlaps x", run_forward(rnn, s, &b, y, X, NULL, y, Y, NULL, &err));

  srnn_state_init(&initial, h, STATE - 1, c, STATE);
  BAD_SHAPE("h0", run_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_init(&initial, NULL, STATE, c, STATE);
  IS_NULL("h0", run_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_init(&initial, h, STATE, c, STATE + 1);
  BAD_SHAPE("c0", run_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_init(&initial, h, STATE, misaligned(c), STATE);
  BAD_ARGUMENT("c0", run_forward(rnn, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_init(&initial, h, STATE, c, STATE);
  BAD_ARGUMENT("only an LSTM", run_forward(gru, s, &b, x, X, &initial, y, Y, NULL, &err));
  srnn_state_out_init(&last, h, STATE, c, STATE - 1);
  BAD_ARGUMENT("both or neither", run_forward(rnn, s, &b, x, X, &initial, y, Y, &last, &err));
  srnn_state_out_init(&last, h, STATE, NULL, 0);
  BAD_ARGUMENT("both or neither", run_forward(rnn, s, &b, x, X, &initial, y, Y, &last, &err));
  srnn_state_out_init(&last, h + 1, STATE, c + 1, STATE);
  BAD_ARGUMENT("hn overlaps h0", run_forward(rnn, s, &b, x, X, &initial, y, Y, &last, &err));
  b.x_row_stride = IN - 1;
  BAD_SHAPE("x_row_stride is 2, expected at least the 3", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.x_row_stride = IN + 1;
  BAD_SHAPE("x has 72 values, expected at least 95 for 24 rows", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.x_row_stride = SIZE_MAX / 8;
  TOO_LARGE("x", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.x_row_stride = 0;
  b.y_row_stride = HIDDEN + 1;
  BAD_SHAPE("y has", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.y_row_stride = 0;
  b.no_dropout = 2;
  BAD_ARGUMENT("no_dropout is 2", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.no_dropout = 0;
  TOO_LARGE("x has -1 (a negative number) values", run_forward(rnn, s, &b, x, SIZE_MAX, NULL, y, Y, NULL, &err));
  srnn_state_out_init(&last, h, STATE + 1, NULL, 0);
  BAD_SHAPE("hn", run_forward(rnn, s, &b, x, X, NULL, y, Y, &last, &err));
  srnn_state_out_init(&last, h, STATE, NULL, STATE);
  IS_NULL("cn", run_forward(rnn, s, &b, x, X, NULL, y, Y, &last, &err));
  srnn_state_out_init(&last, h, STATE, h, STATE);
  BAD_ARGUMENT("cn overlaps hn", run_forward(rnn, s, &b, x, X, NULL, y, Y, &last, &err));

  srnn_forward_args_init(&b, 0, STEPS);
  BAD_SHAPE("x has 72 values, expected 0: (seq_len 6, batch 0, input_size 3)",
            run_forward(rnn, s, &b, x, X, NULL, y, 0, NULL, &err));
  srnn_forward_args_init(&b, SIZE_MAX, SIZE_MAX);
  TOO_LARGE("[-1 (a negative number), -1 (a negative number)]", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  srnn_forward_args_init(&b, BATCH, SIZE_MAX / 64);
  TOO_LARGE("x", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  srnn_forward_args_init(&b, BATCH, STEPS);
  b.lengths = lengths;
  b.lengths_len = BATCH - 1;
  BAD_SHAPE("lengths", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.lengths_len = HUGE_LEN;
  TOO_LARGE("lengths", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.lengths_len = BATCH;
  lengths[2] = STEPS + 1;
  BAD_ARGUMENT("lengths[2] is 7", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  b.lengths = NULL;
  IS_NULL("lengths", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  srnn_forward_args_init(&b, BATCH, STEPS);
  b.struct_size += 4096;
  BAD_ARGUMENT("srnn_forward_args.struct_size", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  srnn_forward_args_init(&b, BATCH, STEPS);
  b.reserved[1] = 1;
  BAD_ARGUMENT("reserved", run_forward(rnn, s, &b, x, X, NULL, y, Y, NULL, &err));
  CHECK(y[0] == 77.0f && y[Y - 1] == 77.0f);

  /* What is legal: no outputs at all, and no steps. */
  srnn_forward_args_init(&b, BATCH, STEPS);
  OK(run_forward(rnn, s, &b, x, X, NULL, NULL, 0, NULL, &err));
  srnn_forward_args_init(&b, BATCH, 0);
  srnn_state_out_init(&last, h, STATE, NULL, 0);
  fill(h, STATE, 3);
  OK(run_forward(rnn, s, &b, NULL, 0, NULL, NULL, 0, &last, &err));
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
  srnn_forward_args batch;
  size_t n, t, row = 0;
  fill(x, X, 1);
  srnn_forward_args_init(&batch, BATCH, STEPS);
  CHECK(batch.packed == 0);
  batch.lengths = lengths;
  batch.lengths_len = BATCH;
  OK(run_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  for (n = 0; n < BATCH; ++n)
    for (t = 0; t < lengths[n]; ++t) memcpy(packed_x + row++ * IN, x + (t * BATCH + n) * IN, sizeof(float) * IN);
  batch.packed = 1;
  BAD_SHAPE("expected", run_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  OK(run_forward(rnn, session, &batch, packed_x, 13 * IN, NULL, packed_y, 13 * HIDDEN, NULL, &err));
  for (row = n = 0; n < BATCH; ++n)
    for (t = 0; t < lengths[n]; ++t) CHECK(same_bits(packed_y + row++ * HIDDEN, y + (t * BATCH + n) * HIDDEN, HIDDEN));
  batch.packed = 2;
  BAD_ARGUMENT("packed is 2", run_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
}

/* Rows of larger arrays, as they lie there; states in one place from call to call. */
static void views_and_places(void) {
  enum { WIDE_X = IN + 2, WIDE_Y = HIDDEN + 3, ROWS = STEPS * BATCH };
  static float x[X], y[Y], wide_x[ROWS * WIDE_X], wide_y[ROWS * WIDE_Y];
  float h[STATE], c[STATE], hn[STATE], cn[STATE];
  static const size_t lengths[BATCH] = {6, 0, 3, 5};
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_session *s = make_session();
  srnn_forward_args args, view;
  srnn_tape *tape;
  size_t i, k;
  int with_tape, right = 1;
  OK(srnn_tape_create(&tape, &err));
  CHECK(srnn_tape_batch_size(tape) == 0 && srnn_tape_seq_len(tape) == 0);
  fill(x, X, 1);
  for (i = 0; i < ROWS; ++i)
    for (k = 0; k < WIDE_X; ++k) wide_x[i * WIDE_X + k] = k < IN ? x[i * IN + k] : (float)NAN;
  for (with_tape = 0; with_tape < 2; ++with_tape) {
    srnn_tape *const on = with_tape ? tape : NULL;
    srnn_forward_args_init(&args, BATCH, STEPS);
    args.lengths = lengths, args.lengths_len = BATCH;
    args.x = x, args.x_len = X;
    args.y = y, args.y_len = Y;
    args.h0 = h, args.h0_len = STATE, args.c0 = c, args.c0_len = STATE;
    args.hn = hn, args.hn_len = STATE, args.cn = cn, args.cn_len = STATE;
    fill(h, STATE, 2);
    fill(c, STATE, 3);
    OK(srnn_rnn_forward(rnn, s, on, &args, &err));
    view = args;
    view.x = wide_x, view.x_row_stride = WIDE_X, view.x_len = ROWS * WIDE_X - 2;
    view.y = wide_y, view.y_row_stride = WIDE_Y, view.y_len = ROWS * WIDE_Y - 3;
    view.hn = h, view.cn = c; /* in place */
    for (i = 0; i < COUNT(wide_y); ++i) wide_y[i] = 77;
    SUCCEEDS(srnn_rnn_forward(rnn, s, on, &view, &err));
    for (i = 0; i < ROWS; ++i)
      right &= same_bits(wide_y + i * WIDE_Y, y + i * HIDDEN, HIDDEN) && all(wide_y + i * WIDE_Y + HIDDEN, 3, 77);
    CHECK(right && same_bits(h, hn, STATE) && same_bits(c, cn, STATE));
  }
  CHECK(srnn_tape_batch_size(tape) == BATCH && srnn_tape_seq_len(tape) == STEPS);
  CHECK(srnn_tape_batch_size(NULL) == 0 && srnn_tape_seq_len(NULL) == 0);
  srnn_tape_destroy(tape);
  srnn_session_destroy(s);
  srnn_rnn_destroy(rnn);
}

/* No sequences at all, as a last batch may have: nothing is written, and gradients stay. */
static void no_sequences(void) {
  static const int32_t directions[3] = {SRNN_DIRECTION_FORWARD, SRNN_DIRECTION_REVERSE, SRNN_DIRECTION_BIDIRECTIONAL};
  srnn_session *s = make_session();
  srnn_pool *pool;
  srnn_tape *tape;
  float *values;
  size_t i, len, lengths[1] = {0};
  OK(srnn_pool_create(2, &pool, &err));
  OK(srnn_session_set_pool(s, pool, &err));
  OK(srnn_tape_create(&tape, &err));
  for (i = 0; i < 3; ++i) {
    srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 2, directions[i]);
    srnn_grads *grads;
    srnn_gradient_flow *flow;
    srnn_forward_args args;
    srnn_backward_args back;
    int way;
    OK(srnn_grads_create(rnn, &grads, &err));
    OK(srnn_gradient_flow_create(&flow, &err));
    OK(srnn_grads_data(grads, &values, &len, &err));
    for (way = 0; way < 3; ++way) {
      srnn_forward_args_init(&args, 0, STEPS);
      args.packed = way == 1;
      args.lengths = way == 2 ? lengths : NULL;
      OK(srnn_rnn_forward(rnn, s, NULL, &args, &err));
      OK(srnn_rnn_forward(rnn, s, tape, &args, &err));
      CHECK(srnn_tape_batch_size(tape) == 0 && srnn_tape_seq_len(tape) == STEPS);
      srnn_backward_args_init(&back);
      back.grads = grads;
      back.flow = flow;
      OK(srnn_rnn_backward(rnn, s, tape, &back, &err));
      CHECK(all(values, len, 0));
    }
    srnn_gradient_flow_destroy(flow);
    srnn_grads_destroy(grads);
    srnn_rnn_destroy(rnn);
  }
  srnn_tape_destroy(tape);
  srnn_pool_destroy(pool);
  srnn_session_destroy(s);
}

/* Dropout of everything, which PyTorch allows too, and of nothing for one call. */
static void all_or_nothing_is_dropped(void) {
  enum { L = 2, OUT = STEPS * BATCH * HIDDEN };
  static float x[X], dropped[OUT], kept[OUT], plain[OUT], dx[2][X], dy[OUT];
  srnn_rnn_config config;
  srnn_rnn *rnn[2];
  srnn_session *s = make_session();
  srnn_tape *tape;
  srnn_forward_args args;
  srnn_backward_args back;
  int i;
  OK(srnn_tape_create(&tape, &err));
  fill(x, X, 1);
  fill(dy, OUT, 2);
  for (i = 0; i < 2; ++i) {
    srnn_rnn_config_init(&config, SRNN_CELL_GRU, IN, HIDDEN);
    config.num_layers = L;
    config.dropout = i == 0 ? 1.0f : 0.0f;
    OK(srnn_rnn_create(&config, &rnn[i], &err));
    OK(srnn_rnn_init(rnn[i], SRNN_INIT_TORCH_UNIFORM, 1, &err));
  }
  srnn_forward_args_init(&args, BATCH, STEPS);
  args.x = x, args.x_len = X;
  args.y = dropped, args.y_len = OUT;
  srnn_backward_args_init(&back);
  back.dy = dy, back.dy_len = OUT;
  back.dx = dx[0], back.dx_len = X;
  OK(srnn_rnn_forward(rnn[0], s, tape, &args, &err));
  OK(srnn_rnn_backward(rnn[0], s, tape, &back, &err));
  CHECK(all(dx[0], X, 0) && !all(dropped, OUT, 0)); /* biases alone reach the second layer */
  args.y = kept;
  args.no_dropout = 1;
  OK(srnn_rnn_forward(rnn[0], s, tape, &args, &err));
  OK(srnn_rnn_backward(rnn[0], s, tape, &back, &err));
  args.y = plain;
  args.no_dropout = 0;
  back.dx = dx[1];
  OK(srnn_rnn_forward(rnn[1], s, tape, &args, &err));
  OK(srnn_rnn_backward(rnn[1], s, tape, &back, &err));
  CHECK(same_bits(kept, plain, OUT) && !same_bits(kept, dropped, OUT) && same_bits(dx[0], dx[1], X));
  CHECK(!all(dx[0], X, 0));
  srnn_tape_destroy(tape);
  srnn_session_destroy(s);
  srnn_rnn_destroy(rnn[0]);
  srnn_rnn_destroy(rnn[1]);
}

int main(void) {
  views_and_places();
  no_sequences();
  all_or_nothing_is_dropped();
  equations();
  packed();
  one_result();
  misuse();
  return finish();
}
