/* Steps of silence after a signal: states come to rest, at zero with flush_small_states, whether or not the processor
 * flushes subnormals. `.ci/silence` runs a million steps and compares the instructions of some of them. */

#include "check.h"

#if defined(COUNT_INSTRUCTIONS)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS
#endif

enum { HIDDEN = 8 };

/* The x86 flags that read and round subnormals as zero. */
static void set_flush_to_zero(int on) {
#if defined(__SSE__)
  __builtin_ia32_ldmxcsr(on ? __builtin_ia32_stmxcsr() | 0x8040u : __builtin_ia32_stmxcsr() & ~0x8040u);
#else
  (void)on;
#endif
}

static int subnormal(float v) { return v != 0 && fabsf(v) < 1.17549435e-38f; }

static void silence(int32_t cell, int32_t flush, int32_t ftz, long steps) {
  srnn_rnn_config config;
  srnn_rnn *rnn;
  srnn_stream *stream;
  float x = 0, y[HIDDEN], values[2048];
  size_t i, len;
  long step, next = 1000, small = 0;
  srnn_rnn_config_init(&config, cell, 1, HIDDEN);
  config.flush_small_states = flush;
  config.bias = 0; /* so that zero is at rest */
  OK(srnn_rnn_create(&config, &rnn, &err));
  len = srnn_rnn_value_count(rnn);
  CHECK(len <= COUNT(values));
  fill(values, len, 3);
  for (i = 0; i < len; ++i) values[i] *= 0.3f; /* states shrink step by step, through the subnormal numbers */
  OK(srnn_rnn_write_values(rnn, values, len, &err));
  OK(srnn_stream_create(rnn, 1, &stream, &err));
  for (step = 0; step < steps; ++step) {
    int counted = step == next;
    x = step < 500 ? (float)(step % 7) - 3 : 0;
    if (counted) {
      CALLGRIND_START_INSTRUMENTATION;
      CALLGRIND_ZERO_STATS;
    }
    if (srnn_stream_step(stream, rnn, &x, 1, y, HIDDEN, NULL) != SRNN_OK) exit(1);
    if (counted) {
      CALLGRIND_DUMP_STATS;
      CALLGRIND_STOP_INSTRUMENTATION;
      next = next < 1100 ? next + 20 : next < 10000 ? 10000 : next * 10;
    }
    if (step >= 500)
      for (i = 0; i < HIDDEN; ++i) small += subnormal(y[i]);
  }
  CHECK(all(y, HIDDEN, 0)); /* whichever way they got there */
  if (flush) CHECK(small == 0);
  if (!flush && !ftz) CHECK(small > 0); /* the way goes through the subnormal numbers, or the line above would say nothing */
  srnn_stream_destroy(stream);
  srnn_rnn_destroy(rnn);
}

int main(int argc, char **argv) {
  long steps = argc > 1 ? atol(argv[1]) : 20000;
  int32_t cell, flush, ftz;
  for (cell = SRNN_CELL_ELMAN_TANH; cell <= SRNN_CELL_GRU_RESET_BEFORE; ++cell)
    for (flush = 0; flush <= 1; ++flush)
      for (ftz = 0; ftz <= (argc > 1 ? 0 : 1); ++ftz) {
        set_flush_to_zero(ftz);
        silence(cell, flush, ftz, steps);
        set_flush_to_zero(0);
      }
  return finish();
}
