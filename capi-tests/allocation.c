/* Calls that promise not to allocate succeed without memory, and what others allocate is given back. What they do when
 * an allocation fails is seen where they are watched. */

#include "check.h"
#include "watch/allocator.h"

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
  srnn_forward_args batch;
  size_t index;
  long before;
  char name[SRNN_PARAM_NAME_SIZE];
  srnn_rnn_config_init(&config, SRNN_CELL_LSTM, IN, HIDDEN);
  config.num_layers = LAYERS;
  config.direction = SRNN_DIRECTION_BIDIRECTIONAL;
  OK(srnn_rnn_create(&config, &rnn, &err));
  config.direction = SRNN_DIRECTION_FORWARD;
  OK(srnn_rnn_create(&config, &forward, &err));
  OK(srnn_rnn_init(rnn, SRNN_INIT_XAVIER_ORTHOGONAL, 1, &err));
  OK(srnn_rnn_param_name(rnn, 5, name, sizeof name, &err));
  OK(srnn_rnn_find_param(rnn, name, &index, &err));
  CHECK(index == 5);
  OK(srnn_session_create(&session, &err));
  OK(srnn_tape_create(&tape, &err));
  OK(srnn_grads_create(rnn, &grads, &err));
  OK(srnn_gradient_flow_create(&flow, &err));
  srnn_forward_args_init(&batch, BATCH, STEPS);
  batch.lengths = lengths;
  batch.lengths_len = BATCH;
  OK(run_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  OK(run_forward_train(rnn, session, tape, &batch, 0, x, X, NULL, z, Y, NULL, &err));
  CHECK(same_bits(y, z, Y));
  OK(srnn_session_create(&fresh, &err));
  OK(run_backward(rnn, fresh, tape, dy, Y, NULL, dx, X, NULL, grads, flow, &err));
  srnn_optimizer_config_init(&sgd, SRNN_OPTIMIZER_ADAM);
  OK(srnn_optimizer_create(&sgd, &optimizer, &err));
  OK(srnn_optimizer_begin_step(optimizer, &err));
  OK(srnn_optimizer_update_rnn(optimizer, 3, rnn, grads, &err));
  CHECK(srnn_optimizer_step_count(optimizer) == 1);
  srnn_grads_destroy(grads);
  OK(srnn_grads_create(forward, &grads, &err));
  OK(srnn_truncated_bptt_create(forward, BATCH, STEPS, 2 * STEPS, &bptt, &err));
  OK(srnn_truncated_bptt_forward(bptt, forward, session, STEPS, 0, x, X, y, Y / 2, &err));
  OK(srnn_truncated_bptt_backward(bptt, forward, session, dy, Y / 2, dx, X, grads, &err));
  OK(srnn_stream_create(forward, BATCH, &stream, &err));
  OK(srnn_stream_set_pool(stream, NULL, &err));

  /* What a stream promises: not one allocation. */
  before = failed;
  until_failure = 0;
  SUCCEEDS(srnn_stream_step(stream, forward, x, X / STEPS, y, Y / 2 / STEPS, &err));
  SUCCEEDS(srnn_stream_process(stream, forward, 3, x, 3 * X / STEPS, y, 3 * Y / 2 / STEPS, &err));
  SUCCEEDS(srnn_stream_reset(stream, &err));
  /* And a session that has seen the shape. */
  SUCCEEDS(run_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, &err));
  BAD_SHAPE("x", run_forward(rnn, session, &batch, x, X - 1, NULL, y, Y, NULL, &err)); /* nor do errors allocate */
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
  OK(srnn_dense_create(IN, 2, 1, &dense, &err));
  OK(srnn_dense_forward(dense, session, x, IN, y, 2, &err));
  OK(srnn_dense_backward(dense, session, x, IN, y, 2, dx, IN, g, COUNT(g), &err));
  OK(srnn_embedding_create(5, 2, 0, &embedding, &err));
  OK(srnn_embedding_grads_create(embedding, &eg, &err));
  OK(srnn_embedding_grads_add(eg, indices, 2, dy, 4, &err));
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_RMSPROP);
  OK(srnn_optimizer_create(&config, &optimizer, &err));
  OK(srnn_optimizer_begin_step(optimizer, &err));
  OK(srnn_optimizer_update_embedding(optimizer, 0, embedding, eg, &err));
  OK(srnn_optimizer_update_dense(optimizer, 1, dense, g, COUNT(g), &err));
  arrays[0] = g;
  arrays[1] = g + 4;
  OK(srnn_clip_grad_norm(arrays, lengths, 2, 1, 1, &norm, &err));
  OK(srnn_clip_grad_value(arrays, lengths, 2, 1, &err));
  srnn_optimizer_destroy(optimizer);
  srnn_embedding_grads_destroy(eg);
  srnn_embedding_destroy(embedding);
  srnn_dense_destroy(dense);
  srnn_session_destroy(session);
}

/* A forward of truncated BPTT that fails, and is not made again, changes no later gradient. */
static void abandoned_chunk(void) {
  enum { K1 = 2, IX = K1 * BATCH * IN, OY = K1 * BATCH * HIDDEN };
  srnn_rnn *rnn = make_rnn(SRNN_CELL_GRU, IN, HIDDEN, LAYERS, SRNN_DIRECTION_FORWARD);
  const size_t count = srnn_rnn_value_count(rnn);
  float *expected = malloc(count * sizeof *expected), *data;
  size_t len, i, tries = 0;
  long n;
  for (n = -1; n == -1 || tries == (size_t)n; ++n) {
    srnn_truncated_bptt *b;
    srnn_grads *grads;
    OK(srnn_truncated_bptt_create(rnn, BATCH, K1, 3 * K1, &b, &err));
    OK(srnn_grads_create(rnn, &grads, &err));
    OK(srnn_grads_data(grads, &data, &len, &err));
    for (i = 0; i < 5; ++i) {
      srnn_session *s = make_session();
      const float *in = x + i;
      OK(srnn_truncated_bptt_forward(b, rnn, s, K1, 0, in, IX, y, OY, &err));
      if (i > 2 && n >= 0) {
        srnn_session *fresh = make_session();
        srnn_status status;
        until_failure = n;
        status = srnn_truncated_bptt_forward(b, rnn, fresh, K1, 0, in, IX, z, OY, &err);
        until_failure = -1;
        srnn_session_destroy(fresh);
        if (status == SRNN_OK) {
          srnn_session_destroy(s);
          break;
        }
        CHECK(status == SRNN_ERROR_OUT_OF_MEMORY);
      }
      OK(srnn_truncated_bptt_backward(b, rnn, s, dy, OY, NULL, 0, grads, &err));
      srnn_session_destroy(s);
    }
    if (n < 0) memcpy(expected, data, count * sizeof *expected);
    if (n >= 0 && i == 5) {
      ++tries;
      CHECK(same_bits(expected, data, count));
    }
    srnn_grads_destroy(grads);
    srnn_truncated_bptt_destroy(b);
  }
  CHECK(tries >= 2);
  free(expected);
  srnn_rnn_destroy(rnn);
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
  abandoned_chunk();
#ifdef LIVE
  CHECK(LIVE == 0);
#endif
  return finish();
}

#else

int main(void) { return not_run("no allocator that fails here"); }

#endif
