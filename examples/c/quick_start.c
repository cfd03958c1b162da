/* Two sequences of different lengths through a bidirectional LSTM.
 * cc quick_start.c -lsimdrnn -lm */

#include <simdrnn.h>
#include <stdio.h>
#include <stdlib.h>

static srnn_error error;

static void check(srnn_status status) {
  if (status != SRNN_OK) {
    fprintf(stderr, "%s: %s\n", srnn_status_string(status), error.message);
    exit(1);
  }
}

int main(void) {
  enum { INPUT = 3, HIDDEN = 8, BATCH = 2, STEPS = 4 };
  static float x[BATCH * STEPS * INPUT], y[BATCH * STEPS * 2 * HIDDEN];
  const size_t lengths[BATCH] = {4, 2};
  srnn_rnn_config config;
  srnn_forward_args args;
  srnn_rnn *lstm;
  srnn_session *session;
  size_t i;

  srnn_rnn_config_init(&config, SRNN_CELL_LSTM, INPUT, HIDDEN);
  config.direction = SRNN_DIRECTION_BIDIRECTIONAL;
  config.batch_first = 1;
  check(srnn_rnn_create(&config, &lstm, &error));
  check(srnn_rnn_init(lstm, SRNN_INIT_TORCH_UNIFORM, 42, &error)); /* or your own weights: srnn_rnn_write_values */
  check(srnn_session_create(&session, &error));

  for (i = 0; i < sizeof x / sizeof *x; ++i) x[i] = (float)i / 10 - 1;
  srnn_forward_args_init(&args, BATCH, STEPS);
  args.lengths = lengths;
  args.lengths_len = BATCH;
  args.x = x;
  args.x_len = sizeof x / sizeof *x;
  args.y = y;
  args.y_len = sizeof y / sizeof *y;
  check(srnn_rnn_forward(lstm, session, NULL, &args, &error)); /* NULL: no tape, inference */

  for (i = 0; i < BATCH; ++i) printf("sequence %d, step 0, unit 0: %.6f\n", (int)i, y[i * STEPS * 2 * HIDDEN]);
  printf("past the end of sequence 1: %g\n", y[(STEPS + 2) * 2 * HIDDEN]);
  srnn_session_destroy(session);
  srnn_rnn_destroy(lstm);
  return 0;
}
