/* The library in its host's process: the caller's floating-point environment, signals, cancellation. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <dirent.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { IN = 64, HIDDEN = 256, BATCH = 8, STEPS = 40, X = BATCH * STEPS * IN, Y = BATCH * STEPS * HIDDEN };

static srnn_rnn *rnn;
static srnn_pool *pool;
static float x[X], y[Y], expected[Y];

/* Zero for subnormal numbers, in what is read and in what comes out. */
static void set_flush_to_zero(int on) {
#if defined(__SSE__)
  __builtin_ia32_ldmxcsr(on ? __builtin_ia32_stmxcsr() | 0x8040u : __builtin_ia32_stmxcsr() & ~0x8040u);
#elif defined(__aarch64__)
  unsigned long fpcr;
  __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
  fpcr = on ? fpcr | 1ul << 24 : fpcr & ~(1ul << 24);
  __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
#else
  (void)on;
#endif
}

static void forward(const srnn_pool *with, float *out) {
  srnn_forward_args batch;
  srnn_session *session;
  OK(srnn_session_create(&session, &err));
  OK(srnn_session_set_pool(session, with, &err));
  srnn_forward_args_init(&batch, BATCH, STEPS);
  OK(run_forward(rnn, session, &batch, x, X, NULL, out, Y, NULL, &err));
  srnn_session_destroy(session);
}

/* What plain arithmetic shows of the environment: an emulator or valgrind may not have all of it. */
static void show(float shown[2]) {
  volatile float one = 1, three = 3, least = 1.17549435e-38f;
  shown[0] = one / three;
  shown[1] = least / three;
}

/* A host changes its own thread's environment once the pool is there, as audio hosts do. */
static void environments(void) {
  static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
  static float before[Y];
  size_t i, compared = 0, differ = 0, changed = 0, seen = 0;
  float shown[2] = {0, 0}, last[2];
  int flush;
  srnn_pool *three;
  OK(srnn_pool_create(3, &three, &err));
  for (i = 0; i < COUNT(modes); ++i)
    for (flush = 0; flush <= 1; ++flush) {
      size_t k;
      int threads;
      CHECK(fesetround(modes[i]) == 0);
      set_flush_to_zero(flush);
      memcpy(last, shown, sizeof last);
      show(shown);
      seen += !same_bits(last, shown, 2);
      forward(NULL, expected);
      for (threads = 2; threads <= 3; ++threads) {
        forward(threads == 2 ? pool : three, y);
        for (k = 0; k < Y; ++k) differ += memcmp(&y[k], &expected[k], sizeof *y) != 0;
        compared += Y;
      }
      /* The caller's environment is as it was. */
      CHECK(fegetround() == modes[i]);
      set_flush_to_zero(0);
      CHECK(fesetround(FE_TONEAREST) == 0);
      changed += !same_bits(before, expected, Y);
      memcpy(before, expected, sizeof before);
    }
  CHECK(differ == 0);
  /* valgrind rounds to nearest whatever it is told. */
  CHECK(seen > 1 || getenv("SIMDRNN_RUNNER") != NULL);
  CHECK(seen <= 1 || changed > seen / 2);
  printf("environments: %lu values compared, %lu differ\n", (unsigned long)compared, (unsigned long)differ);
  srnn_pool_destroy(three);
}

/* The fewest signals that a thread of this process blocks but the main one, as the kernel says it. */
static int workers_block(int number, int *workers) {
  DIR *tasks = opendir("/proc/self/task");
  struct dirent *entry;
  int blocked = 0;
  *workers = 0;
  if (tasks == NULL) return 0;
  while ((entry = readdir(tasks)) != NULL) {
    char path[300], line[200];
    FILE *status;
    if (entry->d_name[0] == '.' || atol(entry->d_name) == (long)getpid()) continue;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    status = fopen(path, "r");
    if (status == NULL) continue;
    while (fgets(line, sizeof line, status) != NULL) {
      unsigned long long set;
      if (sscanf(line, "SigBlk: %llx", &set) != 1) continue;
      ++*workers;
      blocked += (int)(set >> (number - 1) & 1);
    }
    fclose(status);
  }
  closedir(tasks);
  return blocked;
}

/* A process that takes a signal by sigwait blocks it in its own threads, after the pool was made. */
static void signals(void) {
  static const int numbers[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGALRM, SIGCHLD, SIGHUP};
  sigset_t before, after, set;
  srnn_pool *many;
  size_t i;
  int round, number;
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
  OK(srnn_pool_create(4, &many, &err));
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
  for (number = 1; number < 32; ++number) CHECK(sigismember(&before, number) == sigismember(&after, number));
  sigemptyset(&set);
  for (i = 0; i < COUNT(numbers); ++i) sigaddset(&set, numbers[i]);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  for (round = 0; round < 20; ++round)
    for (i = 0; i < COUNT(numbers); ++i) {
      int taken = 0;
      /* To the process: any thread that does not block it may be the one, and would end the process. */
      CHECK(kill(getpid(), numbers[i]) == 0);
      if (round % 4 == 0 && i == 0) forward(many, y);
      CHECK(sigwait(&set, &taken) == 0 && taken == numbers[i]);
    }
#if defined(__x86_64__) /* an emulator's threads are its own */
  {
    int workers;
    for (i = 0; i < COUNT(numbers); ++i) CHECK(workers_block(numbers[i], &workers) == workers);
    CHECK(workers >= 4); /* three of this pool and one of the other */
  }
#else
  (void)workers_block;
#endif
  CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
  srnn_pool_destroy(many);
}

/* Calls with a cancellation that is already asked for: they come to their end, and the next place of the host's own takes it.
 * Counts the calls that did. */
static int finished;

static void *cancelled(void *argument) {
  static const char model[] = "cancelled.safetensors", state[] = "cancelled-state.safetensors";
  static float step_x[IN], step_y[HIDDEN];
  srnn_optimizer_config config;
  srnn_optimizer *optimizer;
  srnn_tensor_file *file;
  srnn_stream *stream;
  srnn_pool *own;
  (void)argument;
  pthread_cancel(pthread_self());
#define FINISHES(call) finished += (call) == SRNN_OK
  FINISHES(srnn_rnn_save_safetensors(rnn, model, "", NULL));
  FINISHES(srnn_rnn_load_safetensors(rnn, model, "", NULL));
  FINISHES(srnn_tensor_file_open(model, &file, NULL));
  srnn_tensor_file_destroy(file);
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_ADAM);
  FINISHES(srnn_optimizer_create(&config, &optimizer, NULL));
  FINISHES(srnn_optimizer_save_safetensors(optimizer, state, NULL));
  FINISHES(srnn_optimizer_load_safetensors(optimizer, state, NULL));
  srnn_optimizer_destroy(optimizer);
  FINISHES(srnn_pool_create(2, &own, NULL));
  srnn_pool_destroy(own);
  FINISHES(srnn_stream_create(rnn, 1, &stream, NULL));
  FINISHES(srnn_stream_step(stream, rnn, step_x, IN, step_y, HIDDEN, NULL));
  srnn_stream_destroy(stream);
  remove(model);
  remove(state);
  pthread_testcancel();
  finished = -1;
  return NULL;
}

static void cancellation(void) {
  pthread_t thread;
  void *result = NULL;
  CHECK(pthread_create(&thread, NULL, cancelled, NULL) == 0);
  CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
  CHECK(finished == 9);
}

int main(void) {
  size_t i;
  srnn_rnn_config config;
  srnn_rnn_config_init(&config, SRNN_CELL_ELMAN_RELU, IN, HIDDEN);
  config.bias = 0; /* outputs are as small as inputs: subnormal */
  OK(srnn_rnn_create(&config, &rnn, &err));
  OK(srnn_rnn_init(rnn, SRNN_INIT_TORCH_UNIFORM, 1, &err));
  fill(x, X, 1);
  for (i = 0; i < X; ++i) x[i] *= 1e-38f;
  OK(srnn_pool_create(2, &pool, &err));
  environments();
  signals();
  cancellation();
  srnn_pool_destroy(pool);
  srnn_rnn_destroy(rnn);
  return finish();
}
