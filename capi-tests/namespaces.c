/* Forks into PID namespaces of their own: there a child has its parent's number, 1, and still none of its threads. */

#define _GNU_SOURCE

#include "check.h"

#if defined(__linux__)

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { IN = 40, HIDDEN = 128, STEPS = 60, X = STEPS * IN, Y = STEPS * HIDDEN, NOT_PERMITTED = 77 };

static srnn_rnn *rnn;
static float x[X], y[Y], expected[Y];

static int forward(srnn_session *session) {
  srnn_forward_args batch;
  srnn_forward_args_init(&batch, 1, STEPS);
  memset(y, 0, sizeof y);
  return run_forward(rnn, session, &batch, x, X, NULL, y, Y, NULL, NULL) == SRNN_OK && same_bits(y, expected, Y);
}

/* A process that hangs is ended: it may be the first of its namespace, which an alarm of its own does not end. Long enough
 * for valgrind and other work on the machine. */
static int ends_with(pid_t pid) {
  const struct timespec pause = {0, 10000000};
  int status = 0;
  long tries;
  if (pid < 0) return -1;
  for (tries = 0; waitpid(pid, &status, WNOHANG) == 0; ++tries) {
    if (tries == 30000) kill(pid, SIGKILL);
    nanosleep(&pause, NULL);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Another program in the child's place: what the parent's threads held is no leak of the child's. */
static void leave(int right) {
  execlp(right ? "true" : "false", "child", (char *)NULL);
  _exit(1);
}

/* Works with a pool of its parent's, makes one of its own, and forks once more. */
static void child(srnn_session *session) {
  srnn_pool *own = NULL;
  srnn_session *with = NULL;
  int right = forward(session) && getpid() == 1;
  pid_t pid;
  right &= srnn_pool_create(3, &own, NULL) == SRNN_OK && srnn_session_create(&with, NULL) == SRNN_OK;
  right &= srnn_session_set_pool(with, own, NULL) == SRNN_OK;
  right &= forward(with);
  pid = fork();
  if (pid == 0) leave(forward(with) && forward(session));
  right &= ends_with(pid) == 0;
  right &= forward(with) && forward(session);
  srnn_session_destroy(with);
  srnn_pool_destroy(own);
  srnn_session_destroy(session);
  leave(right);
}

/* In the first process of a namespace, with a pool: a fork of it into the next namespace has the same number. `bare` asks the
 * kernel for it without the C library, whose handlers then do not run. */
static void first(int bare) {
  pid_t pid;
  srnn_pool *pool = NULL;
  srnn_session *session = NULL;
  int right = getpid() == 1;
  right &= srnn_pool_create(2, &pool, NULL) == SRNN_OK && srnn_session_create(&session, NULL) == SRNN_OK;
  right &= srnn_session_set_pool(session, pool, NULL) == SRNN_OK;
  right &= forward(session);
  if (bare) {
    pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0L, 0L, 0L, 0L);
  } else {
    right &= unshare(CLONE_NEWPID) == 0;
    pid = fork();
  }
  if (pid == 0) child(session);
  right &= ends_with(pid) == 0 && forward(session);
  srnn_session_destroy(session);
  srnn_pool_destroy(pool);
  leave(right);
}

/* Whether a page that the kernel promised to empty in a child is empty there: some emulators promise and do not. */
static int pages_are_emptied(void) {
  volatile int *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pid_t pid;
  if (page == MAP_FAILED || madvise((void *)page, 1, 18 /* MADV_WIPEONFORK */) != 0) return 0;
  *page = 1;
  pid = fork();
  if (pid == 0) _exit(*page);
  return ends_with(pid) == 0;
}

int main(void) {
  srnn_session *session = make_session();
  int bare, permitted = 1;
  const char *why_not = getenv("SIMDRNN_RUNNER") != NULL ? "the tool that runs it does not know the kernel's fork"
                        : pages_are_emptied()            ? NULL
                                                         : "no page is emptied for a child here";
  if (why_not != NULL) {
    srnn_session_destroy(session);
    return not_run(why_not);
  }
  rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  fill(x, X, 1);
  {
    srnn_forward_args batch;
    srnn_forward_args_init(&batch, 1, STEPS);
    OK(run_forward(rnn, session, &batch, x, X, NULL, expected, Y, NULL, &err));
  }
  for (bare = 0; bare <= 1 && permitted; ++bare) {
    int end;
    pid_t pid = fork();
    if (pid == 0) {
      /* The namespace is that of its children. */
      if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) _exit(NOT_PERMITTED);
      pid = fork();
      if (pid == 0) first(bare);
      _exit(ends_with(pid) == 0 ? 0 : 1);
    }
    end = ends_with(pid);
    permitted = end != NOT_PERMITTED;
    if (permitted) CHECK(end == 0);
  }
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
  return permitted ? finish() : not_run("PID namespaces are not permitted");
}

#else

int main(void) { return not_run("PID namespaces are Linux's"); }

#endif
