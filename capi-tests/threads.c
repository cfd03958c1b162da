/* Const handles in many threads at once: one model, one tape and one pool, a session for each thread. */

#include "check.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 20, IN = 8, HIDDEN = 24, BATCH = 4, STEPS = 6 };
enum { X = STEPS * BATCH * IN, Y = STEPS * BATCH * HIDDEN };

static srnn_rnn *rnn;
static srnn_tape *tape;
static srnn_pool *pool;
static srnn_forward_args batch;
static float x[X], y[Y], dy[Y], dx[X];

/* Returns NULL if all results were those of the main thread. */
static void *work(void *argument) {
  float own_y[Y], own_dx[X];
  srnn_session *session = NULL;
  srnn_error e;
  int round, wrong = 0;
  (void)argument;
  if (srnn_session_create(&session, &e) != SRNN_OK || srnn_session_set_pool(session, pool, &e) != SRNN_OK) return &rnn;
  for (round = 0; round < ROUNDS; ++round) {
    wrong |= run_forward(rnn, session, &batch, x, X, NULL, own_y, Y, NULL, &e) != SRNN_OK;
    wrong |= run_backward(rnn, session, tape, dy, Y, NULL, own_dx, X, NULL, NULL, NULL, &e) != SRNN_OK;
    wrong |= !same_bits(own_y, y, Y) || !same_bits(own_dx, dx, X);
    /* A refused call tells its own thread. */
    wrong |= run_forward(rnn, session, &batch, x, X - 1, NULL, own_y, Y, NULL, &e) != SRNN_ERROR_SHAPE_MISMATCH;
    wrong |= e.status != SRNN_ERROR_SHAPE_MISMATCH;
  }
  srnn_session_destroy(session);
  return wrong ? &rnn : NULL;
}

int main(void) {
  pthread_t threads[THREADS];
  srnn_session *session = make_session();
  size_t i;
  rnn = make_rnn(SRNN_CELL_GRU, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  OK(srnn_pool_create(2, &pool, &err));
  OK(srnn_tape_create(&tape, &err));
  fill(x, X, 1);
  fill(dy, Y, 2);
  srnn_forward_args_init(&batch, BATCH, STEPS);
  OK(run_forward_train(rnn, session, tape, &batch, 0, x, X, NULL, y, Y, NULL, &err));
  for (i = 0; i < THREADS; ++i) {
    /* The first backward of all packs weights: some thread's, at the same time as others'. */
    if (i == 0) {
      srnn_rnn *same = make_rnn(SRNN_CELL_GRU, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
      srnn_tape *other;
      OK(srnn_tape_create(&other, &err));
      OK(run_forward_train(same, session, other, &batch, 0, x, X, NULL, NULL, 0, NULL, &err));
      OK(run_backward(same, session, other, dy, Y, NULL, dx, X, NULL, NULL, NULL, &err));
      srnn_tape_destroy(other);
      srnn_rnn_destroy(same);
    }
    CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
  }
  for (i = 0; i < THREADS; ++i) {
    void *wrong = &rnn;
    CHECK(pthread_join(threads[i], &wrong) == 0 && wrong == NULL);
  }
  srnn_tape_destroy(tape);
  srnn_pool_destroy(pool);
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
  return finish();
}
