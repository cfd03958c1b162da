/* Options and scalar arguments of layers: each changes results. */

#include "effects.h"

enum { IN = 3, HIDDEN = 5, BATCH = 2, STEPS = 4, ROOM = 4096, WORDS = 6 };

static float x[ROOM], y[ROOM], h[ROOM], c[ROOM], h2[ROOM], c2[ROOM];
static float scale = 1;
static srnn_session *session;
static srnn_tape *tape;

/* ---- Configuration, initialization, parameters. ---- */

static uint64_t run_model(const srnn_rnn_config *config) {
  srnn_rnn *rnn;
  srnn_forward_args batch;
  const size_t x_len = BATCH * STEPS * (size_t)config->input_size;
  size_t y_len, i;
  uint64_t result;
  OK(srnn_rnn_create(config, &rnn, &err));
  OK(srnn_rnn_init(rnn, SRNN_INIT_TORCH_UNIFORM, 1, &err));
  srnn_forward_args_init(&batch, BATCH, STEPS);
  fill(x, x_len, 1);
  for (i = 0; i < x_len; ++i) x[i] *= scale;
  y_len = BATCH * STEPS * srnn_rnn_output_size(rnn);
  OK(run_forward_train(rnn, session, tape, &batch, 7, x, x_len, NULL, y, y_len, NULL, &err));
  result = of_floats(y, y_len);
  srnn_rnn_destroy(rnn);
  return result;
}

static void configuration(void) {
  srnn_rnn_config config;
  srnn_rnn *rnn = NULL;
  size_t i;
  srnn_rnn_config_init(&config, SRNN_CELL_LSTM, IN, HIDDEN);
  config.num_layers = 2;
  FIELD(srnn_rnn_config, struct_size, run_model, &config, 24); /* ends before num_layers */
  FIELD(srnn_rnn_config, cell, run_model, &config, SRNN_CELL_GRU);
  FIELD(srnn_rnn_config, input_size, run_model, &config, IN + 1);
  FIELD(srnn_rnn_config, hidden_size, run_model, &config, HIDDEN + 1);
  FIELD(srnn_rnn_config, num_layers, run_model, &config, 3);
  FIELD(srnn_rnn_config, proj_size, run_model, &config, 2);
  FIELD(srnn_rnn_config, direction, run_model, &config, SRNN_DIRECTION_REVERSE);
  FIELD(srnn_rnn_config, bias, run_model, &config, 0);
  FIELD(srnn_rnn_config, batch_first, run_model, &config, 1);
  FIELD(srnn_rnn_config, dropout, run_model, &config, 0.5f);
  RESERVED(srnn_rnn_config, reserved0, &config, srnn_rnn_create(given, &rnn, &err));
  RESERVED(srnn_rnn_config, reserved, &config, srnn_rnn_create(given, &rnn, &err));
  CHECK(rnn == NULL);
  config.bias = 0;
  scale = ldexpf(1, -115);
  FIELD(srnn_rnn_config, flush_small_states, run_model, &config, 1);
  (void)run_model(&config);
  CHECK(!all(y, BATCH * STEPS * HIDDEN, 0.0f));
  config.flush_small_states = 1;
  (void)run_model(&config);
  CHECK(all(y, BATCH * STEPS * HIDDEN, 0.0f));
  scale = 1;
  for (i = 0; i < 5; ++i) { /* the cells are five different ones */
    srnn_rnn_config_init(&config, (int32_t)i, IN, HIDDEN);
    h[i] = (float)(run_model(&config) % 65521);
    CHECK(i == 0 || h[i] != h[i - 1]);
  }
}

static uint64_t initialized(int32_t cell, size_t input_size, size_t hidden_size) {
  srnn_rnn_config config;
  srnn_rnn_config_init(&config, cell, input_size, hidden_size);
  return run_model(&config);
}

static uint64_t drawn(int32_t scheme, uint64_t seed) {
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  const size_t len = srnn_rnn_value_count(rnn);
  OK(srnn_rnn_init(rnn, scheme, seed, &err));
  OK(srnn_rnn_read_values(rnn, y, len, &err));
  srnn_rnn_destroy(rnn);
  return of_floats(y, len);
}

static uint64_t named(const srnn_rnn *rnn, size_t index) {
  char name[SRNN_PARAM_NAME_SIZE];
  OK(srnn_rnn_param_name(rnn, index, name, sizeof name, &err));
  return digest(name, strlen(name));
}

static uint64_t shaped(const srnn_rnn *rnn, size_t index) {
  size_t shape[3];
  OK(srnn_rnn_param_shape(rnn, index, &shape[0], &shape[1], &shape[2], &err));
  return digest(shape, sizeof shape);
}

static uint64_t parameter(const srnn_rnn *rnn, size_t index) {
  OK(srnn_rnn_read_param(rnn, index, y, 4 * HIDDEN, &err));
  return of_floats(y, 4 * HIDDEN);
}

static uint64_t written(size_t index) {
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  const size_t len = srnn_rnn_value_count(rnn);
  fill(h, 4 * HIDDEN, 9);
  OK(srnn_rnn_write_param(rnn, index, h, 4 * HIDDEN, &err));
  OK(srnn_rnn_read_values(rnn, y, len, &err));
  srnn_rnn_destroy(rnn);
  return of_floats(y, len);
}

static void parameters(void) {
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  ARGUMENT(srnn_rnn_config_init, cell, initialized(SRNN_CELL_LSTM, IN, 5), initialized(SRNN_CELL_GRU, IN, 5));
  ARGUMENT(srnn_rnn_config_init, input_size, initialized(SRNN_CELL_LSTM, IN, 5), initialized(SRNN_CELL_LSTM, 5, 5));
  ARGUMENT(srnn_rnn_config_init, hidden_size, initialized(SRNN_CELL_LSTM, IN, 5), initialized(SRNN_CELL_LSTM, IN, 4));
  ARGUMENT(srnn_rnn_init, scheme, drawn(SRNN_INIT_TORCH_UNIFORM, 1), drawn(SRNN_INIT_XAVIER_ORTHOGONAL, 1));
  ARGUMENT(srnn_rnn_init, scheme, drawn(SRNN_INIT_XAVIER_ORTHOGONAL, 1), drawn(SRNN_INIT_XAVIER_ORTHOGONAL_FORGET_ONE, 1));
  ARGUMENT(srnn_rnn_init, seed, drawn(SRNN_INIT_TORCH_UNIFORM, 1), drawn(SRNN_INIT_TORCH_UNIFORM, (uint64_t)1 << 40));
  ARGUMENT(srnn_rnn_init, seed, drawn(SRNN_INIT_XAVIER_ORTHOGONAL, 1), drawn(SRNN_INIT_XAVIER_ORTHOGONAL, 2));
  ARGUMENT(srnn_rnn_param_name, index, named(rnn, 2), named(rnn, 3));
  ARGUMENT(srnn_rnn_param_shape, index, shaped(rnn, 0), shaped(rnn, 1));
  ARGUMENT(srnn_rnn_read_param, index, parameter(rnn, 2), parameter(rnn, 3));
  ARGUMENT(srnn_rnn_write_param, index, written(2), written(3));
  srnn_rnn_destroy(rnn);
}

/* ---- Batches and states. ---- */

static srnn_rnn *model; /* an LSTM with dropout between two layers */

static uint64_t run_batch(const srnn_forward_args *batch) {
  const size_t rows = batch->packed ? batch->lengths[0] + batch->lengths[1] : batch->batch_size * batch->seq_len;
  fill(x, ROOM, 1);
  OK(run_forward_train(model, session, tape, batch, 7, x, rows * IN, NULL, y, rows * HIDDEN, NULL, &err));
  return of_floats(y, rows * HIDDEN);
}

/* States go through a stream. */
static uint64_t run_initial(const srnn_state *state) {
  srnn_stream *stream;
  OK(srnn_stream_create(model, BATCH, &stream, &err));
  OK(srnn_stream_set_state(stream, state, &err));
  OK(srnn_stream_step(stream, model, x, BATCH * IN, y, BATCH * HIDDEN, &err));
  srnn_stream_destroy(stream);
  return of_floats(y, BATCH * HIDDEN);
}

static uint64_t run_last(const srnn_state_out *state) {
  srnn_stream *stream;
  memset(h2, 0, sizeof h2);
  memset(c2, 0, sizeof c2);
  OK(srnn_stream_create(model, BATCH, &stream, &err));
  OK(srnn_stream_step(stream, model, x, BATCH * IN, y, BATCH * HIDDEN, &err));
  OK(srnn_stream_get_state(stream, state, &err));
  srnn_stream_destroy(stream);
  return mix(of_floats(h2, 2 * BATCH * HIDDEN), c2, sizeof *c2 * 2 * BATCH * HIDDEN);
}

static uint64_t sized(size_t batch_size, size_t seq_len) {
  srnn_forward_args batch;
  srnn_forward_args_init(&batch, batch_size, seq_len);
  return run_batch(&batch);
}

/* Results of a training forward, two places for each. */
enum { S = 2 * BATCH * HIDDEN, XS = BATCH * STEPS * IN, YS = BATCH * STEPS * HIDDEN };
static float out_y[2][YS + STEPS * BATCH], out_h[2][S], out_c[2][S];
static float out_dx[2][XS], out_dh[2][S], out_dc[2][S], in_d[2][YS];
static srnn_grads *all_grads[2];
static srnn_gradient_flow *flows[2];

static uint64_t run_args(const srnn_forward_args *args) {
  memset(out_y, 0, sizeof out_y);
  memset(out_h, 0, sizeof out_h);
  memset(out_c, 0, sizeof out_c);
  OK(srnn_rnn_forward(model, session, tape, args, &err));
  return mix(mix(digest(out_y, sizeof out_y), out_h, sizeof out_h), out_c, sizeof out_c);
}

static uint64_t run_back(const srnn_backward_args *args) {
  uint64_t hash;
  size_t len;
  float *data;
  int i;
  memset(out_dx, 0, sizeof out_dx);
  memset(out_dh, 0, sizeof out_dh);
  memset(out_dc, 0, sizeof out_dc);
  for (i = 0; i < 2; ++i) {
    OK(srnn_grads_zero(all_grads[i], &err));
  }
  OK(srnn_rnn_backward(model, session, tape, args, &err));
  hash = mix(mix(digest(out_dx, sizeof out_dx), out_dh, sizeof out_dh), out_dc, sizeof out_dc);
  for (i = 0; i < 2; ++i) {
    OK(srnn_grads_data(all_grads[i], &data, &len, &err));
    hash = mix(hash, data, len * sizeof *data);
  }
  return hash;
}

/* Which of the two has measured. */
static uint64_t run_flow(const srnn_backward_args *args) {
  OK(srnn_rnn_backward(model, session, tape, args, &err));
  return srnn_gradient_flow_step_count(flows[0]) + 2 * srnn_gradient_flow_step_count(flows[1]);
}

static void arguments(void) {
  static const uint32_t indices[2][BATCH * STEPS] = {{0, 1, 2, 3, 4, 5, 0, 1}, {1, 1, 2, 3, 4, 5, 0, 1}};
  static float in[2][XS + STEPS * BATCH], h0[2][S], c0[2][S];
  srnn_forward_args a, b;
  srnn_backward_args back, wrong;
  srnn_embedding *tables[2];
  uint32_t i;
  for (i = 0; i < 2; ++i) {
    fill(in[i], COUNT(in[i]), 20 + i);
    fill(h0[i], S, 22 + i);
    fill(c0[i], S, 24 + i);
    fill(in_d[i], YS, 26 + i);
    OK(srnn_embedding_create(WORDS, IN, -1, &tables[i], &err));
    OK(srnn_embedding_init_normal(tables[i], 1 + i, &err));
    OK(srnn_grads_create(model, &all_grads[i], &err));
    OK(srnn_gradient_flow_create(&flows[i], &err));
  }
  srnn_forward_args_init(&a, BATCH, STEPS);
  a.x = in[0], a.x_len = XS;
  a.y = out_y[0], a.y_len = YS;
  a.h0 = h0[0], a.h0_len = S, a.c0 = c0[0], a.c0_len = S;
  a.hn = out_h[0], a.hn_len = S, a.cn = out_c[0], a.cn_len = S;
  FIELD(srnn_forward_args, x, run_args, &a, in[1]);
  FIELD(srnn_forward_args, y, run_args, &a, out_y[1]);
  FIELD(srnn_forward_args, h0, run_args, &a, h0[1]);
  FIELD(srnn_forward_args, c0, run_args, &a, c0[1]);
  FIELD(srnn_forward_args, hn, run_args, &a, out_h[1]);
  FIELD(srnn_forward_args, cn, run_args, &a, out_c[1]);
  FIELD(srnn_forward_args, dropout_seed, run_args, &a, (uint64_t)1 << 40);
  FIELD(srnn_forward_args, first_step, run_args, &a, 1);
  FIELD(srnn_forward_args, first_sequence, run_args, &a, 1);
  FIELD(srnn_forward_args, no_dropout, run_args, &a, 1);
  FIELD(srnn_forward_args, struct_size, run_args, &a, (uint32_t)offsetof(srnn_forward_args, cn));
  LENGTH(srnn_forward_args, x_len, &a, srnn_rnn_forward(model, session, tape, given, &err));
  LENGTH(srnn_forward_args, y_len, &a, srnn_rnn_forward(model, session, tape, given, &err));
  LENGTH(srnn_forward_args, h0_len, &a, srnn_rnn_forward(model, session, tape, given, &err));
  LENGTH(srnn_forward_args, c0_len, &a, srnn_rnn_forward(model, session, tape, given, &err));
  LENGTH(srnn_forward_args, hn_len, &a, srnn_rnn_forward(model, session, tape, given, &err));
  LENGTH(srnn_forward_args, cn_len, &a, srnn_rnn_forward(model, session, tape, given, &err));
  RESERVED(srnn_forward_args, reserved0, &a, srnn_rnn_forward(model, session, tape, given, &err));
  b = a;
  b.x_row_stride = IN, b.x_len = COUNT(in[0]);
  b.y_row_stride = HIDDEN, b.y_len = COUNT(out_y[0]);
  CHECK(run_args(&a) == run_args(&b));
  FIELD(srnn_forward_args, x_row_stride, run_args, &b, IN + 1);
  FIELD(srnn_forward_args, y_row_stride, run_args, &b, HIDDEN + 1);
  b = a;
  b.x = NULL, b.x_len = 0;
  b.embedding = tables[0], b.indices = indices[0], b.indices_len = BATCH * STEPS;
  FIELD(srnn_forward_args, embedding, run_args, &b, tables[1]);
  FIELD(srnn_forward_args, indices, run_args, &b, indices[1]);
  LENGTH(srnn_forward_args, indices_len, &b, srnn_rnn_forward(model, session, tape, given, &err));

  (void)run_args(&a);
  srnn_backward_args_init(&back);
  back.dy = in_d[0], back.dy_len = YS;
  back.dhn = h0[0], back.dhn_len = S, back.dcn = c0[0], back.dcn_len = S;
  back.dx = out_dx[0], back.dx_len = XS;
  back.dh0 = out_dh[0], back.dh0_len = S, back.dc0 = out_dc[0], back.dc0_len = S;
  back.grads = all_grads[0];
  FIELD(srnn_backward_args, dy, run_back, &back, in_d[1]);
  FIELD(srnn_backward_args, dhn, run_back, &back, h0[1]);
  FIELD(srnn_backward_args, dcn, run_back, &back, c0[1]);
  FIELD(srnn_backward_args, dx, run_back, &back, out_dx[1]);
  FIELD(srnn_backward_args, dh0, run_back, &back, out_dh[1]);
  FIELD(srnn_backward_args, dc0, run_back, &back, out_dc[1]);
  FIELD(srnn_backward_args, grads, run_back, &back, all_grads[1]);
  FIELD(srnn_backward_args, struct_size, run_back, &back, (uint32_t)offsetof(srnn_backward_args, dcn));
  wrong = back;
  LENGTH(srnn_backward_args, dy_len, &wrong, srnn_rnn_backward(model, session, tape, given, &err));
  LENGTH(srnn_backward_args, dhn_len, &wrong, srnn_rnn_backward(model, session, tape, given, &err));
  LENGTH(srnn_backward_args, dcn_len, &wrong, srnn_rnn_backward(model, session, tape, given, &err));
  LENGTH(srnn_backward_args, dx_len, &wrong, srnn_rnn_backward(model, session, tape, given, &err));
  LENGTH(srnn_backward_args, dh0_len, &wrong, srnn_rnn_backward(model, session, tape, given, &err));
  LENGTH(srnn_backward_args, dc0_len, &wrong, srnn_rnn_backward(model, session, tape, given, &err));
  RESERVED(srnn_backward_args, reserved0, &back, srnn_rnn_backward(model, session, tape, given, &err));
  RESERVED(srnn_backward_args, reserved, &back, srnn_rnn_backward(model, session, tape, given, &err));
  back.flow = flows[0];
  FIELD(srnn_backward_args, flow, run_flow, &back, flows[1]);
  for (i = 0; i < 2; ++i) {
    srnn_embedding_destroy(tables[i]);
    srnn_grads_destroy(all_grads[i]);
    srnn_gradient_flow_destroy(flows[i]);
  }
}

static void batches_and_states(void) {
  static const size_t lengths[BATCH] = {4, 3}, others[BATCH] = {4, 2};
  srnn_forward_args batch;
  srnn_state state;
  srnn_state_out out;
  srnn_stream *stream;
  size_t i;
  srnn_forward_args_init(&batch, BATCH, STEPS);
  arguments();
  FIELD(srnn_forward_args, batch_size, run_batch, &batch, BATCH + 1);
  FIELD(srnn_forward_args, seq_len, run_batch, &batch, STEPS + 1);
  FIELD(srnn_forward_args, first_step, run_batch, &batch, 1);
  FIELD(srnn_forward_args, first_sequence, run_batch, &batch, 1);
  RESERVED(srnn_forward_args, reserved, &batch, run_forward(model, session, given, x, XS, NULL, y, YS, NULL, &err));
  batch.lengths = lengths;
  batch.lengths_len = BATCH;
  FIELD(srnn_forward_args, packed, run_batch, &batch, 1);
  FIELD(srnn_forward_args, lengths, run_batch, &batch, others);
  LENGTH(srnn_forward_args, lengths_len, &batch, run_forward(model, session, given, x, XS, NULL, y, YS, NULL, &err));
  ARGUMENT(srnn_forward_args_init, batch_size, sized(2, 4), sized(4, 4));
  ARGUMENT(srnn_forward_args_init, seq_len, sized(2, 4), sized(2, 2));

  srnn_forward_args_init(&batch, BATCH, STEPS);
  for (i = 0; i < 4; ++i) {
    float *arrays[4];
    arrays[0] = h, arrays[1] = c, arrays[2] = h2, arrays[3] = c2;
    fill(arrays[i], S, (uint32_t)(10 + i));
  }
  OK(srnn_stream_create(model, BATCH, &stream, &err));
  srnn_state_init(&state, h, S, c, S);
  FIELD(srnn_state, h, run_initial, &state, h2);
  FIELD(srnn_state, c, run_initial, &state, c2);
  FIELD(srnn_state, struct_size, run_initial, &state, 24); /* ends before c */
  LENGTH(srnn_state, h_len, &state, srnn_stream_set_state(stream, given, &err));
  LENGTH(srnn_state, c_len, &state, srnn_stream_set_state(stream, given, &err));
  RESERVED(srnn_state, reserved0, &state, srnn_stream_set_state(stream, given, &err));
  RESERVED(srnn_state, reserved, &state, srnn_stream_set_state(stream, given, &err));

  srnn_state_out_init(&out, h2, S, c2, S);
  FIELD(srnn_state_out, h, run_last, &out, h);
  FIELD(srnn_state_out, c, run_last, &out, c);
  FIELD(srnn_state_out, struct_size, run_last, &out, 24);
  LENGTH(srnn_state_out, h_len, &out, srnn_stream_get_state(stream, given, &err));
  LENGTH(srnn_state_out, c_len, &out, srnn_stream_get_state(stream, given, &err));
  RESERVED(srnn_state_out, reserved0, &out, srnn_stream_get_state(stream, given, &err));
  RESERVED(srnn_state_out, reserved, &out, srnn_stream_get_state(stream, given, &err));
  srnn_stream_destroy(stream);
}

/* ---- Training, gradient flow, streams. ---- */

static uint64_t trained(uint64_t seed) {
  srnn_forward_args batch;
  srnn_forward_args_init(&batch, BATCH, STEPS);
  OK(run_forward_train(model, session, tape, &batch, seed, x, BATCH * STEPS * IN, NULL, y, BATCH * STEPS * HIDDEN, NULL,
                            &err));
  return of_floats(y, BATCH * STEPS * HIDDEN);
}

static uint64_t trained_tokens(uint64_t seed) {
  static const uint32_t indices[BATCH * STEPS] = {0, 1, 2, 3, 4, 5, 0, 1};
  srnn_forward_args batch;
  srnn_embedding *table;
  OK(srnn_embedding_create(WORDS, IN, -1, &table, &err));
  OK(srnn_embedding_init_normal(table, 1, &err));
  srnn_forward_args_init(&batch, BATCH, STEPS);
  OK(run_forward_train_tokens(model, session, tape, &batch, seed, table, indices, COUNT(indices), NULL, y,
                                   BATCH * STEPS * HIDDEN, NULL, &err));
  srnn_embedding_destroy(table);
  return of_floats(y, BATCH * STEPS * HIDDEN);
}

static uint64_t norms_of(const srnn_gradient_flow *flow, size_t pass) {
  double norms[STEPS];
  OK(srnn_gradient_flow_state_norms(flow, pass, norms, STEPS, &err));
  return digest(norms, sizeof norms);
}

static uint64_t cell_norms_of(const srnn_gradient_flow *flow, size_t pass) {
  double norms[STEPS];
  OK(srnn_gradient_flow_cell_norms(flow, pass, norms, STEPS, &err));
  return digest(norms, sizeof norms);
}

static uint64_t singular(const srnn_gradient_flow *flow, size_t pass, size_t gate) {
  double value;
  OK(srnn_gradient_flow_singular_value(flow, pass, gate, &value, &err));
  return digest(&value, sizeof value);
}

static uint64_t saturated(const srnn_gradient_flow *flow, size_t pass, size_t gate) {
  float shares[2];
  OK(srnn_gradient_flow_saturation(flow, pass, gate, &shares[0], &shares[1], &err));
  return digest(shares, sizeof shares);
}

static uint64_t gradient(const srnn_grads *grads, size_t index) {
  OK(srnn_grads_read_param(grads, index, y, 4 * HIDDEN * HIDDEN, &err));
  return of_floats(y, 4 * HIDDEN * HIDDEN);
}

static void training(void) {
  srnn_grads *grads;
  srnn_gradient_flow *flow;
  srnn_forward_args batch;
  size_t i;
  CHECK(trained(1) != trained((uint64_t)1 << 40));
  CHECK(trained_tokens(1) != trained_tokens(2));
  OK(srnn_grads_create(model, &grads, &err));
  OK(srnn_gradient_flow_create(&flow, &err));
  srnn_forward_args_init(&batch, BATCH, STEPS);
  for (i = 0; i < BATCH * STEPS * IN; ++i) x[i] *= 9; /* some gates near their limits */
  (void)trained(1);
  fill(h, BATCH * STEPS * HIDDEN, 5);
  OK(run_backward(model, session, tape, h, BATCH * STEPS * HIDDEN, NULL, NULL, 0, NULL, grads, flow, &err));
  ARGUMENT(srnn_gradient_flow_state_norms, pass, norms_of(flow, 0), norms_of(flow, 1));
  ARGUMENT(srnn_gradient_flow_cell_norms, pass, cell_norms_of(flow, 0), cell_norms_of(flow, 1));
  ARGUMENT(srnn_gradient_flow_singular_value, pass, singular(flow, 0, 1), singular(flow, 1, 1));
  ARGUMENT(srnn_gradient_flow_singular_value, gate, singular(flow, 0, 1), singular(flow, 0, 2));
  ARGUMENT(srnn_gradient_flow_saturation, pass, saturated(flow, 0, 2), saturated(flow, 1, 2));
  ARGUMENT(srnn_gradient_flow_saturation, gate, saturated(flow, 0, 1), saturated(flow, 0, 2));
  ARGUMENT(srnn_grads_read_param, index, gradient(grads, 1), gradient(grads, 5));
  srnn_gradient_flow_destroy(flow);
  srnn_grads_destroy(grads);
}

/* The gradients of two chunks. */
static uint64_t truncated(size_t batch_size, size_t k1, size_t k2, size_t steps, uint64_t seed) {
  srnn_truncated_bptt *bptt;
  srnn_grads *grads;
  float *data;
  size_t len, chunk;
  uint64_t result;
  fill(x, ROOM, 1);
  fill(h, ROOM, 2);
  OK(srnn_truncated_bptt_create(model, batch_size, k1, k2, &bptt, &err));
  OK(srnn_grads_create(model, &grads, &err));
  for (chunk = 0; chunk < 2; ++chunk) {
    const size_t rows = batch_size * steps;
    OK(srnn_truncated_bptt_forward(bptt, model, session, steps, seed, x, rows * IN, y, rows * HIDDEN, &err));
    OK(srnn_truncated_bptt_backward(bptt, model, session, h, rows * HIDDEN, NULL, 0, grads, &err));
  }
  OK(srnn_grads_data(grads, &data, &len, &err));
  result = of_floats(data, len);
  srnn_grads_destroy(grads);
  srnn_truncated_bptt_destroy(bptt);
  return result;
}

/* With chunks of k1 or fewer steps. */
static srnn_status allows(size_t k1, size_t steps) {
  srnn_truncated_bptt *bptt;
  srnn_status status;
  OK(srnn_truncated_bptt_create(model, 1, k1, 4, &bptt, &err));
  status = srnn_truncated_bptt_forward(bptt, model, session, steps, 0, x, steps * IN, NULL, 0, &err);
  srnn_truncated_bptt_destroy(bptt);
  return status;
}

/* A chunk after so many steps: dropout stands elsewhere. */
static uint64_t resumed(uint32_t steps_done) {
  srnn_truncated_bptt *bptt;
  srnn_state zeros;
  srnn_state_init(&zeros, NULL, 0, NULL, 0);
  OK(srnn_truncated_bptt_create(model, 1, 4, 4, &bptt, &err));
  OK(srnn_truncated_bptt_set_state(bptt, &zeros, steps_done, &err));
  OK(srnn_truncated_bptt_forward(bptt, model, session, 4, 7, x, 4 * IN, y, 4 * HIDDEN, &err));
  srnn_truncated_bptt_destroy(bptt);
  return of_floats(y, 4 * HIDDEN);
}

static uint64_t streamed(size_t lanes, size_t steps) {
  srnn_stream *stream;
  uint64_t result;
  OK(srnn_stream_create(model, lanes, &stream, &err));
  memset(y, 0, sizeof y);
  OK(srnn_stream_process(stream, model, steps, x, lanes * steps * IN, y, lanes * steps * HIDDEN, &err));
  result = of_floats(y, ROOM);
  srnn_stream_destroy(stream);
  return result;
}

static uint64_t reset(size_t lane) {
  srnn_stream *stream;
  OK(srnn_stream_create(model, 2, &stream, &err));
  OK(srnn_stream_step(stream, model, x, 2 * IN, y, 2 * HIDDEN, &err));
  OK(srnn_stream_reset_lane(stream, lane, &err));
  OK(srnn_stream_step(stream, model, x, 2 * IN, y, 2 * HIDDEN, &err));
  srnn_stream_destroy(stream);
  return of_floats(y, 2 * HIDDEN);
}

static void chunks_and_streams(void) {
  ARGUMENT(srnn_truncated_bptt_create, batch_size, truncated(1, 2, 2, 2, 0), truncated(2, 2, 2, 2, 0));
  ARGUMENT(srnn_truncated_bptt_create, k2, truncated(1, 2, 2, 2, 0), truncated(1, 2, 4, 2, 0));
  CHECK(allows(2, 2) == SRNN_OK && allows(2, 4) == SRNN_ERROR_INVALID_ARGUMENT);
  ARGUMENT(srnn_truncated_bptt_create, k1, (uint64_t)allows(2, 3), (uint64_t)allows(4, 3));
  ARGUMENT(srnn_truncated_bptt_forward, steps, truncated(1, 2, 2, 2, 0), truncated(1, 2, 2, 1, 0));
  ARGUMENT(srnn_truncated_bptt_forward, dropout_seed, truncated(1, 2, 2, 2, 0), truncated(1, 2, 2, 2, 1));
  ARGUMENT(srnn_truncated_bptt_set_state, steps_done, resumed(0), resumed(1));
  ARGUMENT(srnn_stream_create, lanes, streamed(1, 4), streamed(2, 2));
  ARGUMENT(srnn_stream_process, steps, streamed(1, 4), streamed(1, 3));
  ARGUMENT(srnn_stream_reset_lane, lane, reset(0), reset(1));
}

/* ---- Dense layers, embeddings, functions on arrays. ---- */

static uint64_t dense(size_t in, size_t out, int32_t bias, uint64_t seed) {
  srnn_dense *d;
  OK(srnn_dense_create(in, out, bias, &d, &err));
  OK(srnn_dense_init(d, seed, &err));
  fill(x, ROOM, 1);
  OK(srnn_dense_forward(d, NULL, x, 2 * in, y, 2 * out, &err));
  srnn_dense_destroy(d);
  return of_floats(y, 2 * out);
}

/* The table, after a step on a gradient of all rows. */
static uint64_t embedding(size_t words, size_t dim, int64_t padding, int32_t frozen, float range, uint64_t seed) {
  static const uint32_t rows[3] = {0, 1, 2};
  srnn_embedding *e;
  srnn_embedding_grads *g;
  srnn_optimizer_config config;
  srnn_optimizer *sgd;
  OK(srnn_embedding_create(words, dim, padding, &e, &err));
  if (range < 0) OK(srnn_embedding_init_normal(e, seed, &err));
  if (range >= 0) OK(srnn_embedding_init_uniform(e, range, seed, &err));
  OK(srnn_embedding_set_frozen(e, frozen, &err));
  OK(srnn_embedding_grads_create(e, &g, &err));
  fill(h, 3 * dim, 3);
  OK(srnn_embedding_grads_add(g, rows, 3, h, 3 * dim, &err));
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_SGD);
  OK(srnn_optimizer_create(&config, &sgd, &err));
  OK(srnn_optimizer_begin_step(sgd, &err));
  OK(srnn_optimizer_update_embedding(sgd, 0, e, g, &err));
  OK(srnn_embedding_read_rows(e, 0, y, words * dim, &err));
  srnn_optimizer_destroy(sgd);
  srnn_embedding_grads_destroy(g);
  srnn_embedding_destroy(e);
  return of_floats(y, words * dim);
}

static uint64_t row(size_t read, size_t write) {
  srnn_embedding *e;
  OK(srnn_embedding_create(WORDS, IN, -1, &e, &err));
  OK(srnn_embedding_init_normal(e, 1, &err));
  OK(srnn_embedding_write_rows(e, write, x, IN, &err));
  OK(srnn_embedding_read_rows(e, read, y, IN, &err));
  srnn_embedding_destroy(e);
  return of_floats(y, IN);
}

static uint64_t softmax(size_t cols, int is_log) {
  fill(x, 12, 1);
  if (is_log) OK(srnn_log_softmax(cols, x, 12, y, 12, &err));
  if (!is_log) OK(srnn_softmax(cols, x, 12, y, 12, &err));
  return of_floats(y, 12);
}

static uint64_t dropped(double p, uint64_t seed, uint64_t offset) {
  size_t i;
  for (i = 0; i < 64; ++i) y[i] = 1;
  OK(srnn_dropout(p, seed, offset, y, 64, &err));
  return of_floats(y, 64);
}

static void others(void) {
  const uint64_t high = (uint64_t)1 << 40;
  ARGUMENT(srnn_dense_create, in_features, dense(3, 4, 1, 1), dense(2, 4, 1, 1));
  ARGUMENT(srnn_dense_create, out_features, dense(3, 4, 1, 1), dense(3, 5, 1, 1));
  ARGUMENT(srnn_dense_create, bias, dense(3, 4, 1, 1), dense(3, 4, 0, 1));
  ARGUMENT(srnn_dense_init, seed, dense(3, 4, 1, 1), dense(3, 4, 1, 1 + high));
  ARGUMENT(srnn_embedding_create, num_embeddings, embedding(6, 3, -1, 0, 1, 1), embedding(7, 3, -1, 0, 1, 1));
  ARGUMENT(srnn_embedding_create, embedding_dim, embedding(6, 3, -1, 0, 1, 1), embedding(6, 4, -1, 0, 1, 1));
  ARGUMENT(srnn_embedding_create, padding_idx, embedding(6, 3, -1, 0, 1, 1), embedding(6, 3, 1, 0, 1, 1));
  ARGUMENT(srnn_embedding_create, padding_idx, embedding(6, 3, 0, 0, 1, 1), embedding(6, 3, 1, 0, 1, 1));
  CHECK(all(y + 3, 3, 0.0f));
  ARGUMENT(srnn_embedding_set_frozen, frozen, embedding(6, 3, -1, 0, 1, 1), embedding(6, 3, -1, 1, 1, 1));
  ARGUMENT(srnn_embedding_init_uniform, range, embedding(6, 3, -1, 0, 1, 1), embedding(6, 3, -1, 0, 2, 1));
  ARGUMENT(srnn_embedding_init_uniform, seed, embedding(6, 3, -1, 0, 1, 1), embedding(6, 3, -1, 0, 1, 1 + high));
  ARGUMENT(srnn_embedding_init_normal, seed, embedding(6, 3, -1, 0, -1, 1), embedding(6, 3, -1, 0, -1, 1 + high));
  ARGUMENT(srnn_embedding_read_rows, first_row, row(1, 0), row(2, 0));
  ARGUMENT(srnn_embedding_write_rows, first_row, row(1, 1), row(1, 0));
  ARGUMENT(srnn_softmax, cols, softmax(3, 0), softmax(4, 0));
  ARGUMENT(srnn_log_softmax, cols, softmax(3, 1), softmax(4, 1));
  ARGUMENT(srnn_dropout, p, dropped(0.5, 1, 0), dropped(0.75, 1, 0));
  ARGUMENT(srnn_dropout, seed, dropped(0.5, 1, 0), dropped(0.5, 1 + high, 0));
  ARGUMENT(srnn_dropout, offset, dropped(0.5, 1, 0), dropped(0.5, 1, high));
}

int main(void) {
  srnn_rnn_config config;
  session = make_session();
  OK(srnn_tape_create(&tape, &err));
  configuration();
  parameters();
  srnn_rnn_config_init(&config, SRNN_CELL_LSTM, IN, HIDDEN);
  config.num_layers = 2;
  config.dropout = 0.5f;
  OK(srnn_rnn_create(&config, &model, &err));
  OK(srnn_rnn_init(model, SRNN_INIT_TORCH_UNIFORM, 1, &err));
  batches_and_states();
  training();
  chunks_and_streams();
  others();
  srnn_rnn_destroy(model);
  srnn_tape_destroy(tape);
  srnn_session_destroy(session);
  return finish_effects();
}
