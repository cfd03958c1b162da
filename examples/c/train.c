/* Learns parity: whether a sequence of 1 to 12 bits has an odd number of ones. Embedding, GRU, dense layer, softmax
 * cross-entropy, clipped gradients, Adam: every step of training in the open. */

#include <simdrnn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, STEPS = 12, EMBEDDING = 8, HIDDEN = 24, CLASSES = 2, TRAINING_STEPS = 600 };

static srnn_error error;

static void check(srnn_status status) {
  if (status != SRNN_OK) {
    fprintf(stderr, "%s: %s\n", srnn_status_string(status), error.message);
    exit(1);
  }
}

static uint32_t random_bits(void) {
  static uint32_t state = 1;
  state ^= state << 13;
  state ^= state >> 17;
  return state ^= state << 5;
}

static uint32_t bits[STEPS * BATCH];
static int64_t parity[BATCH];
static size_t lengths[BATCH];

static void draw_batch(void) {
  size_t b, t;
  memset(bits, 0, sizeof bits);
  for (b = 0; b < BATCH; ++b) {
    lengths[b] = 1 + random_bits() % STEPS;
    parity[b] = 0;
    for (t = 0; t < lengths[b]; ++t) {
      bits[t * BATCH + b] = random_bits() >> 31;
      parity[b] ^= bits[t * BATCH + b];
    }
  }
}

int main(void) {
  static float dx[STEPS * BATCH * EMBEDDING], h[BATCH * HIDDEN], dh[BATCH * HIDDEN];
  static float logits[BATCH * CLASSES], dlogits[BATCH * CLASSES], dense_grads[CLASSES * HIDDEN + CLASSES];
  const size_t dx_len = sizeof dx / sizeof *dx, h_len = sizeof h / sizeof *h, logits_len = sizeof logits / sizeof *logits;
  const size_t dense_len = sizeof dense_grads / sizeof *dense_grads;
  srnn_rnn_config rnn_config;
  srnn_optimizer_config optimizer_config;
  srnn_embedding *embedding;
  srnn_embedding_grads *embedding_grads;
  srnn_rnn *gru;
  srnn_grads *gru_grads;
  srnn_dense *dense;
  srnn_session *session;
  srnn_tape *tape;
  srnn_optimizer *adam;
  srnn_forward_args forward;
  srnn_backward_args backward;
  srnn_module model[3];
  double loss = 0;
  size_t step, b, right = 0;

  check(srnn_embedding_create(2, EMBEDDING, -1, &embedding, &error));
  check(srnn_embedding_init_normal(embedding, 1, &error));
  check(srnn_embedding_grads_create(embedding, &embedding_grads, &error));
  srnn_rnn_config_init(&rnn_config, SRNN_CELL_GRU, EMBEDDING, HIDDEN);
  check(srnn_rnn_create(&rnn_config, &gru, &error));
  check(srnn_rnn_init(gru, SRNN_INIT_XAVIER_ORTHOGONAL, 2, &error));
  check(srnn_grads_create(gru, &gru_grads, &error));
  check(srnn_dense_create(HIDDEN, CLASSES, 1, &dense, &error));
  check(srnn_dense_init(dense, 3, &error));
  check(srnn_session_create(&session, &error));
  check(srnn_tape_create(&tape, &error));
  srnn_optimizer_config_init(&optimizer_config, SRNN_OPTIMIZER_ADAM);
  optimizer_config.lr = 3e-3;
  check(srnn_optimizer_create(&optimizer_config, &adam, &error));

  /* The modules that are trained, with their gradients. */
  for (b = 0; b < 3; ++b) srnn_module_init(&model[b]);
  model[0].embedding = embedding;
  model[0].embedding_grads = embedding_grads;
  model[1].rnn = gru;
  model[1].rnn_grads = gru_grads;
  model[2].dense = dense;
  model[2].grads = dense_grads;
  model[2].grads_len = dense_len;

  /* From words to the last states, and back. */
  srnn_forward_args_init(&forward, BATCH, STEPS);
  forward.lengths = lengths;
  forward.lengths_len = BATCH;
  forward.embedding = embedding;
  forward.indices = bits;
  forward.indices_len = STEPS * BATCH;
  forward.hn = h;
  forward.hn_len = h_len;
  srnn_backward_args_init(&backward);
  backward.dhn = dh;
  backward.dhn_len = h_len;
  backward.dx = dx;
  backward.dx_len = dx_len;
  backward.grads = gru_grads;

  for (step = 1; step <= TRAINING_STEPS; ++step) {
    draw_batch();
    check(srnn_modules_zero_grad(model, 3, &error));

    /* Forward, to the loss. */
    check(srnn_rnn_forward(gru, session, tape, &forward, &error));
    check(srnn_dense_forward(dense, session, h, h_len, logits, logits_len, &error));
    check(srnn_cross_entropy(NULL, CLASSES, logits, logits_len, parity, BATCH, &loss, dlogits, logits_len, &error));

    /* Backward, from the loss. */
    check(srnn_dense_backward(dense, session, h, h_len, dlogits, logits_len, dh, h_len, dense_grads, dense_len, &error));
    check(srnn_rnn_backward(gru, session, tape, &backward, &error));
    check(srnn_embedding_grads_add(embedding_grads, bits, STEPS * BATCH, dx, dx_len, &error));

    /* Clip all gradients together, and update. */
    check(srnn_modules_clip_grad_norm(model, 3, 1.0, 1, NULL, &error));
    check(srnn_optimizer_step(adam, model, 3, &error));
    if (step % 100 == 0) printf("step %4d: loss %.4f\n", (int)step, loss);
  }

  /* Sequences that were not trained on. */
  draw_batch();
  check(srnn_rnn_forward(gru, session, NULL, &forward, &error));
  check(srnn_dense_forward(dense, session, h, h_len, logits, logits_len, &error));
  for (b = 0; b < BATCH; ++b) right += (logits[b * CLASSES + 1] > logits[b * CLASSES]) == (parity[b] == 1);
  printf("%d of %d right\n", (int)right, BATCH);

  srnn_optimizer_destroy(adam);
  srnn_tape_destroy(tape);
  srnn_session_destroy(session);
  srnn_dense_destroy(dense);
  srnn_grads_destroy(gru_grads);
  srnn_rnn_destroy(gru);
  srnn_embedding_grads_destroy(embedding_grads);
  srnn_embedding_destroy(embedding);
  return 0;
}
