// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Recurrent layers: batches and states, sessions, training, streams. A part of simdrnn.hpp.

#ifndef SIMDRNN_RECURRENT_HPP
#define SIMDRNN_RECURRENT_HPP

#include "files.hpp"

namespace simdrnn {

class Embedding;
class ForwardArgs;
class Rnn;

/// States that a call reads; see srnn_state.
inline srnn_state state(Floats h, Floats c = {}) noexcept {
  srnn_state s;
  srnn_state_init(&s, h.data(), h.size(), c.data(), c.size());
  return s;
}

/// States that a call writes; see srnn_state_out.
inline srnn_state_out state_out(FloatsOut h, FloatsOut c = {}) noexcept {
  srnn_state_out s;
  srnn_state_out_init(&s, h.data(), h.size(), c.data(), c.size());
  return s;
}

class Session : public Handle<srnn_session, srnn_session_destroy> {
 public:
  Result create() { return take([](srnn_session **s, srnn_error *e) { return srnn_session_create(s, e); }); }
  /// With an empty pool: on the caller's thread alone.
  Result set_pool(const Pool &pool) {
    return Result::of([&](srnn_error *e) { return srnn_session_set_pool(get(), pool.get(), e); });
  }
  std::size_t bytes() const noexcept { return srnn_session_bytes(get()); }
};

class Tape : public Handle<srnn_tape, srnn_tape_destroy> {
 public:
  Result create() { return take([](srnn_tape **t, srnn_error *e) { return srnn_tape_create(t, e); }); }
  std::size_t batch_size() const noexcept { return srnn_tape_batch_size(get()); }
  std::size_t seq_len() const noexcept { return srnn_tape_seq_len(get()); }
  std::size_t bytes() const noexcept { return srnn_tape_bytes(get()); }
};

class GradientFlow : public Handle<srnn_gradient_flow, srnn_gradient_flow_destroy> {
 public:
  Result create() { return take([](srnn_gradient_flow **f, srnn_error *e) { return srnn_gradient_flow_create(f, e); }); }
  std::size_t pass_count() const noexcept { return srnn_gradient_flow_pass_count(get()); }
  std::size_t step_count() const noexcept { return srnn_gradient_flow_step_count(get()); }
  std::size_t gate_count() const noexcept { return srnn_gradient_flow_gate_count(get()); }
  Result state_norms(std::size_t pass, View<double> norms) const {
    return Result::of(
        [&](srnn_error *e) { return srnn_gradient_flow_state_norms(get(), pass, norms.data(), norms.size(), e); });
  }
  /// For LSTM alone.
  Result cell_norms(std::size_t pass, View<double> norms) const {
    return Result::of(
        [&](srnn_error *e) { return srnn_gradient_flow_cell_norms(get(), pass, norms.data(), norms.size(), e); });
  }
  Result singular_value(std::size_t pass, std::size_t gate, double &value) const {
    return Result::of([&](srnn_error *e) { return srnn_gradient_flow_singular_value(get(), pass, gate, &value, e); });
  }
  Result saturation(std::size_t pass, std::size_t gate, float &low, float &high) const {
    return Result::of([&](srnn_error *e) { return srnn_gradient_flow_saturation(get(), pass, gate, &low, &high, e); });
  }
};

class Grads : public Handle<srnn_grads, srnn_grads_destroy> {
 public:
  inline Result create(const Rnn &rnn);
  Result zero() {
    return Result::of([&](srnn_error *e) { return srnn_grads_zero(get(), e); });
  }
  /// All gradients, in memory of this handle.
  Result data(FloatsOut &values) {
    float *data = nullptr;
    std::size_t size = 0;
    Result status = Result::of([&](srnn_error *e) { return srnn_grads_data(get(), &data, &size, e); });
    if (status.ok()) values = {data, size};
    return status;
  }
  Result read_param(std::size_t index, FloatsOut values) const {
    return Result::of([&](srnn_error *e) { return srnn_grads_read_param(get(), index, values.data(), values.size(), e); });
  }
};

/// What a backward call takes; see srnn_backward_args. All arrays are optional, and must outlive it.
class BackwardArgs {
 public:
  BackwardArgs() noexcept { srnn_backward_args_init(&args_); }
  BackwardArgs &dy(Floats v) noexcept { return args_.dy = v.data(), args_.dy_len = v.size(), *this; }
  BackwardArgs &dhn(Floats v) noexcept { return args_.dhn = v.data(), args_.dhn_len = v.size(), *this; }
  BackwardArgs &dcn(Floats v) noexcept { return args_.dcn = v.data(), args_.dcn_len = v.size(), *this; }
  BackwardArgs &dx(FloatsOut v) noexcept { return args_.dx = v.data(), args_.dx_len = v.size(), *this; }
  BackwardArgs &dh0(FloatsOut v) noexcept { return args_.dh0 = v.data(), args_.dh0_len = v.size(), *this; }
  BackwardArgs &dc0(FloatsOut v) noexcept { return args_.dc0 = v.data(), args_.dc0_len = v.size(), *this; }
  BackwardArgs &grads(Grads &grads) noexcept { return args_.grads = grads.get(), *this; }
  BackwardArgs &flow(GradientFlow &flow) noexcept { return args_.flow = flow.get(), *this; }
  const srnn_backward_args &args() const noexcept { return args_; }

 private:
  srnn_backward_args args_;
};

class Rnn : public Handle<srnn_rnn, srnn_rnn_destroy> {
 public:
  static srnn_rnn_config config(srnn_cell cell, std::size_t input_size, std::size_t hidden_size) noexcept {
    srnn_rnn_config c;
    srnn_rnn_config_init(&c, cell, input_size, hidden_size);
    return c;
  }
  Result create(const srnn_rnn_config &config) {
    return take([&](srnn_rnn **r, srnn_error *e) { return srnn_rnn_create(&config, r, e); });
  }
  /// Becomes a copy of `other`, with weights of its own.
  Result clone(const Rnn &other) {
    return take([&](srnn_rnn **r, srnn_error *e) { return srnn_rnn_clone(other.get(), r, e); });
  }
  Result get_config(srnn_rnn_config &config) const {
    return Result::of([&](srnn_error *e) { return srnn_rnn_get_config(get(), &config, e); });
  }
  std::int32_t isa() const noexcept { return srnn_rnn_isa(get()); }
  std::size_t bytes() const noexcept { return srnn_rnn_bytes(get()); }
  std::size_t output_size() const noexcept { return srnn_rnn_output_size(get()); }
  std::size_t state_size() const noexcept { return srnn_rnn_state_size(get()); }
  /// Layers times directions.
  std::size_t pass_count() const noexcept { return srnn_rnn_pass_count(get()); }
  /// Changes with the weights.
  std::uint64_t generation() const noexcept { return srnn_rnn_generation(get()); }
  std::size_t param_count() const noexcept { return srnn_rnn_param_count(get()); }
  std::size_t value_count() const noexcept { return srnn_rnn_value_count(get()); }

  Result init(srnn_init scheme, std::uint64_t seed) {
    return Result::of([&](srnn_error *e) { return srnn_rnn_init(get(), scheme, seed, e); });
  }
  Result param_name(std::size_t index, char (&name)[SRNN_PARAM_NAME_SIZE]) const {
    return Result::of([&](srnn_error *e) { return srnn_rnn_param_name(get(), index, name, sizeof name, e); });
  }
  Result param_shape(std::size_t index, std::size_t &rows, std::size_t &cols) const {
    return Result::of([&](srnn_error *e) { return srnn_rnn_param_shape(get(), index, &rows, &cols, nullptr, e); });
  }
  Result param_shape(std::size_t index, std::size_t &rows, std::size_t &cols, std::size_t &ndim) const {
    return Result::of([&](srnn_error *e) { return srnn_rnn_param_shape(get(), index, &rows, &cols, &ndim, e); });
  }
  Result find_param(const char *name, std::size_t &index) const {
    return Result::of([&](srnn_error *e) { return srnn_rnn_find_param(get(), name, &index, e); });
  }
  Result read_param(std::size_t index, FloatsOut values) const {
    return Result::of([&](srnn_error *e) { return srnn_rnn_read_param(get(), index, values.data(), values.size(), e); });
  }
  Result write_param(std::size_t index, Floats values) {
    return Result::of([&](srnn_error *e) { return srnn_rnn_write_param(get(), index, values.data(), values.size(), e); });
  }
  Result read_values(FloatsOut values) const {
    return Result::of([&](srnn_error *e) { return srnn_rnn_read_values(get(), values.data(), values.size(), e); });
  }
  Result write_values(Floats values) {
    return Result::of([&](srnn_error *e) { return srnn_rnn_write_values(get(), values.data(), values.size(), e); });
  }

  Result load_safetensors(const char *path, const char *prefix = "") {
    return Result::of([&](srnn_error *e) { return srnn_rnn_load_safetensors(get(), path, prefix, e); });
  }
  Result save_safetensors(const char *path, const char *prefix = "") const {
    return Result::of([&](srnn_error *e) { return srnn_rnn_save_safetensors(get(), path, prefix, e); });
  }
  /// From an opened file, strictly without `options`.
  Result load(const TensorFile &file, const char *prefix = "", const srnn_load_options *options = nullptr) {
    return Result::of([&](srnn_error *e) { return srnn_rnn_load_tensors(get(), file.get(), prefix, options, e); });
  }
  Result save(TensorWriter &writer, const char *prefix = "") const {
    return Result::of([&](srnn_error *e) { return srnn_rnn_save_tensors(get(), writer.get(), prefix, e); });
  }

  /// Inference.
  inline Result forward(Session &session, const ForwardArgs &args) const;
  /// Training: records on the tape.
  inline Result forward(Session &session, Tape &tape, const ForwardArgs &args) const;
  Result backward(Session &session, const Tape &tape, const BackwardArgs &args) const {
    return Result::of([&](srnn_error *e) {
      return srnn_rnn_backward(get(), session.get(), tape.get(), &args.args(), e);
    });
  }
};

inline Result Grads::create(const Rnn &rnn) {
  return take([&](srnn_grads **g, srnn_error *e) { return srnn_grads_create(rnn.get(), g, e); });
}

class TruncatedBptt : public Handle<srnn_truncated_bptt, srnn_truncated_bptt_destroy> {
 public:
  Result create(const Rnn &rnn, std::size_t batch_size, std::size_t k1, std::size_t k2) {
    return take([&](srnn_truncated_bptt **b, srnn_error *e) {
      return srnn_truncated_bptt_create(rnn.get(), batch_size, k1, k2, b, e);
    });
  }
  std::size_t bytes() const noexcept { return srnn_truncated_bptt_bytes(get()); }
  Result reset() {
    return Result::of([&](srnn_error *e) { return srnn_truncated_bptt_reset(get(), e); });
  }
  Result forward(const Rnn &rnn, Session &session, std::size_t steps, std::uint64_t dropout_seed, Floats x,
                 FloatsOut y) {
    return Result::of([&](srnn_error *e) {
      return srnn_truncated_bptt_forward(get(), rnn.get(), session.get(), steps, dropout_seed, x.data(), x.size(), y.data(),
                                  y.size(), e);
    });
  }
  Result backward(const Rnn &rnn, Session &session, Floats dy, FloatsOut dx, Grads &grads) {
    return Result::of([&](srnn_error *e) {
      return srnn_truncated_bptt_backward(get(), rnn.get(), session.get(), dy.data(), dy.size(), dx.data(), dx.size(),
                                   grads.get(), e);
    });
  }
  Result get_state(const srnn_state_out &state) const {
    return Result::of([&](srnn_error *e) { return srnn_truncated_bptt_get_state(get(), &state, e); });
  }
  Result set_state(const srnn_state &state, std::uint32_t steps_done) {
    return Result::of([&](srnn_error *e) { return srnn_truncated_bptt_set_state(get(), &state, steps_done, e); });
  }
  std::uint32_t step_count() const noexcept { return srnn_truncated_bptt_step_count(get()); }
  std::size_t saved_bytes() const noexcept { return srnn_truncated_bptt_saved_bytes(get()); }
  Result save_memory(View<std::uint8_t> bytes) const {
    return Result::of([&](srnn_error *e) { return srnn_truncated_bptt_save_memory(get(), bytes.data(), bytes.size(), e); });
  }
  Result load_memory(View<const std::uint8_t> bytes) {
    return Result::of([&](srnn_error *e) { return srnn_truncated_bptt_load_memory(get(), bytes.data(), bytes.size(), e); });
  }
};

class Stream : public Handle<srnn_stream, srnn_stream_destroy> {
 public:
  Result create(const Rnn &rnn, std::size_t lanes = 1) {
    return take([&](srnn_stream **s, srnn_error *e) { return srnn_stream_create(rnn.get(), lanes, s, e); });
  }
  /** Without a pool, steps use no other thread than the caller's, and wait for nobody. */
  Result set_pool(const Pool &pool) {
    return Result::of([&](srnn_error *e) { return srnn_stream_set_pool(get(), pool.get(), e); });
  }
  std::size_t lane_count() const noexcept { return srnn_stream_lane_count(get()); }
  std::size_t bytes() const noexcept { return srnn_stream_bytes(get()); }
  Result step(const Rnn &rnn, Floats x, FloatsOut y) {
    return Result::of(
        [&](srnn_error *e) { return srnn_stream_step(get(), rnn.get(), x.data(), x.size(), y.data(), y.size(), e); });
  }
  Result process(const Rnn &rnn, std::size_t steps, Floats x, FloatsOut y) {
    return Result::of([&](srnn_error *e) {
      return srnn_stream_process(get(), rnn.get(), steps, x.data(), x.size(), y.data(), y.size(), e);
    });
  }
  Result get_state(const srnn_state_out &state) const {
    return Result::of([&](srnn_error *e) { return srnn_stream_get_state(get(), &state, e); });
  }
  Result set_state(const srnn_state &state) {
    return Result::of([&](srnn_error *e) { return srnn_stream_set_state(get(), &state, e); });
  }
  Result reset() {
    return Result::of([&](srnn_error *e) { return srnn_stream_reset(get(), e); });
  }
  Result reset_lane(std::size_t lane) {
    return Result::of([&](srnn_error *e) { return srnn_stream_reset_lane(get(), lane, e); });
  }
};

}  // namespace simdrnn

#endif  // SIMDRNN_RECURRENT_HPP
