/* Tapes, gradients, backward and gradient flow. */

#include "check.h"

enum { IN = 3, HIDDEN = 4, BATCH = 2, STEPS = 5, DIRECTIONS = 2, LAYERS = 2 };
enum {
  X = STEPS * BATCH * IN,
  Y = STEPS * BATCH * HIDDEN * DIRECTIONS,
  STATE = LAYERS * DIRECTIONS * BATCH * HIDDEN
};

static srnn_rnn *rnn;
static srnn_session *session;
static srnn_tape *tape;
static srnn_grads *grads;
static srnn_forward_args batch;
static float x[X + 1], y[Y + 1], h[STATE + 1], c[STATE + 1], dy[Y + 1], dh[STATE + 1], dc[STATE + 1], dx[X + 1];

static void setup(void) {
  static const size_t lengths[BATCH] = {3, 5};
  rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, LAYERS, SRNN_DIRECTION_BIDIRECTIONAL);
  session = make_session();
  OK(srnn_tape_create(&tape, &err));
  OK(srnn_grads_create(rnn, &grads, &err));
  srnn_forward_args_init(&batch, BATCH, STEPS);
  batch.lengths = lengths;
  batch.lengths_len = BATCH;
  fill(x, X, 1);
  fill(h, STATE, 2);
  fill(c, STATE, 3);
  fill(dy, Y, 4);
  fill(dh, STATE, 5);
  fill(dc, STATE, 6);
}

/* A loss whose gradients by y, h_n and c_n are dy, dh and dc. */
static double loss(void) {
  float hn[STATE], cn[STATE];
  srnn_state initial;
  srnn_state_out last;
  double sum = 0;
  size_t i;
  srnn_state_init(&initial, h, STATE, c, STATE);
  srnn_state_out_init(&last, hn, STATE, cn, STATE);
  OK(run_forward(rnn, session, &batch, x, X, &initial, y, Y, &last, &err));
  for (i = 0; i < Y; ++i) sum += (double)dy[i] * y[i];
  for (i = 0; i < STATE; ++i) sum += (double)dh[i] * hn[i] + (double)dc[i] * cn[i];
  return sum;
}

/* Central differences against what backward says of the values at `p`. */
static void differences(float *p, size_t len, const float *gradient) {
  const float step = 1.0f / 256;
  size_t i;
  for (i = 0; i < len; ++i) {
    const float kept = p[i];
    double up, down;
    p[i] = kept + step;
    up = loss();
    p[i] = kept - step;
    down = loss();
    p[i] = kept;
    CHECK(fabs((up - down) / (2 * (double)step) - gradient[i]) < 2e-3 * (1 + fabs((double)gradient[i])));
  }
}

static void gradients(void) {
  float dh0[STATE], dc0[STATE], copy[X], *data, *values, *twice;
  size_t len, i, n, at = 0;
  srnn_state initial, dlast;
  srnn_state_out dinitial;
  float out[Y];
  CHECK(srnn_tape_bytes(tape) == 0 && srnn_tape_bytes(NULL) == 0);
  srnn_state_init(&initial, h, STATE, c, STATE);
  OK(run_forward_train(rnn, session, tape, &batch, 0, x, X, &initial, out, Y, NULL, &err));
  CHECK(srnn_tape_bytes(tape) > 0);
  (void)loss();
  CHECK(same_bits(out, y, Y));
  srnn_state_init(&dlast, dh, STATE, dc, STATE);
  srnn_state_out_init(&dinitial, dh0, STATE, dc0, STATE);
  OK(run_backward(rnn, session, tape, dy, Y, &dlast, dx, X, &dinitial, grads, NULL, &err));
  memcpy(copy, dx, sizeof copy);
  differences(x, X, copy);
  differences(h, STATE, dh0);
  differences(c, STATE, dc0);

  /* The weights' gradients: all in one array, and one by one. */
  OK(srnn_grads_data(grads, &data, &len, &err));
  CHECK(len == srnn_rnn_value_count(rnn));
  values = malloc(len * sizeof *values);
  twice = malloc(len * sizeof *twice);
  for (i = 0; i < srnn_rnn_param_count(rnn); ++i) {
    size_t rows, cols;
    OK(srnn_rnn_param_shape(rnn, i, &rows, &cols, NULL, &err));
    OK(srnn_grads_read_param(grads, i, values, rows * cols, &err));
    CHECK(same_bits(values, data + at, rows * cols) && !all(values, rows * cols, 0.0f));
    at += rows * cols;
  }
  CHECK(at == len);
  OK(srnn_rnn_read_values(rnn, values, len, &err));
  for (n = 0; n < len; n += 7) {
    const float kept = values[n];
    double up, down;
    values[n] = kept + 1.0f / 256;
    OK(srnn_rnn_write_values(rnn, values, len, &err));
    up = loss();
    values[n] = kept - 1.0f / 256;
    OK(srnn_rnn_write_values(rnn, values, len, &err));
    down = loss();
    values[n] = kept;
    CHECK(fabs((up - down) * 128 - data[n]) < 2e-3 * (1 + fabs((double)data[n])));
  }
  /* Any write makes the tape a stranger, even one of the same values. */
  OK(srnn_rnn_write_values(rnn, values, len, &err));
  BAD_STATE("weights have changed", run_backward(rnn, session, tape, dy, Y, NULL, NULL, 0, NULL, grads, NULL, &err));

  /* Backward adds, for any session, and zero starts again. */
  OK(run_forward_train(rnn, session, tape, &batch, 0, x, X, &initial, NULL, 0, NULL, &err));
  OK(srnn_grads_zero(grads, &err));
  CHECK(all(data, len, 0.0f));
  OK(run_backward(rnn, session, tape, dy, Y, &dlast, NULL, 0, NULL, grads, NULL, &err));
  memcpy(values, data, len * sizeof *values);
  OK(run_backward(rnn, session, tape, dy, Y, &dlast, NULL, 0, NULL, grads, NULL, &err));
  for (i = 0; i < len; ++i) twice[i] = fabsf(data[i] - 2 * values[i]) <= 1e-5f * (1 + fabsf(data[i])) ? 1.0f : 0.0f;
  CHECK(all(twice, len, 1.0f));
  OK(srnn_grads_zero(grads, &err));
  OK(run_backward(rnn, session, tape, dy, Y, &dlast, NULL, 0, NULL, grads, NULL, &err));
  CHECK(same_bits(values, data, len));
  free(values);
  free(twice);
}

/* The seed and the position of a batch decide what dropout drops. */
static void dropout(void) {
  srnn_rnn_config config;
  srnn_rnn *model;
  srnn_forward_args whole, part;
  float a[Y / 2], b[Y / 2];
  size_t half = STEPS * HIDDEN;
  srnn_rnn_config_init(&config, SRNN_CELL_GRU, IN, HIDDEN);
  config.num_layers = 2;
  config.dropout = 0.5f;
  config.batch_first = 1;
  OK(srnn_rnn_create(&config, &model, &err));
  OK(srnn_rnn_init(model, SRNN_INIT_TORCH_UNIFORM, 1, &err));
  srnn_forward_args_init(&whole, BATCH, STEPS);
  OK(run_forward_train(model, session, tape, &whole, 7, x, X, NULL, a, Y / 2, NULL, &err));
  OK(run_forward_train(model, session, tape, &whole, 8, x, X, NULL, b, Y / 2, NULL, &err));
  CHECK(!same_bits(a, b, Y / 2));
  srnn_forward_args_init(&part, 1, STEPS);
  part.first_sequence = 1; /* the second sequence alone */
  OK(run_forward_train(model, session, tape, &part, 7, x + X / 2, X / 2, NULL, b, half, NULL, &err));
  CHECK(same_bits(a + half, b, half));
  part.first_step = 1;
  OK(run_forward_train(model, session, tape, &part, 7, x + X / 2, X / 2, NULL, b, half, NULL, &err));
  CHECK(!same_bits(a + half, b, half));
  srnn_rnn_destroy(model);
}

static void flow(void) {
  srnn_gradient_flow *f;
  double norms[STEPS + 1], value = 77;
  float low = 77, high = 77;
  size_t pass, gate;
  OK(srnn_gradient_flow_create(&f, &err));
  IS_NULL("flow", srnn_gradient_flow_create(NULL, &err));
  CHECK(srnn_gradient_flow_pass_count(f) == 0 && srnn_gradient_flow_step_count(f) == 0 && srnn_gradient_flow_gate_count(f) == 0);
  CHECK(srnn_gradient_flow_pass_count(NULL) == 0 && srnn_gradient_flow_step_count(NULL) == 0);
  CHECK(srnn_gradient_flow_gate_count(NULL) == 0);
  BAD_STATE("measured", srnn_gradient_flow_state_norms(f, 0, norms, STEPS, &err));
  BAD_STATE("measured", srnn_gradient_flow_singular_value(f, 0, 0, &value, &err));
  BAD_STATE("measured", srnn_gradient_flow_saturation(f, 0, 0, &low, &high, &err));
  OK(run_forward_train(rnn, session, tape, &batch, 0, x, X, NULL, NULL, 0, NULL, &err));
  OK(run_backward(rnn, session, tape, dy, Y, NULL, NULL, 0, NULL, NULL, f, &err));
  CHECK(srnn_gradient_flow_pass_count(f) == 4 && srnn_gradient_flow_step_count(f) == STEPS && srnn_gradient_flow_gate_count(f) == 4);
  for (pass = 0; pass < 4; ++pass) {
    OK(srnn_gradient_flow_state_norms(f, pass, norms, STEPS, &err));
    CHECK(norms[0] > 0 && norms[STEPS - 1] > 0);
    norms[0] = norms[STEPS - 1] = 0;
    OK(srnn_gradient_flow_cell_norms(f, pass, norms, STEPS, &err));
    CHECK(norms[0] > 0 && norms[STEPS - 1] > 0);
    for (gate = 0; gate < 4; ++gate) {
      OK(srnn_gradient_flow_singular_value(f, pass, gate, &value, &err));
      CHECK(value > 0 && value < HIDDEN); /* weights are below 1/2 */
      OK(srnn_gradient_flow_saturation(f, pass, gate, &low, &high, &err));
      CHECK(low >= 0 && low <= 1 && high >= 0 && low + high <= 1);
    }
  }
  value = low = high = 77;
  IS_NULL("flow", srnn_gradient_flow_state_norms(NULL, 0, norms, STEPS, &err));
  IS_NULL("norms", srnn_gradient_flow_state_norms(f, 0, NULL, STEPS, &err));
  BAD_ARGUMENT("pass 4", srnn_gradient_flow_state_norms(f, 4, norms, STEPS, &err));
  BAD_SHAPE("norms", srnn_gradient_flow_state_norms(f, 0, norms, STEPS + 1, &err));
  TOO_LARGE("norms", srnn_gradient_flow_state_norms(f, 0, norms, HUGE_LEN, &err));
  IS_NULL("flow", srnn_gradient_flow_cell_norms(NULL, 0, norms, STEPS, &err));
  IS_NULL("norms", srnn_gradient_flow_cell_norms(f, 0, NULL, STEPS, &err));
  BAD_ARGUMENT("pass 4", srnn_gradient_flow_cell_norms(f, 4, norms, STEPS, &err));
  BAD_SHAPE("norms", srnn_gradient_flow_cell_norms(f, 0, norms, STEPS + 1, &err));
  IS_NULL("flow", srnn_gradient_flow_singular_value(NULL, 0, 0, &value, &err));
  IS_NULL("value", srnn_gradient_flow_singular_value(f, 0, 0, NULL, &err));
  BAD_ARGUMENT("gate 4", srnn_gradient_flow_singular_value(f, 0, 4, &value, &err));
  BAD_ARGUMENT("pass", srnn_gradient_flow_singular_value(f, SIZE_MAX, 0, &value, &err));
  IS_NULL("flow", srnn_gradient_flow_saturation(NULL, 0, 0, &low, &high, &err));
  IS_NULL("low", srnn_gradient_flow_saturation(f, 0, 0, NULL, &high, &err));
  IS_NULL("high", srnn_gradient_flow_saturation(f, 0, 0, &low, NULL, &err));
  BAD_ARGUMENT("gate", srnn_gradient_flow_saturation(f, 0, SIZE_MAX, &low, &high, &err));
  CHECK(value == 77 && low == 77 && high == 77);
  srnn_gradient_flow_destroy(f);
  srnn_gradient_flow_destroy(NULL);
}

static void misuse(void) {
  srnn_rnn *other = make_rnn(SRNN_CELL_GRU, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_grads *foreign, *none = NULL;
  srnn_tape *empty;
  srnn_session *s = session;
  srnn_state dlast;
  srnn_state_out dinitial;
  float *data = NULL;
  size_t len = 77;
  OK(srnn_tape_create(&empty, &err));
  OK(srnn_grads_create(other, &foreign, &err));
  IS_NULL("tape", srnn_tape_create(NULL, &err));
  IS_NULL("rnn", srnn_grads_create(NULL, &none, &err));
  IS_NULL("grads", srnn_grads_create(rnn, NULL, &err));
  CHECK(none == NULL);
  IS_NULL("grads", srnn_grads_zero(NULL, &err));
  IS_NULL("grads", srnn_grads_data(NULL, &data, &len, &err));
  IS_NULL("data", srnn_grads_data(grads, NULL, &len, &err));
  IS_NULL("data_len", srnn_grads_data(grads, &data, NULL, &err));
  CHECK(data == NULL && len == 77);
  IS_NULL("grads", srnn_grads_read_param(NULL, 0, dx, 12, &err));
  IS_NULL("values", srnn_grads_read_param(grads, 0, NULL, 12, &err));
  BAD_SHAPE("values", srnn_grads_read_param(grads, 0, dx, 12, &err));
  BAD_ARGUMENT("index", srnn_grads_read_param(grads, 16, dx, 12, &err));
  TOO_LARGE("values", srnn_grads_read_param(grads, 0, dx, HUGE_LEN, &err));

  y[0] = dx[0] = 77;
  IS_NULL("rnn", run_forward_train(NULL, s, tape, &batch, 0, x, X, NULL, y, Y, NULL, &err));
  IS_NULL("session", run_forward_train(rnn, NULL, tape, &batch, 0, x, X, NULL, y, Y, NULL, &err));
  IS_NULL("srnn_backward_args", srnn_rnn_backward(rnn, s, tape, NULL, &err));
  srnn_backward_args_init(NULL);
  IS_NULL("srnn_forward_args", run_forward_train(rnn, s, tape, NULL, 0, x, X, NULL, y, Y, NULL, &err));
  IS_NULL("x", run_forward_train(rnn, s, tape, &batch, 0, NULL, X, NULL, y, Y, NULL, &err));
  IS_NULL("y", run_forward_train(rnn, s, tape, &batch, 0, x, X, NULL, NULL, Y, NULL, &err));
  BAD_SHAPE("x", run_forward_train(rnn, s, tape, &batch, 0, x, X + 1, NULL, y, Y, NULL, &err));
  BAD_SHAPE("y", run_forward_train(rnn, s, tape, &batch, 0, x, X, NULL, y, Y - 1, NULL, &err));
  TOO_LARGE("x", run_forward_train(rnn, s, tape, &batch, 0, x, HUGE_LEN, NULL, y, Y, NULL, &err));
  BAD_ARGUMENT("overlaps", run_forward_train(rnn, s, tape, &batch, 0, y, X, NULL, y, Y, NULL, &err));

  /* The failed forwards have left the tape as it was, as their comment says. */
  OK(run_backward(rnn, s, tape, dy, Y, NULL, NULL, 0, NULL, NULL, NULL, &err));
  BAD_STATE("no forward", run_backward(rnn, s, empty, dy, Y, NULL, dx, X, NULL, grads, NULL, &err));
  OK(run_forward_train(rnn, s, tape, &batch, 0, x, X, NULL, NULL, 0, NULL, &err));
  IS_NULL("rnn", run_backward(NULL, s, tape, dy, Y, NULL, dx, X, NULL, grads, NULL, &err));
  IS_NULL("session", run_backward(rnn, NULL, tape, dy, Y, NULL, dx, X, NULL, grads, NULL, &err));
  IS_NULL("tape", run_backward(rnn, s, NULL, dy, Y, NULL, dx, X, NULL, grads, NULL, &err));
  IS_NULL("dy", run_backward(rnn, s, tape, NULL, Y, NULL, dx, X, NULL, grads, NULL, &err));
  IS_NULL("dx", run_backward(rnn, s, tape, dy, Y, NULL, NULL, X, NULL, grads, NULL, &err));
  BAD_SHAPE("dy", run_backward(rnn, s, tape, dy, Y - 1, NULL, dx, X, NULL, grads, NULL, &err));
  BAD_SHAPE("dx", run_backward(rnn, s, tape, dy, Y, NULL, dx, X + 1, NULL, grads, NULL, &err));
  TOO_LARGE("dy", run_backward(rnn, s, tape, dy, HUGE_LEN, NULL, dx, X, NULL, grads, NULL, &err));
  BAD_ARGUMENT("aligned", run_backward(rnn, s, tape, misaligned(dy), Y, NULL, dx, X, NULL, grads, NULL, &err));
  BAD_ARGUMENT("overlaps", run_backward(rnn, s, tape, dy, Y, NULL, dy, X, NULL, grads, NULL, &err));
  BAD_SHAPE("gradients", run_backward(rnn, s, tape, dy, Y, NULL, dx, X, NULL, foreign, NULL, &err));
  BAD_STATE("changed", run_backward(other, s, tape, dy, Y, NULL, dx, X, NULL, NULL, NULL, &err));
  srnn_state_init(&dlast, dh, STATE + 1, NULL, 0);
  BAD_SHAPE("dhn", run_backward(rnn, s, tape, dy, Y, &dlast, dx, X, NULL, grads, NULL, &err));
  srnn_state_init(&dlast, dh, STATE, NULL, STATE);
  IS_NULL("dcn", run_backward(rnn, s, tape, dy, Y, &dlast, dx, X, NULL, grads, NULL, &err));
  srnn_state_out_init(&dinitial, dh, STATE, dc, STATE - 1);
  BAD_SHAPE("dc0", run_backward(rnn, s, tape, dy, Y, NULL, dx, X, &dinitial, grads, NULL, &err));
  CHECK(y[0] == 77 && dx[0] == 77);
  /* After all that, the tape still serves. */
  OK(run_backward(rnn, s, tape, dy, Y, NULL, dx, X, NULL, grads, NULL, &err));
  srnn_tape_destroy(empty);
  srnn_tape_destroy(NULL);
  srnn_grads_destroy(foreign);
  srnn_grads_destroy(NULL);
  srnn_rnn_destroy(other);
}

int main(void) {
  setup();
  gradients();
  dropout();
  flow();
  misuse();
  srnn_grads_destroy(grads);
  srnn_tape_destroy(tape);
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
  return finish();
}
