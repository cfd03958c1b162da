/* Memory runs out: one allocation after another fails, and each time the call says so and leaves its handles fit for use.
 * Calls that promise not to allocate succeed without memory. */

#ifndef FAILING_ALLOCATIONS
#define FAILING_ALLOCATIONS
#endif
#include "check.h"

#if CAN_FAIL_ALLOCATIONS

enum { IN = 3, HIDDEN = 5, BATCH = 2, STEPS = 4, LAYERS = 2 };
enum { X = STEPS * BATCH * IN, Y = STEPS * BATCH * HIDDEN * 2 };

static float x[X], y[Y], z[Y], dy[Y], dx[X];

static void recurrent(void) {
  static const size_t lengths[BATCH] = {4, 2};
  srnn_rnn_config config;
  srnn_rnn *rnn, *forward;
  srnn_session *session, *fresh;
  srnn_tape *tape;
  srnn_grads *grads;
  srnn_gradient_flow *flow;
  srnn_truncated_bptt *bptt;
  srnn_stream *stream;
  srnn_optimizer_config sgd;
  srnn_optimizer *optimizer;
  srnn_batch batch;
  size_t index;
  long before;
  char name[SRNN_PARAM_NAME_SIZE];
  srnn_rnn_config_init(&config, SRNN_CELL_LSTM, IN, HIDDEN);
  config.num_layers = LAYERS;
  config.direction = SRNN_DIRECTION_BIDIRECTIONAL;
  RUNS_OUT(srnn_rnn_create(&config, &rnn, &err));
  config.direction = SRNN_DIRECTION_FORWARD;
  OK(srnn_rnn_create(&config, &forward, &err));
  RUNS_OUT(srnn_rnn_init(rnn, SRNN_INIT_XAVIER_ORTHOGONAL, 1, &err));
  RUNS_OUT(srnn_rnn_param_name(rnn, 5, name, sizeof name, &err));
  RUNS_OUT(srnn_rnn_find_param(rnn, name, &index, &err));
  CHECK(index == 5);
  RUNS_OUT(srnn_session_create(NULL, &session, &err));
  RUNS_OUT(srnn_tape_create(&tape, &err));
  RUNS_OUT(srnn_grads_create(rnn, &grads, &err));
  RUNS_OUT(srnn_gradient_flow_create(&flow, &err));
  srnn_batch_init(&batch, BATCH, STEPS);
  batch.lengths = lengths;
  batch.lengths_len = BATCH;
  RUNS_OUT(srnn_rnn_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  RUNS_OUT(srnn_rnn_forward_train(rnn, session, tape, &batch, 0, x, X, NULL, z, Y, NULL, &err));
  CHECK(same_bits(y, z, Y));
  OK(srnn_session_create(NULL, &fresh, &err));
  RUNS_OUT(srnn_rnn_backward(rnn, fresh, tape, dy, Y, NULL, dx, X, NULL, grads, flow, &err));
  srnn_optimizer_config_init(&sgd, SRNN_OPTIMIZER_ADAM);
  RUNS_OUT(srnn_optimizer_create(&sgd, &optimizer, &err));
  OK(srnn_optimizer_begin_step(optimizer, &err));
  RUNS_OUT(srnn_optimizer_update_rnn(optimizer, 3, rnn, grads, &err));
  CHECK(srnn_optimizer_step(optimizer) == 1);
  srnn_grads_destroy(grads);
  OK(srnn_grads_create(forward, &grads, &err));
  RUNS_OUT(srnn_truncated_bptt_create(forward, BATCH, STEPS, 2 * STEPS, &bptt, &err));
  RUNS_OUT(srnn_truncated_bptt_forward(bptt, forward, session, STEPS, 0, x, X, y, Y / 2, &err));
  RUNS_OUT(srnn_truncated_bptt_backward(bptt, forward, session, dy, Y / 2, dx, X, grads, &err));
  RUNS_OUT(srnn_stream_create(forward, BATCH, &stream, &err));
  RUNS_OUT(srnn_stream_set_pool(stream, NULL, &err));

  /* What a stream promises: not one allocation. */
  before = failed;
  until_failure = 0;
  SUCCEEDS(srnn_stream_step(stream, forward, x, X / STEPS, y, Y / 2 / STEPS, &err));
  SUCCEEDS(srnn_stream_process(stream, forward, 3, x, 3 * X / STEPS, y, 3 * Y / 2 / STEPS, &err));
  SUCCEEDS(srnn_stream_reset(stream, &err));
  /* And a session that has seen the shape. */
  SUCCEEDS(srnn_rnn_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  BAD_SHAPE("x", srnn_rnn_forward(rnn, session, &batch, x, X - 1, NULL, y, Y, NULL, &err)); /* nor do errors allocate */
  until_failure = -1;
  CHECK(failed == before);
  srnn_optimizer_destroy(optimizer);
  srnn_stream_destroy(stream);
  srnn_truncated_bptt_destroy(bptt);
  srnn_gradient_flow_destroy(flow);
  srnn_grads_destroy(grads);
  srnn_tape_destroy(tape);
  srnn_session_destroy(fresh);
  srnn_session_destroy(session);
  srnn_rnn_destroy(forward);
  srnn_rnn_destroy(rnn);
}

static void others(void) {
  static const uint32_t indices[2] = {1, 4};
  srnn_dense *dense;
  srnn_embedding *embedding;
  srnn_embedding_grads *eg;
  srnn_optimizer_config config;
  srnn_optimizer *optimizer;
  srnn_session *session = make_session();
  float g[IN * 2 + 2] = {0}, *arrays[2];
  size_t lengths[2] = {4, 2};
  double norm;
  RUNS_OUT(srnn_dense_create(IN, 2, 1, &dense, &err));
  RUNS_OUT(srnn_dense_forward(dense, session, x, IN, y, 2, &err));
  RUNS_OUT(srnn_dense_backward(dense, session, x, IN, y, 2, dx, IN, g, COUNT(g), &err));
  RUNS_OUT(srnn_embedding_create(5, 2, 0, &embedding, &err));
  RUNS_OUT(srnn_embedding_grads_create(embedding, &eg, &err));
  RUNS_OUT(srnn_embedding_grads_add(eg, indices, 2, dy, 4, &err));
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_RMSPROP);
  OK(srnn_optimizer_create(&config, &optimizer, &err));
  OK(srnn_optimizer_begin_step(optimizer, &err));
  RUNS_OUT(srnn_optimizer_update_embedding(optimizer, 0, embedding, eg, &err));
  RUNS_OUT(srnn_optimizer_update_dense(optimizer, 1, dense, g, COUNT(g), &err));
  arrays[0] = g;
  arrays[1] = g + 4;
  RUNS_OUT(srnn_clip_grad_norm(arrays, lengths, 2, 1, 1, &norm, &err));
  RUNS_OUT(srnn_clip_grad_value(arrays, lengths, 2, 1, &err));
  srnn_optimizer_destroy(optimizer);
  srnn_embedding_grads_destroy(eg);
  srnn_embedding_destroy(embedding);
  srnn_dense_destroy(dense);
  srnn_session_destroy(session);
}

int main(void) {
  void *volatile probe;
  until_failure = 0;
  probe = malloc(1);
  until_failure = -1;
  if (probe != NULL) {
    free(probe);
    return not_run("another allocator stands before the one that fails");
  }
  fill(x, X, 1);
  fill(dy, Y, 2);
  recurrent();
  others();
  CHECK(failed > 100);
  return finish();
}

#else

int main(void) { return not_run("no allocator that fails here"); }

#endif
