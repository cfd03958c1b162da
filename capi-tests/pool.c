/* Pools where users have them: shared by threads, destroyed early, in the child of a fork. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* One sequence, whose units the pool's threads share, and a batch, whose sequences they share; work enough for both. */
enum { IN = 40, HIDDEN = 128, LAYERS = 2, BATCHES = 2 };
static const size_t batch_sizes[BATCHES] = {1, 12}, seq_lens[BATCHES] = {60, 20};

static srnn_rnn *rnn;
static srnn_pool *pool;
static float *x[BATCHES], *expected[BATCHES];
static size_t x_len[BATCHES], y_len[BATCHES];

/* Whether a forward over each batch with `session` gives the expected bits. */
static int forward(srnn_session *session) {
  int right = 1;
  size_t i;
  for (i = 0; i < BATCHES; ++i) {
    srnn_error e;
    srnn_forward_args batch;
    float *y = calloc(y_len[i], sizeof *y);
    srnn_forward_args_init(&batch, batch_sizes[i], seq_lens[i]);
    right &= run_forward(rnn, session, &batch, x[i], x_len[i], NULL, y, y_len[i], NULL, &e) == SRNN_OK;
    right &= same_bits(y, expected[i], y_len[i]);
    free(y);
  }
  return right;
}

/* The same with a session of its own for `with`. */
static int forward_with(const srnn_pool *with) {
  srnn_error e;
  srnn_session *session = NULL;
  int right = srnn_session_create(&session, &e) == SRNN_OK && srnn_session_set_pool(session, with, &e) == SRNN_OK &&
              forward(session);
  srnn_session_destroy(session);
  return right;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int stop;

static int is_stopped(void) {
  int result;
  pthread_mutex_lock(&lock);
  result = stop;
  pthread_mutex_unlock(&lock);
  return result;
}

/* A user thread that calls until it is stopped. Returns NULL if all went well. */
static void *calls(void *argument) {
  int right = 1;
  (void)argument;
  do {
    right &= forward_with(pool);
  } while (!is_stopped());
  return right ? NULL : &rnn;
}

static void threads_share_a_pool(void) {
  pthread_t other;
  void *wrong = &rnn;
  int round;
  CHECK(pthread_create(&other, NULL, calls, NULL) == 0);
  for (round = 0; round < 10; ++round) CHECK(forward_with(pool));
  pthread_mutex_lock(&lock);
  stop = 1;
  pthread_mutex_unlock(&lock);
  CHECK(pthread_join(other, &wrong) == 0 && wrong == NULL);
}

/* Sessions keep a pool's threads alive. */
static void pools_go_before_sessions(void) {
  srnn_pool *early;
  srnn_session *sessions[2];
  OK(srnn_pool_create(3, &early, &err));
  OK(srnn_session_create(&sessions[0], &err));
  OK(srnn_session_set_pool(sessions[0], early, &err));
  OK(srnn_session_create(&sessions[1], &err));
  OK(srnn_session_set_pool(sessions[1], early, &err));
  CHECK(forward(sessions[0]));
  srnn_pool_destroy(early);
  CHECK(forward(sessions[1]));
  srnn_session_destroy(sessions[1]);
  CHECK(forward(sessions[0]));
  srnn_session_destroy(sessions[0]);
  /* A pool that nobody used. */
  OK(srnn_pool_create(3, &early, &err));
  srnn_pool_destroy(early);
}

/* In the child a pool of the parent has no threads: calls work on the caller's, and a new pool has its own. */
static void child(srnn_session *session) {
  srnn_pool *own;
  /* A child that hangs shall end, but not one that valgrind and other work make slow: killed, it would also be said to
   * leak what the parent's threads held. */
  alarm(1000);
  CHECK(srnn_pool_thread_count(pool) == 2);
  CHECK(forward(session));
  CHECK(forward_with(pool));
  CHECK(forward_with(NULL));
  OK(srnn_pool_create(2, &own, &err));
  CHECK(forward_with(own));
  srnn_pool_destroy(own);
  srnn_session_destroy(session);
  srnn_pool_destroy(pool);
  fflush(stdout);
  /* Another program in the child's place: what the parent's threads held is no leak of the child's. */
  execlp(failures ? "false" : "true", "child", (char *)NULL);
  _exit(1);
}

/* Once while the pool is idle, then while another thread's team works. */
static void forks(void) {
  pthread_t other;
  void *wrong = &rnn;
  int round;
  srnn_session *session;
  OK(srnn_session_create(&session, &err));
  OK(srnn_session_set_pool(session, pool, &err));
  CHECK(forward(session));
  stop = 0;
  for (round = 0; round < 4; ++round) {
    int status = -1;
    pid_t pid;
    fflush(stdout);
    pid = fork();
    if (pid == 0) child(session);
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(forward(session));
    if (round == 0) CHECK(pthread_create(&other, NULL, calls, NULL) == 0);
  }
  pthread_mutex_lock(&lock);
  stop = 1;
  pthread_mutex_unlock(&lock);
  CHECK(pthread_join(other, &wrong) == 0 && wrong == NULL);
  srnn_session_destroy(session);
}

int main(void) {
  size_t i;
  srnn_session *session = make_session();
  rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, LAYERS, SRNN_DIRECTION_FORWARD);
  for (i = 0; i < BATCHES; ++i) {
    srnn_forward_args batch;
    x_len[i] = batch_sizes[i] * seq_lens[i] * IN;
    y_len[i] = batch_sizes[i] * seq_lens[i] * HIDDEN;
    x[i] = calloc(x_len[i], sizeof **x);
    expected[i] = calloc(y_len[i], sizeof **expected);
    CHECK(x[i] != NULL && expected[i] != NULL);
    fill(x[i], x_len[i], (uint32_t)i);
    srnn_forward_args_init(&batch, batch_sizes[i], seq_lens[i]);
    OK(run_forward(rnn, session, &batch, x[i], x_len[i], NULL, expected[i], y_len[i], NULL, &err));
  }
  OK(srnn_pool_create(2, &pool, &err));
  threads_share_a_pool();
  pools_go_before_sessions();
  forks();
  srnn_pool_destroy(pool);
  for (i = 0; i < BATCHES; ++i) {
    free(x[i]);
    free(expected[i]);
  }
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
  return finish();
}
