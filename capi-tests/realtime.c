/* A stream's calls make no system call: they run in a process that may make none but read, write and exit. */

#define _GNU_SOURCE
#include "check.h"

#if defined(__linux__)

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IN = 3, HIDDEN = 17, LANES = 2, STEPS = 200 };

static float x[STEPS * LANES * IN], y[STEPS * LANES * HIDDEN], h[2 * LANES * HIDDEN], c[2 * LANES * HIDDEN];

/* Whether `work` comes to its end in such a process. */
static int runs_confined(int (*work)(void *), void *argument) {
  int status = -1;
  pid_t child = fork();
  if (child == 0) {
    int failed;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(2);
    failed = work(argument);
    syscall(SYS_exit, failed ? 3 : 0);
  }
  if (child < 0 || waitpid(child, &status, 0) != child) return 0;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int nothing(void *argument) { return argument != NULL; }

static int forbidden(void *argument) { return syscall(SYS_getpid) < 0 || argument != NULL; }

typedef struct job {
  const srnn_rnn *rnn;
  srnn_stream *stream;
  int32_t cell;
} job;

static int stream_calls(void *argument) {
  job *j = argument;
  srnn_state_out out;
  srnn_state in;
  int i, wrong = 0;
  for (i = 0; i < STEPS; ++i)
    wrong |= srnn_stream_step(j->stream, j->rnn, x + i * LANES * IN, LANES * IN, y, LANES * HIDDEN, &err) != SRNN_OK;
  wrong |= srnn_stream_process(j->stream, j->rnn, STEPS, x, COUNT(x), y, COUNT(y), &err) != SRNN_OK;
  wrong |= srnn_stream_process(j->stream, j->rnn, STEPS, x, COUNT(x), NULL, 0, &err) != SRNN_OK;
  srnn_state_out_init(&out, h, COUNT(h), j->cell == SRNN_CELL_LSTM ? c : NULL, j->cell == SRNN_CELL_LSTM ? COUNT(c) : 0);
  srnn_state_init(&in, out.h, out.h_len, out.c, out.c_len);
  wrong |= srnn_stream_get_state(j->stream, &out, &err) != SRNN_OK;
  wrong |= srnn_stream_set_state(j->stream, &in, &err) != SRNN_OK;
  wrong |= srnn_stream_reset_lane(j->stream, 1, &err) != SRNN_OK;
  wrong |= srnn_stream_reset(j->stream, &err) != SRNN_OK;
  /* Nor do errors. */
  wrong |= srnn_stream_step(j->stream, j->rnn, x, 1, y, LANES * HIDDEN, &err) != SRNN_ERROR_SHAPE_MISMATCH;
  return wrong;
}

/* ThreadSanitizer has a thread of its own in each process, which would outlive the confined one: nobody could wait. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IS_NEVER_ALONE
#endif
#endif

int main(void) {
  int32_t isa, cell;
#ifdef IS_NEVER_ALONE
  return not_run("ThreadSanitizer has a thread of its own");
#endif
  fill(x, COUNT(x), 1);
  /* An emulator, valgrind or a sandbox may make calls of its own or not allow this at all. */
  if (!runs_confined(nothing, NULL)) return not_run("no process may be confined by seccomp here");
  CHECK(!runs_confined(forbidden, NULL));
  for (isa = SRNN_ISA_SCALAR; isa <= SRNN_ISA_NEON; ++isa) {
    if (srnn_isa_is_available(isa) != 1) continue;
    OK(srnn_isa_set_limit(isa, &err));
    for (cell = SRNN_CELL_ELMAN_TANH; cell <= SRNN_CELL_GRU_RESET_BEFORE; ++cell) {
      job j;
      srnn_rnn *rnn = make_rnn(cell, IN, HIDDEN, 2, SRNN_DIRECTION_FORWARD);
      OK(srnn_stream_create(rnn, LANES, &j.stream, &err));
      j.rnn = rnn;
      j.cell = cell;
      CHECK(runs_confined(stream_calls, &j));
      srnn_stream_destroy(j.stream);
      srnn_rnn_destroy(rnn);
    }
  }
  return finish();
}

#else

int main(void) { return not_run("seccomp is Linux's"); }

#endif
