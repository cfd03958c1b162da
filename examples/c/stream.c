/* One to many: from one starting vector on, every step's output is the next step's input. The weights make it an
 * oscillator: h' = tanh(1.1 R x) with R a rotation by a twelfth of a turn settles on a circle. */

#include <math.h>
#include <simdrnn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static srnn_error error;

static void check(srnn_status status) {
  if (status != SRNN_OK) {
    fprintf(stderr, "%s: %s\n", srnn_status_string(status), error.message);
    exit(1);
  }
}

int main(void) {
  const float gain = 1.1f, turn = 0.523598776f; /* pi / 6 */
  const float weight_ih[4] = {gain * cosf(turn), -gain * sinf(turn), gain * sinf(turn), gain * cosf(turn)};
  float x[2] = {0.1f, 0}, y[2];
  srnn_rnn_config config;
  srnn_rnn *rnn;
  srnn_stream *stream;
  size_t index;
  int step;

  srnn_rnn_config_init(&config, SRNN_CELL_ELMAN_TANH, 2, 2);
  config.bias = 0;
  check(srnn_rnn_create(&config, &rnn, &error)); /* all weights are zero */
  check(srnn_rnn_find_param(rnn, "weight_ih_l0", &index, &error));
  check(srnn_rnn_write_param(rnn, index, weight_ih, 4, &error));
  check(srnn_stream_create(rnn, 1, &stream, &error));

  for (step = 0; step < 96; ++step) {
    check(srnn_stream_step(stream, rnn, x, 2, y, 2, &error)); /* allocates nothing, locks nothing */
    if (step >= 72) printf("%2d %*s\n", step, (int)(30 + 40 * y[0]), "*");
    memcpy(x, y, sizeof x);
  }
  srnn_stream_destroy(stream);
  srnn_rnn_destroy(rnn);
  return 0;
}
