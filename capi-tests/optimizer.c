/* Optimizers. */

#include "check.h"

enum { N = 4 };

static srnn_optimizer *make(int32_t kind, double lr) {
  srnn_optimizer_config config;
  srnn_optimizer *optimizer;
  srnn_optimizer_config_init(&config, kind);
  config.lr = lr;
  OK(srnn_optimizer_create(&config, &optimizer, &err));
  return optimizer;
}

static void configuration(void) {
  srnn_optimizer_config c;
  srnn_optimizer *o;
  int32_t kind;
  for (kind = SRNN_OPTIMIZER_SGD; kind <= SRNN_OPTIMIZER_RMSPROP; ++kind) {
    memset(&c, 0xff, sizeof c);
    srnn_optimizer_config_init(&c, kind);
    CHECK(c.struct_size == sizeof c && c.kind == kind && c.reserved[3] == 0);
    CHECK(c.lr == (kind == SRNN_OPTIMIZER_RMSPROP ? 1e-2 : 1e-3));
    CHECK(c.weight_decay == (kind == SRNN_OPTIMIZER_ADAMW ? 1e-2 : 0.0));
    CHECK(c.momentum == 0 && c.dampening == 0 && c.beta1 == 0.9 && c.beta2 == 0.999 && c.alpha == 0.99);
    CHECK(c.eps == 1e-8 && c.nesterov == 0 && c.centered == 0);
    OK(srnn_optimizer_create(&c, &o, &err));
    CHECK(srnn_optimizer_lr(o) == c.lr && srnn_optimizer_step_count(o) == 0);
    srnn_optimizer_destroy(o);
  }
  srnn_optimizer_destroy(NULL);
  srnn_optimizer_config_init(NULL, SRNN_OPTIMIZER_SGD);
  CHECK(srnn_optimizer_lr(NULL) == 0 && srnn_optimizer_step_count(NULL) == 0);
}

#define WRONG(kind_, word, field, value)                                        \
  do {                                                                          \
    srnn_optimizer_config_init(&c, kind_);                                      \
    c.field = (value);                                                          \
    BAD_ARGUMENT(word, srnn_optimizer_create(&c, &none, &err));                 \
    CHECK(none == NULL);                                                        \
  } while (0)

static void wrong_configurations(void) {
  srnn_optimizer_config c;
  srnn_optimizer *none = NULL;
  srnn_optimizer_config_init(&c, SRNN_OPTIMIZER_SGD);
  IS_NULL("config", srnn_optimizer_create(NULL, &none, &err));
  IS_NULL("optimizer", srnn_optimizer_create(&c, NULL, &err));
  WRONG(4, "optimizer 4", lr, 1);
  WRONG(-1, "optimizer -1", lr, 1);
  WRONG(SRNN_OPTIMIZER_SGD, "lr", lr, -1);
  WRONG(SRNN_OPTIMIZER_ADAM, "lr", lr, (double)NAN);
  WRONG(SRNN_OPTIMIZER_SGD, "momentum", momentum, -1);
  WRONG(SRNN_OPTIMIZER_SGD, "nesterov is 2", nesterov, 2);
  WRONG(SRNN_OPTIMIZER_SGD, "nesterov needs", nesterov, 1);
  WRONG(SRNN_OPTIMIZER_SGD, "dampening", dampening, (double)INFINITY);
  WRONG(SRNN_OPTIMIZER_ADAM, "betas[0]", beta1, 1);
  WRONG(SRNN_OPTIMIZER_ADAMW, "betas[1]", beta2, -0.1);
  WRONG(SRNN_OPTIMIZER_ADAM, "eps", eps, -1);
  WRONG(SRNN_OPTIMIZER_ADAMW, "weight_decay", weight_decay, -1);
  WRONG(SRNN_OPTIMIZER_RMSPROP, "alpha", alpha, 2);
  WRONG(SRNN_OPTIMIZER_RMSPROP, "centered is -1", centered, -1);
  WRONG(SRNN_OPTIMIZER_SGD, "struct_size", struct_size, 0);
  WRONG(SRNN_OPTIMIZER_SGD, "reserved", reserved[2], 1);
}

/* One step of each kind by hand: Adam's first is lr times the gradient's sign. */
static void steps(void) {
  srnn_optimizer_config config;
  srnn_optimizer *o = make(SRNN_OPTIMIZER_SGD, 0.5);
  srnn_pool *pool = NULL;
  float p[N] = {1, 1, 1, 1};
  const float g[N] = {1, -1, 2, 0};
  OK(srnn_pool_create(2, &pool, &err));
  OK(srnn_optimizer_set_pool(o, pool, &err));
  srnn_pool_destroy(pool);
  OK(srnn_optimizer_begin_step(o, &err));
  OK(srnn_optimizer_update(o, 0, p, N, g, N, &err));
  CHECK(p[0] == 0.5f && p[1] == 1.5f && p[2] == 0 && p[3] == 1 && srnn_optimizer_step_count(o) == 1);
  OK(srnn_optimizer_set_pool(o, NULL, &err));
  OK(srnn_optimizer_set_lr(o, 0.25, &err));
  CHECK(srnn_optimizer_lr(o) == 0.25);
  OK(srnn_optimizer_begin_step(o, &err));
  OK(srnn_optimizer_update(o, 0, p, N, g, N, &err));
  CHECK(p[0] == 0.25f && p[1] == 1.75f);
  srnn_optimizer_destroy(o);

  o = make(SRNN_OPTIMIZER_ADAM, 0.125);
  OK(srnn_optimizer_begin_step(o, &err));
  OK(srnn_optimizer_update(o, SIZE_MAX, p, N, g, N, &err));
  CHECK(fabsf(p[0] - 0.125f) < 1e-6f && fabsf(p[1] - 1.875f) < 1e-6f && p[3] == 1);
  srnn_optimizer_destroy(o);

  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_ADAMW);
  config.lr = 0.125;
  config.weight_decay = 1; /* takes an eighth off */
  OK(srnn_optimizer_create(&config, &o, &err));
  p[3] = 1;
  OK(srnn_optimizer_begin_step(o, &err));
  OK(srnn_optimizer_update(o, 0, p, N, g, N, &err));
  CHECK(p[3] == 0.875f);
  srnn_optimizer_destroy(o);

  o = make(SRNN_OPTIMIZER_RMSPROP, 0.01); /* lr * g / (sqrt(0.01 g^2) + eps) = 10 lr */
  p[0] = 1;
  OK(srnn_optimizer_begin_step(o, &err));
  OK(srnn_optimizer_update(o, 0, p, N, g, N, &err));
  CHECK(fabsf(p[0] - 0.9f) < 1e-5f);
  srnn_optimizer_destroy(o);
}

/* The layers' parameters move as plain arrays do, and their forward follows. */
static void layers(void) {
  srnn_optimizer *o = make(SRNN_OPTIMIZER_SGD, 0.5);
  srnn_rnn *rnn = make_rnn(SRNN_CELL_GRU, 2, 3, 1, SRNN_DIRECTION_FORWARD);
  srnn_session *session = make_session();
  srnn_grads *grads;
  srnn_dense *dense;
  srnn_embedding *embedding;
  srnn_embedding_grads *eg;
  const uint32_t index = 1;
  float before[200], after[200], *data, dense_grads[8], y[3], again[3], x[2] = {0.5f, -1}, dy[2] = {1, 2};
  srnn_forward_args batch;
  size_t len, i;
  OK(srnn_grads_create(rnn, &grads, &err));
  OK(srnn_grads_data(grads, &data, &len, &err));
  fill(data, len, 1);
  srnn_forward_args_init(&batch, 1, 1);
  OK(run_forward(rnn, session, &batch, x, 2, NULL, y, 3, NULL, &err));
  OK(srnn_rnn_read_values(rnn, before, len, &err));
  OK(srnn_optimizer_begin_step(o, &err));
  OK(srnn_optimizer_update_rnn(o, 0, rnn, grads, &err));
  OK(srnn_rnn_read_values(rnn, after, len, &err));
  for (i = 0; i < len; ++i) CHECK(fabsf(before[i] - 0.5f * data[i] - after[i]) < 1e-6f);
  OK(run_forward(rnn, session, &batch, x, 2, NULL, again, 3, NULL, &err));
  CHECK(!same_bits(y, again, 3)); /* the packed weights have followed */

  OK(srnn_dense_create(3, 2, 1, &dense, &err));
  fill(dense_grads, 8, 2);
  OK(srnn_optimizer_update_dense(o, 1, dense, dense_grads, 8, &err));
  OK(srnn_dense_read_values(dense, after, 8, &err));
  for (i = 0; i < 8; ++i) CHECK(after[i] == -0.5f * dense_grads[i]);
  memset(before, 0, sizeof before);
  OK(srnn_dense_forward(dense, NULL, before, 3, y, 2, &err));
  CHECK(y[0] == after[6] && y[1] == after[7]);

  OK(srnn_embedding_create(3, 2, -1, &embedding, &err));
  OK(srnn_embedding_grads_create(embedding, &eg, &err));
  OK(srnn_embedding_grads_add(eg, &index, 1, dy, 2, &err));
  OK(srnn_embedding_set_frozen(embedding, 1, &err));
  OK(srnn_optimizer_update_embedding(o, 2, embedding, eg, &err));
  OK(srnn_embedding_read_rows(embedding, 0, after, 6, &err));
  CHECK(all(after, 6, 0.0f));
  OK(srnn_embedding_set_frozen(embedding, 0, &err));
  OK(srnn_optimizer_update_embedding(o, 2, embedding, eg, &err));
  OK(srnn_embedding_read_rows(embedding, 0, after, 6, &err));
  CHECK(all(after, 2, 0.0f) && after[2] == -0.5f && after[3] == -1 && all(after + 4, 2, 0.0f));
  srnn_embedding_grads_destroy(eg);
  srnn_embedding_destroy(embedding);
  srnn_dense_destroy(dense);
  srnn_grads_destroy(grads);
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
  srnn_optimizer_destroy(o);
}

static void misuse(void) {
  srnn_optimizer *o = make(SRNN_OPTIMIZER_ADAM, 0.5);
  srnn_rnn *rnn = make_rnn(SRNN_CELL_GRU, 2, 3, 1, SRNN_DIRECTION_FORWARD);
  srnn_rnn *other = make_rnn(SRNN_CELL_LSTM, 2, 3, 1, SRNN_DIRECTION_FORWARD);
  srnn_session *session = make_session();
  srnn_tape *tape;
  srnn_grads *grads, *foreign;
  srnn_dense *dense;
  srnn_embedding *embedding, *larger;
  srnn_embedding_grads *eg, *lg;
  srnn_forward_args batch;
  float p[N + 1] = {1, 2, 3, 4, 5}, g[N + 1] = {1, 1, 1, 1, 1}, kept[N], x[2] = {1, 2}, d[8] = {0};
  OK(srnn_grads_create(rnn, &grads, &err));
  OK(srnn_grads_create(other, &foreign, &err));
  OK(srnn_dense_create(3, 2, 1, &dense, &err));
  OK(srnn_embedding_create(3, 2, -1, &embedding, &err));
  OK(srnn_embedding_create(4, 2, -1, &larger, &err));
  OK(srnn_embedding_grads_create(embedding, &eg, &err));
  OK(srnn_embedding_grads_create(larger, &lg, &err));
  OK(srnn_tape_create(&tape, &err));
  memcpy(kept, p, sizeof kept);
  IS_NULL("optimizer", srnn_optimizer_set_lr(NULL, 1, &err));
  BAD_ARGUMENT("lr", srnn_optimizer_set_lr(o, -1, &err));
  BAD_ARGUMENT("lr", srnn_optimizer_set_lr(o, (double)NAN, &err));
  CHECK(srnn_optimizer_lr(o) == 0.5);
  IS_NULL("optimizer", srnn_optimizer_set_pool(NULL, NULL, &err));
  IS_NULL("optimizer", srnn_optimizer_begin_step(NULL, &err));
  BAD_STATE("begin_step", srnn_optimizer_update(o, 0, p, N, g, N, &err));
  BAD_STATE("begin_step", srnn_optimizer_update_rnn(o, 1, rnn, grads, &err));
  BAD_STATE("begin_step", srnn_optimizer_update_dense(o, 2, dense, d, 8, &err));
  BAD_STATE("begin_step", srnn_optimizer_update_embedding(o, 3, embedding, eg, &err));
  OK(srnn_optimizer_begin_step(o, &err));
  IS_NULL("optimizer", srnn_optimizer_update(NULL, 0, p, N, g, N, &err));
  IS_NULL("values", srnn_optimizer_update(o, 0, NULL, N, g, N, &err));
  IS_NULL("grads", srnn_optimizer_update(o, 0, p, N, NULL, N, &err));
  BAD_SHAPE("slot 0", srnn_optimizer_update(o, 0, p, N, g, N + 1, &err));
  BAD_ARGUMENT("overlaps", srnn_optimizer_update(o, 0, p, N, p + 1, N, &err));
  BAD_ARGUMENT("aligned", srnn_optimizer_update(o, 0, misaligned(p), N, g, N, &err));
  TOO_LARGE("values", srnn_optimizer_update(o, 0, p, HUGE_LEN, g, N, &err));
  CHECK(same_bits(p, kept, N));

  IS_NULL("optimizer", srnn_optimizer_update_rnn(NULL, 1, rnn, grads, &err));
  IS_NULL("rnn", srnn_optimizer_update_rnn(o, 1, NULL, grads, &err));
  IS_NULL("grads", srnn_optimizer_update_rnn(o, 1, rnn, NULL, &err));
  BAD_SHAPE("gradients", srnn_optimizer_update_rnn(o, 1, rnn, foreign, &err));
  IS_NULL("optimizer", srnn_optimizer_update_dense(NULL, 2, dense, d, 8, &err));
  IS_NULL("dense", srnn_optimizer_update_dense(o, 2, NULL, d, 8, &err));
  IS_NULL("grads", srnn_optimizer_update_dense(o, 2, dense, NULL, 8, &err));
  BAD_SHAPE("grads", srnn_optimizer_update_dense(o, 2, dense, d, 7, &err));
  IS_NULL("optimizer", srnn_optimizer_update_embedding(NULL, 3, embedding, eg, &err));
  IS_NULL("embedding", srnn_optimizer_update_embedding(o, 3, NULL, eg, &err));
  IS_NULL("grads", srnn_optimizer_update_embedding(o, 3, embedding, NULL, &err));
  BAD_SHAPE("table", srnn_optimizer_update_embedding(o, 3, embedding, lg, &err));

  OK(srnn_optimizer_update(o, 0, p, N, g, N, &err));
  memcpy(kept, p, sizeof kept);
  BAD_STATE("already updated", srnn_optimizer_update(o, 0, p, N, g, N, &err));
  OK(srnn_optimizer_update_dense(o, 2, dense, d, 8, &err));
  BAD_STATE("already updated", srnn_optimizer_update_dense(o, 2, dense, d, 8, &err));
  OK(srnn_optimizer_update_embedding(o, 3, embedding, eg, &err));
  BAD_STATE("already updated", srnn_optimizer_update_embedding(o, 3, embedding, eg, &err));
  OK(srnn_optimizer_update_rnn(o, 1, rnn, grads, &err));
  /* A refused update leaves the model as it was: a tape from before it still fits. */
  srnn_forward_args_init(&batch, 1, 1);
  OK(run_forward_train(rnn, session, tape, &batch, 0, x, 2, NULL, NULL, 0, NULL, &err));
  BAD_STATE("already updated", srnn_optimizer_update_rnn(o, 1, rnn, grads, &err));
  OK(run_backward(rnn, session, tape, NULL, 0, NULL, NULL, 0, NULL, grads, NULL, &err));
  OK(srnn_optimizer_begin_step(o, &err));
  BAD_SHAPE("created for 4", srnn_optimizer_update(o, 0, p, N - 1, g, N - 1, &err));
  BAD_SHAPE("created for 4", srnn_optimizer_update_rnn(o, 0, rnn, grads, &err));
  CHECK(same_bits(p, kept, N));
  srnn_tape_destroy(tape);
  srnn_embedding_grads_destroy(lg);
  srnn_embedding_grads_destroy(eg);
  srnn_embedding_destroy(larger);
  srnn_embedding_destroy(embedding);
  srnn_dense_destroy(dense);
  srnn_grads_destroy(foreign);
  srnn_grads_destroy(grads);
  srnn_session_destroy(session);
  srnn_rnn_destroy(other);
  srnn_rnn_destroy(rnn);
  srnn_optimizer_destroy(o);
}

int main(void) {
  configuration();
  wrong_configurations();
  steps();
  layers();
  misuse();
  return finish();
}
