// SPDX-License-Identifier: MIT OR Apache-2.0
//
// C++17 on top of simdrnn.h: handles as move-only classes, arrays as views, and a status that must be looked at. Header
// only; nothing here throws or needs RTTI. Methods are named like the C functions, whose comments say what they do; what
// is not wrapped (losses, softmax, struct init functions) is called as in C.

#ifndef SIMDRNN_HPP
#define SIMDRNN_HPP

#include "simdrnn.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace simdrnn {

/// What a call returns: whether it succeeded, and if not, why.
class [[nodiscard]] Status {
 public:
  /// Calls `f` with a place for the error.
  template <typename F>
  static Status of(F &&f) {
    Status status;
    std::forward<F>(f)(&status.error_);
    return status;
  }

  bool ok() const noexcept { return error_.status == SRNN_OK; }
  explicit operator bool() const noexcept { return ok(); }
  srnn_status code() const noexcept { return error_.status; }
  /// The status' name, such as "SRNN_ERROR_SHAPE_MISMATCH".
  const char *name() const noexcept { return srnn_status_string(error_.status); }
  /// What was found and what was expected; empty after a success.
  const char *message() const noexcept { return error_.message; }

 private:
  Status() noexcept = default;
  srnn_error error_{};
};

/// A pointer and a length, made from an array, or from anything with data() and size(), such as std::vector and std::span.
template <typename T>
class View {
 public:
  constexpr View() noexcept = default;
  constexpr View(std::nullptr_t) noexcept {}
  constexpr View(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
  template <std::size_t N>
  constexpr View(T (&array)[N]) noexcept : data_(array), size_(N) {}
  template <typename C, typename = std::enable_if_t<std::is_convertible_v<decltype(std::declval<C &>().data()), T *>>>
  constexpr View(C &&container) noexcept : data_(container.data()), size_(container.size()) {}

  constexpr T *data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr T *begin() const noexcept { return data_; }
  constexpr T *end() const noexcept { return data_ + size_; }
  constexpr T &operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};

using Floats = View<const float>;
using FloatsOut = View<float>;

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

/// A batch; `lengths` must outlive it.
inline srnn_batch batch(std::size_t batch_size, std::size_t seq_len, View<const std::size_t> lengths = {}) noexcept {
  srnn_batch b;
  srnn_batch_init(&b, batch_size, seq_len);
  b.lengths = lengths.data();
  b.lengths_len = lengths.size();
  return b;
}

/// Owner of a C handle. An empty one passes NULL, which calls refuse with SRNN_ERROR_NULL_POINTER.
template <typename T, void (*destroy)(T *)>
class Handle {
 public:
  T *get() const noexcept { return handle_.get(); }
  explicit operator bool() const noexcept { return handle_ != nullptr; }

 protected:
  /// Takes what `create`, called with places for a handle and an error, makes.
  template <typename F>
  Status take(F &&create) {
    T *made = nullptr;
    Status status = Status::of([&](srnn_error *e) { create(&made, e); });
    if (status.ok()) handle_.reset(made);
    return status;
  }

 private:
  struct Destroy {
    void operator()(T *handle) const noexcept { destroy(handle); }
  };
  std::unique_ptr<T, Destroy> handle_;
};

class Pool : public Handle<srnn_pool, srnn_pool_destroy> {
 public:
  Status create(std::size_t threads = 0) {
    return take([&](srnn_pool **p, srnn_error *e) { srnn_pool_create(threads, p, e); });
  }
  std::size_t threads() const noexcept { return srnn_pool_threads(get()); }
};

class Session : public Handle<srnn_session, srnn_session_destroy> {
 public:
  /// Without a pool, or with an empty one: on the caller's thread.
  Status create(const Pool &pool = {}) {
    return take([&](srnn_session **s, srnn_error *e) { srnn_session_create(pool.get(), s, e); });
  }
  std::size_t bytes() const noexcept { return srnn_session_bytes(get()); }
};

class Rnn;

class Tape : public Handle<srnn_tape, srnn_tape_destroy> {
 public:
  Status create() { return take([](srnn_tape **t, srnn_error *e) { srnn_tape_create(t, e); }); }
  std::size_t bytes() const noexcept { return srnn_tape_bytes(get()); }
};

class GradientFlow : public Handle<srnn_gradient_flow, srnn_gradient_flow_destroy> {
 public:
  Status create() { return take([](srnn_gradient_flow **f, srnn_error *e) { srnn_gradient_flow_create(f, e); }); }
  std::size_t passes() const noexcept { return srnn_gradient_flow_passes(get()); }
  std::size_t steps() const noexcept { return srnn_gradient_flow_steps(get()); }
  std::size_t gates() const noexcept { return srnn_gradient_flow_gates(get()); }
  Status state_norms(std::size_t pass, View<double> norms) const {
    return Status::of(
        [&](srnn_error *e) { srnn_gradient_flow_state_norms(get(), pass, norms.data(), norms.size(), e); });
  }
  Status singular_value(std::size_t pass, std::size_t gate, double &value) const {
    return Status::of([&](srnn_error *e) { srnn_gradient_flow_singular_value(get(), pass, gate, &value, e); });
  }
  Status saturation(std::size_t pass, std::size_t gate, float &low, float &high) const {
    return Status::of([&](srnn_error *e) { srnn_gradient_flow_saturation(get(), pass, gate, &low, &high, e); });
  }
};

class Grads : public Handle<srnn_grads, srnn_grads_destroy> {
 public:
  inline Status create(const Rnn &rnn);
  Status zero() {
    return Status::of([&](srnn_error *e) { srnn_grads_zero(get(), e); });
  }
  /// All gradients, in memory of this handle.
  Status data(FloatsOut &values) {
    float *data = nullptr;
    std::size_t size = 0;
    Status status = Status::of([&](srnn_error *e) { srnn_grads_data(get(), &data, &size, e); });
    if (status.ok()) values = {data, size};
    return status;
  }
  Status read_param(std::size_t index, FloatsOut values) const {
    return Status::of([&](srnn_error *e) { srnn_grads_read_param(get(), index, values.data(), values.size(), e); });
  }
};

class Rnn : public Handle<srnn_rnn, srnn_rnn_destroy> {
 public:
  static srnn_rnn_config config(srnn_cell cell, std::size_t input_size, std::size_t hidden_size) noexcept {
    srnn_rnn_config c;
    srnn_rnn_config_init(&c, cell, input_size, hidden_size);
    return c;
  }
  Status create(const srnn_rnn_config &config) {
    return take([&](srnn_rnn **r, srnn_error *e) { srnn_rnn_create(&config, r, e); });
  }
  Status get_config(srnn_rnn_config &config) const {
    return Status::of([&](srnn_error *e) { srnn_rnn_get_config(get(), &config, e); });
  }
  std::int32_t isa() const noexcept { return srnn_rnn_isa(get()); }
  std::size_t bytes() const noexcept { return srnn_rnn_bytes(get()); }
  std::size_t output_size() const noexcept { return srnn_rnn_output_size(get()); }
  std::size_t param_count() const noexcept { return srnn_rnn_param_count(get()); }
  std::size_t value_count() const noexcept { return srnn_rnn_value_count(get()); }

  Status init(srnn_init scheme, std::uint64_t seed) {
    return Status::of([&](srnn_error *e) { srnn_rnn_init(get(), scheme, seed, e); });
  }
  Status param_name(std::size_t index, char (&name)[SRNN_PARAM_NAME_SIZE]) const {
    return Status::of([&](srnn_error *e) { srnn_rnn_param_name(get(), index, name, sizeof name, e); });
  }
  Status param_shape(std::size_t index, std::size_t &rows, std::size_t &cols) const {
    return Status::of([&](srnn_error *e) { srnn_rnn_param_shape(get(), index, &rows, &cols, e); });
  }
  Status find_param(const char *name, std::size_t &index) const {
    return Status::of([&](srnn_error *e) { srnn_rnn_find_param(get(), name, &index, e); });
  }
  Status read_param(std::size_t index, FloatsOut values) const {
    return Status::of([&](srnn_error *e) { srnn_rnn_read_param(get(), index, values.data(), values.size(), e); });
  }
  Status write_param(std::size_t index, Floats values) {
    return Status::of([&](srnn_error *e) { srnn_rnn_write_param(get(), index, values.data(), values.size(), e); });
  }
  Status read_values(FloatsOut values) const {
    return Status::of([&](srnn_error *e) { srnn_rnn_read_values(get(), values.data(), values.size(), e); });
  }
  Status write_values(Floats values) {
    return Status::of([&](srnn_error *e) { srnn_rnn_write_values(get(), values.data(), values.size(), e); });
  }

  Status forward(Session &session, const srnn_batch &batch, Floats x, FloatsOut y, const srnn_state *initial = nullptr,
                 const srnn_state_out *last = nullptr) const {
    return Status::of([&](srnn_error *e) {
      srnn_rnn_forward(get(), session.get(), &batch, x.data(), x.size(), initial, y.data(), y.size(), last, e);
    });
  }
  Status forward_train(Session &session, Tape &tape, const srnn_batch &batch, std::uint64_t dropout_seed, Floats x,
                       FloatsOut y, const srnn_state *initial = nullptr, const srnn_state_out *last = nullptr) const {
    return Status::of([&](srnn_error *e) {
      srnn_rnn_forward_train(get(), session.get(), tape.get(), &batch, dropout_seed, x.data(), x.size(), initial,
                             y.data(), y.size(), last, e);
    });
  }
  Status backward(Session &session, const Tape &tape, Floats dy, FloatsOut dx, Grads *grads,
                  const srnn_state *dlast = nullptr, const srnn_state_out *dinitial = nullptr,
                  GradientFlow *flow = nullptr) const {
    return Status::of([&](srnn_error *e) {
      srnn_rnn_backward(get(), session.get(), tape.get(), dy.data(), dy.size(), dlast, dx.data(), dx.size(), dinitial,
                        grads ? grads->get() : nullptr, flow ? flow->get() : nullptr, e);
    });
  }
};

inline Status Grads::create(const Rnn &rnn) {
  return take([&](srnn_grads **g, srnn_error *e) { srnn_grads_create(rnn.get(), g, e); });
}

class TruncatedBptt : public Handle<srnn_truncated_bptt, srnn_truncated_bptt_destroy> {
 public:
  Status create(const Rnn &rnn, std::size_t batch_size, std::size_t k1, std::size_t k2) {
    return take([&](srnn_truncated_bptt **b, srnn_error *e) {
      srnn_truncated_bptt_create(rnn.get(), batch_size, k1, k2, b, e);
    });
  }
  std::size_t bytes() const noexcept { return srnn_truncated_bptt_bytes(get()); }
  Status reset() {
    return Status::of([&](srnn_error *e) { srnn_truncated_bptt_reset(get(), e); });
  }
  Status forward(const Rnn &rnn, Session &session, std::size_t steps, std::uint64_t dropout_seed, Floats x,
                 FloatsOut y) {
    return Status::of([&](srnn_error *e) {
      srnn_truncated_bptt_forward(get(), rnn.get(), session.get(), steps, dropout_seed, x.data(), x.size(), y.data(),
                                  y.size(), e);
    });
  }
  Status backward(const Rnn &rnn, Session &session, Floats dy, FloatsOut dx, Grads &grads) {
    return Status::of([&](srnn_error *e) {
      srnn_truncated_bptt_backward(get(), rnn.get(), session.get(), dy.data(), dy.size(), dx.data(), dx.size(),
                                   grads.get(), e);
    });
  }
  Status get_state(const srnn_state_out &state) const {
    return Status::of([&](srnn_error *e) { srnn_truncated_bptt_get_state(get(), &state, e); });
  }
};

class Stream : public Handle<srnn_stream, srnn_stream_destroy> {
 public:
  Status create(const Rnn &rnn, std::size_t lanes = 1) {
    return take([&](srnn_stream **s, srnn_error *e) { srnn_stream_create(rnn.get(), lanes, s, e); });
  }
  std::size_t lanes() const noexcept { return srnn_stream_lanes(get()); }
  std::size_t bytes() const noexcept { return srnn_stream_bytes(get()); }
  Status step(const Rnn &rnn, Floats x, FloatsOut y) {
    return Status::of(
        [&](srnn_error *e) { srnn_stream_step(get(), rnn.get(), x.data(), x.size(), y.data(), y.size(), e); });
  }
  Status process(const Rnn &rnn, std::size_t steps, Floats x, FloatsOut y) {
    return Status::of([&](srnn_error *e) {
      srnn_stream_process(get(), rnn.get(), steps, x.data(), x.size(), y.data(), y.size(), e);
    });
  }
  Status get_state(const srnn_state_out &state) const {
    return Status::of([&](srnn_error *e) { srnn_stream_get_state(get(), &state, e); });
  }
  Status set_state(const srnn_state &state) {
    return Status::of([&](srnn_error *e) { srnn_stream_set_state(get(), &state, e); });
  }
  Status reset() {
    return Status::of([&](srnn_error *e) { srnn_stream_reset(get(), e); });
  }
  Status reset_lane(std::size_t lane) {
    return Status::of([&](srnn_error *e) { srnn_stream_reset_lane(get(), lane, e); });
  }
};

class Dense : public Handle<srnn_dense, srnn_dense_destroy> {
 public:
  Status create(std::size_t in_features, std::size_t out_features, bool bias = true) {
    return take([&](srnn_dense **d, srnn_error *e) { srnn_dense_create(in_features, out_features, bias, d, e); });
  }
  std::size_t in_features() const noexcept { return srnn_dense_in_features(get()); }
  std::size_t out_features() const noexcept { return srnn_dense_out_features(get()); }
  std::size_t value_count() const noexcept { return srnn_dense_value_count(get()); }
  Status init(std::uint64_t seed) {
    return Status::of([&](srnn_error *e) { srnn_dense_init(get(), seed, e); });
  }
  Status read_values(FloatsOut values) const {
    return Status::of([&](srnn_error *e) { srnn_dense_read_values(get(), values.data(), values.size(), e); });
  }
  Status write_values(Floats values) {
    return Status::of([&](srnn_error *e) { srnn_dense_write_values(get(), values.data(), values.size(), e); });
  }
  Status forward(Floats x, FloatsOut y) const {
    return Status::of([&](srnn_error *e) { srnn_dense_forward(get(), x.data(), x.size(), y.data(), y.size(), e); });
  }
  Status backward(Session &session, Floats x, Floats dy, FloatsOut dx, FloatsOut grads) const {
    return Status::of([&](srnn_error *e) {
      srnn_dense_backward(get(), session.get(), x.data(), x.size(), dy.data(), dy.size(), dx.data(), dx.size(),
                          grads.data(), grads.size(), e);
    });
  }
};

class Embedding : public Handle<srnn_embedding, srnn_embedding_destroy> {
 public:
  Status create(std::size_t num_embeddings, std::size_t embedding_dim, std::int64_t padding_idx = -1) {
    return take([&](srnn_embedding **t, srnn_error *e) {
      srnn_embedding_create(num_embeddings, embedding_dim, padding_idx, t, e);
    });
  }
  std::size_t num_embeddings() const noexcept { return srnn_embedding_num_embeddings(get()); }
  std::size_t dim() const noexcept { return srnn_embedding_dim(get()); }
  bool is_frozen() const noexcept { return srnn_embedding_is_frozen(get()) != 0; }
  Status set_frozen(bool frozen) {
    return Status::of([&](srnn_error *e) { srnn_embedding_set_frozen(get(), frozen, e); });
  }
  Status init_normal(std::uint64_t seed) {
    return Status::of([&](srnn_error *e) { srnn_embedding_init_normal(get(), seed, e); });
  }
  Status init_uniform(float range, std::uint64_t seed) {
    return Status::of([&](srnn_error *e) { srnn_embedding_init_uniform(get(), range, seed, e); });
  }
  Status read_rows(std::size_t first_row, FloatsOut values) const {
    return Status::of(
        [&](srnn_error *e) { srnn_embedding_read_rows(get(), first_row, values.data(), values.size(), e); });
  }
  Status write_rows(std::size_t first_row, Floats values) {
    return Status::of(
        [&](srnn_error *e) { srnn_embedding_write_rows(get(), first_row, values.data(), values.size(), e); });
  }
  Status forward(View<const std::uint32_t> indices, FloatsOut y) const {
    return Status::of([&](srnn_error *e) {
      srnn_embedding_forward(get(), indices.data(), indices.size(), y.data(), y.size(), e);
    });
  }
};

class EmbeddingGrads : public Handle<srnn_embedding_grads, srnn_embedding_grads_destroy> {
 public:
  Status create(const Embedding &embedding) {
    return take([&](srnn_embedding_grads **g, srnn_error *e) { srnn_embedding_grads_create(embedding.get(), g, e); });
  }
  Status zero() {
    return Status::of([&](srnn_error *e) { srnn_embedding_grads_zero(get(), e); });
  }
  Status add(View<const std::uint32_t> indices, Floats dy) {
    return Status::of([&](srnn_error *e) {
      srnn_embedding_grads_add(get(), indices.data(), indices.size(), dy.data(), dy.size(), e);
    });
  }
  /// Rows and their gradients, in memory of this handle, until the next call.
  Status data(View<const std::uint32_t> &rows, FloatsOut &values) {
    const std::uint32_t *r = nullptr;
    float *v = nullptr;
    std::size_t rows_size = 0, values_size = 0;
    Status status = Status::of(
        [&](srnn_error *e) { srnn_embedding_grads_data(get(), &r, &rows_size, &v, &values_size, e); });
    if (status.ok()) {
      rows = {r, rows_size};
      values = {v, values_size};
    }
    return status;
  }
};

class Optimizer : public Handle<srnn_optimizer, srnn_optimizer_destroy> {
 public:
  static srnn_optimizer_config config(srnn_optimizer_kind kind) noexcept {
    srnn_optimizer_config c;
    srnn_optimizer_config_init(&c, kind);
    return c;
  }
  Status create(const srnn_optimizer_config &config) {
    return take([&](srnn_optimizer **o, srnn_error *e) { srnn_optimizer_create(&config, o, e); });
  }
  double lr() const noexcept { return srnn_optimizer_lr(get()); }
  std::uint64_t step() const noexcept { return srnn_optimizer_step(get()); }
  Status set_lr(double lr) {
    return Status::of([&](srnn_error *e) { srnn_optimizer_set_lr(get(), lr, e); });
  }
  Status begin_step() {
    return Status::of([&](srnn_error *e) { srnn_optimizer_begin_step(get(), e); });
  }
  Status update(std::size_t slot, Rnn &rnn, const Grads &grads) {
    return Status::of([&](srnn_error *e) { srnn_optimizer_update_rnn(get(), slot, rnn.get(), grads.get(), e); });
  }
  Status update(std::size_t slot, Dense &dense, Floats grads) {
    return Status::of([&](srnn_error *e) {
      srnn_optimizer_update_dense(get(), slot, dense.get(), grads.data(), grads.size(), e);
    });
  }
  Status update(std::size_t slot, Embedding &embedding, const EmbeddingGrads &grads) {
    return Status::of(
        [&](srnn_error *e) { srnn_optimizer_update_embedding(get(), slot, embedding.get(), grads.get(), e); });
  }
  Status update(std::size_t slot, FloatsOut values, Floats grads) {
    return Status::of([&](srnn_error *e) {
      srnn_optimizer_update(get(), slot, values.data(), values.size(), grads.data(), grads.size(), e);
    });
  }
};

}  // namespace simdrnn

#endif  // SIMDRNN_HPP
