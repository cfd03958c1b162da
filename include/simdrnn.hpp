// SPDX-License-Identifier: MIT OR Apache-2.0
//
// C++17 on top of simdrnn.h: handles as move-only classes, arrays as views, and a status that must be looked at. Header
// only; nothing here needs RTTI, nor throws but std::bad_alloc where a text is returned. Methods are named like the C
// functions, whose comments say what they do; what is not wrapped (losses, softmax, struct init functions) is called as
// in C.

#ifndef SIMDRNN_HPP
#define SIMDRNN_HPP

#include "simdrnn.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
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
  /// Becomes the owner of a handle that a C function made.
  void adopt(T *handle) noexcept { handle_.reset(handle); }

 protected:
  /// Takes what `create`, called with places for a handle and an error, makes.
  template <typename F>
  Status take(F &&create) {
    T *made = nullptr;
    Status status = Status::of([&](srnn_error *e) { create(&made, e); });
    if (made != nullptr) handle_.reset(made);  // a failed call makes nothing and keeps what there was
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

class Classifier;
class Embedding;
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

  Status load_safetensors(const char *path, const char *prefix = "") {
    return Status::of([&](srnn_error *e) { srnn_rnn_load_safetensors(get(), path, prefix, e); });
  }
  Status save_safetensors(const char *path, const char *prefix = "") const {
    return Status::of([&](srnn_error *e) { srnn_rnn_save_safetensors(get(), path, prefix, e); });
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
  /// Over words: what Embedding::forward would copy to x is read where it lies.
  Status forward(Session &session, const srnn_batch &batch, const Embedding &embedding,
                 View<const std::uint32_t> indices, FloatsOut y, const srnn_state *initial = nullptr,
                 const srnn_state_out *last = nullptr) const;
  Status forward_train(Session &session, Tape &tape, const srnn_batch &batch, std::uint64_t dropout_seed,
                       const Embedding &embedding, View<const std::uint32_t> indices, FloatsOut y,
                       const srnn_state *initial = nullptr, const srnn_state_out *last = nullptr) const;
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
  /** Without a pool, steps use no other thread than the caller's, and wait for nobody. */
  Status set_pool(const Pool &pool) {
    return Status::of([&](srnn_error *e) { srnn_stream_set_pool(get(), pool.get(), e); });
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
  /// On the caller's thread alone.
  Status forward(Floats x, FloatsOut y) const { return forward_with(nullptr, x, y); }
  /// On the threads of the session's pool, if it has one.
  Status forward(Session &session, Floats x, FloatsOut y) const { return forward_with(session.get(), x, y); }
  Status backward(Session &session, Floats x, Floats dy, FloatsOut dx, FloatsOut grads) const {
    return Status::of([&](srnn_error *e) {
      srnn_dense_backward(get(), session.get(), x.data(), x.size(), dy.data(), dy.size(), dx.data(), dx.size(),
                          grads.data(), grads.size(), e);
    });
  }

 private:
  Status forward_with(srnn_session *session, Floats x, FloatsOut y) const {
    return Status::of([&](srnn_error *e) {
      srnn_dense_forward(get(), session, x.data(), x.size(), y.data(), y.size(), e);
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

inline Status Rnn::forward(Session &session, const srnn_batch &batch, const Embedding &embedding,
                           View<const std::uint32_t> indices, FloatsOut y, const srnn_state *initial,
                           const srnn_state_out *last) const {
  return Status::of([&](srnn_error *e) {
    srnn_rnn_forward_tokens(get(), session.get(), &batch, embedding.get(), indices.data(), indices.size(), initial,
                            y.data(), y.size(), last, e);
  });
}

inline Status Rnn::forward_train(Session &session, Tape &tape, const srnn_batch &batch, std::uint64_t dropout_seed,
                                 const Embedding &embedding, View<const std::uint32_t> indices, FloatsOut y,
                                 const srnn_state *initial, const srnn_state_out *last) const {
  return Status::of([&](srnn_error *e) {
    srnn_rnn_forward_train_tokens(get(), session.get(), tape.get(), &batch, dropout_seed, embedding.get(),
                                  indices.data(), indices.size(), initial, y.data(), y.size(), last, e);
  });
}

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
  /** Without a pool, updates use no other thread than the caller's. */
  Status set_pool(const Pool &pool) {
    return Status::of([&](srnn_error *e) { srnn_optimizer_set_pool(get(), pool.get(), e); });
  }
  Status save_safetensors(const char *path) const {
    return Status::of([&](srnn_error *e) { srnn_optimizer_save_safetensors(get(), path, e); });
  }
  Status load_safetensors(const char *path) {
    return Status::of([&](srnn_error *e) { srnn_optimizer_load_safetensors(get(), path, e); });
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

/// Calls `f(char *text, size_t text_size, size_t *text_len, srnn_error *)` twice: to measure a text, and to copy it.
template <typename F>
Status read_text(std::string &text, F &&f) {
  std::size_t size = 0;
  Status status = Status::of([&](srnn_error *e) { f(nullptr, 0, &size, e); });
  if (!status.ok()) return status;
  std::string room(size + 1, '\0');
  status = Status::of([&](srnn_error *e) { f(room.data(), room.size(), &size, e); });
  if (status.ok()) {
    room.resize(size);
    text = std::move(room);
  }
  return status;
}

class TensorFile : public Handle<srnn_tensor_file, srnn_tensor_file_destroy> {
 public:
  Status open(const char *path) {
    return take([&](srnn_tensor_file **f, srnn_error *e) { srnn_tensor_file_open(path, f, e); });
  }
  std::size_t count() const noexcept { return srnn_tensor_file_count(get()); }
  Status name(std::size_t index, std::string &name) const {
    return read_text(name, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      srnn_tensor_file_name(get(), index, text, size, len, e);
    });
  }
  /// With an empty `shape` only `ndim` is written.
  Status shape(const char *name, View<std::size_t> shape, std::size_t &ndim) const {
    return Status::of(
        [&](srnn_error *e) { srnn_tensor_file_shape(get(), name, shape.data(), shape.size(), &ndim, e); });
  }
  Status read(const char *name, FloatsOut values) const {
    return Status::of([&](srnn_error *e) { srnn_tensor_file_read(get(), name, values.data(), values.size(), e); });
  }
  Status metadata(const char *key, std::string &value) const {
    return read_text(value, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      srnn_tensor_file_metadata(get(), key, text, size, len, e);
    });
  }
};

class TensorWriter : public Handle<srnn_tensor_writer, srnn_tensor_writer_destroy> {
 public:
  Status create() { return take([](srnn_tensor_writer **w, srnn_error *e) { srnn_tensor_writer_create(w, e); }); }
  Status add(const char *name, View<const std::size_t> shape, Floats values) {
    return Status::of([&](srnn_error *e) {
      srnn_tensor_writer_add(get(), name, shape.data(), shape.size(), values.data(), values.size(), e);
    });
  }
  Status metadata(const char *key, const char *text) {
    return Status::of([&](srnn_error *e) { srnn_tensor_writer_metadata(get(), key, text, e); });
  }
  Status save(const char *path) const {
    return Status::of([&](srnn_error *e) { srnn_tensor_writer_save(get(), path, e); });
  }
};

class Vocab : public Handle<srnn_vocab, srnn_vocab_destroy> {
 public:
  Status create(View<const char *const> words) {
    return take([&](srnn_vocab **v, srnn_error *e) { srnn_vocab_create(words.data(), words.size(), v, e); });
  }
  std::size_t size() const noexcept { return srnn_vocab_size(get()); }
  Status id(const char *word, std::uint32_t &id) const {
    return Status::of([&](srnn_error *e) { srnn_vocab_id(get(), word, &id, e); });
  }
  Status word(std::uint32_t id, std::string &word) const {
    return read_text(word, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      srnn_vocab_word(get(), id, text, size, len, e);
    });
  }
  /// With empty `ids` only `count` is written.
  Status encode(const char *text, bool lowercase, View<std::uint32_t> ids, std::size_t &count) const {
    return Status::of(
        [&](srnn_error *e) { srnn_vocab_encode(get(), lowercase, text, ids.data(), ids.size(), &count, e); });
  }

 private:
  friend class Dataset;
};

class Dataset : public Handle<srnn_dataset, srnn_dataset_destroy> {
 public:
  /// Reads a training file and makes the vocabulary from it.
  Status read_train(const char *path, srnn_label_mode mode, bool lowercase, std::uint64_t min_count,
                    std::size_t max_size, Vocab &vocab) {
    return take([&](srnn_dataset **d, srnn_error *e) {
      static_cast<void>(vocab.take([&](srnn_vocab **v, srnn_error *) {
        srnn_dataset_read_train(path, mode, lowercase, min_count, max_size, d, v, e);
      }));
    });
  }
  /// Reads a file to evaluate `classifier` with.
  inline Status read(const Classifier &classifier, const char *path);
  std::size_t size() const noexcept { return srnn_dataset_size(get()); }
  Status tokens(std::size_t index, View<const std::uint32_t> &tokens) const {
    return list(tokens, [&](const std::uint32_t **p, std::size_t *n, srnn_error *e) {
      srnn_dataset_tokens(get(), index, p, n, e);
    });
  }
  Status targets(std::size_t index, View<const std::uint32_t> &targets) const {
    return list(targets, [&](const std::uint32_t **p, std::size_t *n, srnn_error *e) {
      srnn_dataset_targets(get(), index, p, n, e);
    });
  }

 private:
  template <typename F>
  static Status list(View<const std::uint32_t> &view, F &&f) {
    const std::uint32_t *data = nullptr;
    std::size_t size = 0;
    Status status = Status::of([&](srnn_error *e) { f(&data, &size, e); });
    if (status.ok()) view = {data, size};
    return status;
  }
  friend class Batches;
};

class Batches : public Handle<srnn_batches, srnn_batches_destroy> {
 public:
  Status create(const Dataset &dataset, std::size_t batch_size, std::uint64_t seed, std::uint32_t epoch) {
    return take([&](srnn_batches **b, srnn_error *e) {
      srnn_batches_create(dataset.get(), batch_size, seed, epoch, b, e);
    });
  }
  std::size_t count() const noexcept { return srnn_batches_count(get()); }
  Status examples(std::size_t index, View<const std::uint32_t> &examples) const {
    return Dataset::list(examples, [&](const std::uint32_t **p, std::size_t *n, srnn_error *e) {
      srnn_batches_get(get(), index, p, n, e);
    });
  }
};

class ClassifierSession : public Handle<srnn_classifier_session, srnn_classifier_session_destroy> {
 public:
  Status create(const Pool &pool = {}) {
    return take(
        [&](srnn_classifier_session **s, srnn_error *e) { srnn_classifier_session_create(pool.get(), s, e); });
  }
};

class Classifier : public Handle<srnn_classifier, srnn_classifier_destroy> {
 public:
  static srnn_classifier_config config() noexcept {
    srnn_classifier_config c;
    srnn_classifier_config_init(&c);
    return c;
  }
  Status create(const srnn_classifier_config &config, const Vocab &vocab, const Dataset &dataset, std::uint64_t seed) {
    return take([&](srnn_classifier **c, srnn_error *e) {
      srnn_classifier_create(&config, vocab.get(), dataset.get(), seed, c, e);
    });
  }
  Status load(const char *path) {
    return take([&](srnn_classifier **c, srnn_error *e) { srnn_classifier_load(path, c, e); });
  }
  Status save(const char *path) const {
    return Status::of([&](srnn_error *e) { srnn_classifier_save(get(), path, e); });
  }
  /// Whether training leaves the token table as it is.
  Status set_embeddings_frozen(bool frozen) {
    return Status::of([&](srnn_error *e) { srnn_classifier_set_embeddings_frozen(get(), frozen, e); });
  }
  std::size_t bytes() const noexcept { return srnn_classifier_bytes(get()); }
  std::size_t vocab_size() const noexcept { return srnn_classifier_vocab_size(get()); }
  std::size_t label_count() const noexcept { return srnn_classifier_label_count(get()); }
  Status label(std::size_t index, std::string &label) const {
    return read_text(label, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      srnn_classifier_label(get(), index, text, size, len, e);
    });
  }
  Status classify(ClassifierSession &session, const char *text, FloatsOut probabilities) const {
    return Status::of([&](srnn_error *e) {
      srnn_classifier_classify(get(), session.get(), text, probabilities.data(), probabilities.size(), e);
    });
  }
  Status predict(ClassifierSession &session, const Dataset &dataset, std::size_t batch_size,
                 FloatsOut probabilities) const {
    return Status::of([&](srnn_error *e) {
      srnn_classifier_predict(get(), session.get(), dataset.get(), batch_size, probabilities.data(),
                              probabilities.size(), e);
    });
  }
};

inline Status Dataset::read(const Classifier &classifier, const char *path) {
  return take(
      [&](srnn_dataset **d, srnn_error *e) { srnn_classifier_read_dataset(classifier.get(), path, d, e); });
}

class Trainer : public Handle<srnn_trainer, srnn_trainer_destroy> {
 public:
  Status create(const Classifier &classifier, const srnn_optimizer_config &optimizer, double clip_norm,
                std::uint64_t seed, const Pool &pool = {}) {
    return take([&](srnn_trainer **t, srnn_error *e) {
      srnn_trainer_create(classifier.get(), &optimizer, clip_norm, seed, pool.get(), t, e);
    });
  }
  Status set_lr(double lr) {
    return Status::of([&](srnn_error *e) { srnn_trainer_set_lr(get(), lr, e); });
  }
  Status step(Classifier &classifier, const Dataset &dataset, View<const std::uint32_t> examples,
              srnn_step_report *report = nullptr) {
    return Status::of([&](srnn_error *e) {
      srnn_trainer_step(get(), classifier.get(), dataset.get(), examples.data(), examples.size(), report, e);
    });
  }
};

/// What was found of a vocabulary.
class Coverage : public Handle<srnn_coverage, srnn_coverage_destroy> {
 public:
  std::size_t words(srnn_match kind) const noexcept { return srnn_coverage_words(get(), kind); }
  std::uint64_t tokens(srnn_match kind) const noexcept { return srnn_coverage_tokens(get(), kind); }
  /// Fills `ids` as far as there are missing words; `count` is how many there are.
  Status missing(View<std::uint32_t> ids, std::size_t &count) const {
    return Status::of([&](srnn_error *e) { srnn_coverage_missing(get(), ids.data(), ids.size(), &count, e); });
  }
};

/// Makes an embedding of the vectors that the words of `vocab` have in a file; see srnn_embedding_load_file.
inline Status load_embedding(const char *path, const Vocab &vocab, Embedding &embedding, Coverage *coverage = nullptr,
                             const srnn_vectors_options *options = nullptr, View<const std::uint64_t> counts = {}) {
  srnn_embedding *table = nullptr;
  srnn_coverage *found = nullptr;
  Status status = Status::of([&](srnn_error *e) {
    srnn_embedding_load_file(path, vocab.get(), counts.data(), counts.size(), options, &table,
                             coverage ? &found : nullptr, e);
  });
  if (status.ok()) embedding.adopt(table);
  if (status.ok() && coverage) coverage->adopt(found);
  return status;
}

/// Gives a classifier's words the vectors that they have in a file; see srnn_classifier_load_embeddings.
inline Status load_embeddings(Classifier &classifier, const char *path, const Dataset &dataset = {},
                              Coverage *coverage = nullptr, const srnn_vectors_options *options = nullptr) {
  srnn_coverage *found = nullptr;
  Status status = Status::of([&](srnn_error *e) {
    srnn_classifier_load_embeddings(classifier.get(), path, dataset.get(), options, coverage ? &found : nullptr, e);
  });
  if (status.ok() && coverage) coverage->adopt(found);
  return status;
}

/// Pretrained word vectors.
class Vectors : public Handle<srnn_vectors, srnn_vectors_destroy> {
 public:
  static srnn_vectors_options options() noexcept {
    srnn_vectors_options o;
    srnn_vectors_options_init(&o);
    return o;
  }
  Status open(const char *path, const srnn_vectors_options *options = nullptr) {
    return take([&](srnn_vectors **v, srnn_error *e) { srnn_vectors_open(path, options, v, e); });
  }
  std::size_t count() const noexcept { return srnn_vectors_count(get()); }
  std::size_t dim() const noexcept { return srnn_vectors_dim(get()); }
  std::int32_t file_format() const noexcept { return srnn_vectors_file_format(get()); }
  std::uint64_t duplicates() const noexcept { return srnn_vectors_duplicates(get()); }
  Status word(std::size_t index, std::string &word) const {
    return read_text(word, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      srnn_vectors_word(get(), index, text, size, len, e);
    });
  }
  Status find(const char *word, std::size_t &index) const {
    return Status::of([&](srnn_error *e) { srnn_vectors_find(get(), word, &index, e); });
  }
  Status get_vector(const char *word, FloatsOut values) const {
    return Status::of([&](srnn_error *e) { srnn_vectors_get(get(), word, values.data(), values.size(), e); });
  }
  Status similarity(std::size_t a, std::size_t b, float &similarity) const {
    return Status::of([&](srnn_error *e) { srnn_vectors_similarity(get(), a, b, &similarity, e); });
  }
  Status nearest(Floats query, View<std::size_t> indices, FloatsOut similarities, std::size_t &count,
                 View<const std::size_t> without = {}, const Pool &pool = {}) const {
    return Status::of([&](srnn_error *e) {
      srnn_vectors_nearest(get(), pool.get(), query.data(), query.size(), without.data(), without.size(),
                           indices.data(), indices.size(), similarities.data(), similarities.size(), &count, e);
    });
  }
  /// Neighbours of several queries, `counts.size()` of them; see srnn_vectors_nearest_batch.
  Status nearest_batch(Floats queries, View<std::size_t> indices, FloatsOut similarities, View<std::size_t> counts,
                       View<const std::size_t> without = {}, const Pool &pool = {}) const {
    return Status::of([&](srnn_error *e) {
      srnn_vectors_nearest_batch(get(), pool.get(), queries.data(), queries.size(), without.data(), without.size(),
                                 indices.data(), indices.size(), similarities.data(), similarities.size(),
                                 counts.data(), counts.size(), e);
    });
  }
  Status analogy(View<const std::size_t> plus, View<const std::size_t> minus, View<std::size_t> indices,
                 FloatsOut similarities, std::size_t &count, const Pool &pool = {}) const {
    return Status::of([&](srnn_error *e) {
      srnn_vectors_analogy(get(), pool.get(), plus.data(), plus.size(), minus.data(), minus.size(), indices.data(),
                           indices.size(), similarities.data(), similarities.size(), &count, e);
    });
  }
  Status save(const char *path, srnn_vectors_format format) const {
    return Status::of([&](srnn_error *e) { srnn_vectors_save(get(), path, format, e); });
  }
};

}  // namespace simdrnn

#endif  // SIMDRNN_HPP
