/* SIMDRNN_ISA: read once, at the first need. A wrong value fails exactly the calls that choose an instruction set, each time;
 * what the host writes there later changes nothing. Each value
 * has a process of its own, which forks before anything has read it. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

enum { N = 16 };

static float x[N], y[N];
static int64_t targets[1];

/* Whether all that choose an instruction set give `expected`, with an error that names the variable. */
static void chooses(srnn_status expected, const char *word) {
  srnn_rnn_config config;
  srnn_optimizer_config rule;
  srnn_rnn *rnn = NULL;
  srnn_dense *dense = NULL;
  srnn_optimizer *optimizer = NULL;
  double loss;
  int32_t isa = -1;
  int again;
  srnn_rnn_config_init(&config, SRNN_CELL_GRU, 3, 5);
  srnn_optimizer_config_init(&rule, SRNN_OPTIMIZER_ADAM);
#define GIVES(call)                                                                      \
  do {                                                                                   \
    if (expected == SRNN_OK) SUCCEEDS(call);                                             \
    else REFUSED(expected, word, call);                                                  \
  } while (0)
  for (again = 0; again < 2; ++again) {
    GIVES(srnn_isa_choose(&isa, &err));
    GIVES(srnn_rnn_create(&config, &rnn, &err));
    GIVES(srnn_dense_create(3, 4, 1, &dense, &err));
    GIVES(srnn_optimizer_create(&rule, &optimizer, &err));
    GIVES(srnn_softmax(N, x, N, y, N, &err));
    GIVES(srnn_log_softmax(N, x, N, y, N, &err));
    GIVES(srnn_sigmoid(y, N, &err));
    GIVES(srnn_dropout(0.5, 1, 0, y, N, &err));
    GIVES(srnn_cross_entropy(NULL, N, x, N, targets, 1, &loss, NULL, 0, &err));
    srnn_rnn_destroy(rnn);
    srnn_dense_destroy(dense);
    srnn_optimizer_destroy(optimizer);
    /* Another value now is of no interest. */
    CHECK(setenv("SIMDRNN_ISA", expected == SRNN_OK ? "nonsense" : "scalar", 1) == 0);
  }
  if (expected == SRNN_OK && word[0] != '\0') CHECK(strcmp(srnn_isa_name(isa), word) == 0);
}

static void in_a_process(const char *value, srnn_status expected, const char *word) {
  int status = -1;
  pid_t pid;
  fflush(stdout);
  pid = fork();
  if (pid == 0) {
    if (value != NULL ? setenv("SIMDRNN_ISA", value, 1) : unsetenv("SIMDRNN_ISA")) _exit(1);
    chooses(expected, word);
    fflush(stdout);
    _exit(failures != 0 || checks + misuses == 0);
  }
  CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
#if defined(__x86_64__)
  const char *foreign = "neon", *own = "avx2";
#elif defined(__aarch64__)
  const char *foreign = "avx2", *own = "neon";
#else
  const char *foreign = NULL, *own = NULL;
#endif
  in_a_process(NULL, SRNN_OK, "");
  in_a_process("", SRNN_OK, "");
  in_a_process("scalar", SRNN_OK, "scalar");
  in_a_process("foo", SRNN_ERROR_INVALID_ARGUMENT, "SIMDRNN_ISA: unknown instruction set 'foo'");
  in_a_process("SCALAR", SRNN_ERROR_INVALID_ARGUMENT, "'SCALAR'");
  if (foreign != NULL) in_a_process(foreign, SRNN_ERROR_UNSUPPORTED, "SIMDRNN_ISA");
  if (own != NULL && srnn_isa_is_available(strcmp(own, "avx2") == 0 ? SRNN_ISA_AVX2 : SRNN_ISA_NEON))
    in_a_process(own, SRNN_OK, own);
  return finish();
}
