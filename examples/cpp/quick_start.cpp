// Two sequences of different lengths through a bidirectional LSTM.
// c++ -std=c++17 quick_start.cpp -lsimdrnn

#include <simdrnn.hpp>

#include <cstdio>
#include <cstdlib>
#include <vector>

static void check(const simdrnn::Status &status) {
  if (!status) {
    std::fprintf(stderr, "%s: %s\n", status.name(), status.message());
    std::exit(1);
  }
}

int main() {
  constexpr std::size_t input = 3, hidden = 8, batch = 2, steps = 4;
  srnn_rnn_config config = simdrnn::Rnn::config(SRNN_CELL_LSTM, input, hidden);
  config.direction = SRNN_DIRECTION_BIDIRECTIONAL;
  config.batch_first = 1;
  simdrnn::Rnn lstm;
  simdrnn::Session session;
  check(lstm.create(config));
  check(lstm.init(SRNN_INIT_TORCH_UNIFORM, 42));
  check(session.create());

  std::vector<float> x(batch * steps * input), y(batch * steps * lstm.output_size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) / 10 - 1;
  const std::size_t lengths[] = {4, 2};
  check(lstm.forward(session, simdrnn::batch(batch, steps, lengths), x, y));

  for (std::size_t b = 0; b < batch; ++b) {
    std::printf("sequence %zu, step 0, unit 0: %.6f\n", b, static_cast<double>(y[b * steps * lstm.output_size()]));
  }
  std::printf("past the end of sequence 1: %g\n", static_cast<double>(y[(steps + 2) * lstm.output_size()]));
}
