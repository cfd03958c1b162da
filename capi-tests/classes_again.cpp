// A second file that includes the header: nothing in it may be defined twice.

#include <simdrnn.hpp>

std::size_t output_size_of(const simdrnn::Rnn &rnn) { return rnn.output_size(); }
