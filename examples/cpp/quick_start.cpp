// Two sequences of different lengths through a bidirectional LSTM.
// c++ -std=c++17 quick_start.cpp -lsimdrnn

#include <simdrnn.hpp>

#include <cstdio>
#include <cstdlib>
#include <vector>

static void run() {
  constexpr std::size_t input = 3, hidden = 8, batch = 2, steps = 4;
  srnn_rnn_config config = simdrnn::Rnn::config(SRNN_CELL_LSTM, input, hidden);
  config.direction = SRNN_DIRECTION_BIDIRECTIONAL;
  config.batch_first = 1;
  simdrnn::Rnn lstm;
  simdrnn::Session session;
  lstm.create(config).or_throw();
  lstm.init(SRNN_INIT_TORCH_UNIFORM, 42).or_throw();
  session.create().or_throw();

  std::vector<float> x(batch * steps * input), y(batch * steps * lstm.output_size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) / 10 - 1;
  const std::size_t lengths[] = {4, 2};
  lstm.forward(session, simdrnn::ForwardArgs(batch, steps).lengths(lengths).x(x).y(y)).or_throw();

  for (std::size_t b = 0; b < batch; ++b) {
    std::printf("sequence %zu, step 0, unit 0: %.6f\n", b, static_cast<double>(y[b * steps * lstm.output_size()]));
  }
  std::printf("past the end of sequence 1: %g\n", static_cast<double>(y[(steps + 2) * lstm.output_size()]));
}

int main() {
  try {
    run();
  } catch (const simdrnn::Error &error) {
    std::fprintf(stderr, "%s: %s\n", srnn_status_string(error.code()), error.what());
    return EXIT_FAILURE;
  }
}
