// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Dense layers and embeddings. A part of simdrnn.hpp.

#ifndef SIMDRNN_LAYERS_HPP
#define SIMDRNN_LAYERS_HPP

#include "recurrent.hpp"

namespace simdrnn {

class Dense : public Handle<srnn_dense, srnn_dense_destroy> {
 public:
  Result create(std::size_t in_features, std::size_t out_features, bool bias = true) {
    return take([&](srnn_dense **d, srnn_error *e) { return srnn_dense_create(in_features, out_features, bias, d, e); });
  }
  std::size_t in_features() const noexcept { return srnn_dense_in_features(get()); }
  std::size_t out_features() const noexcept { return srnn_dense_out_features(get()); }
  std::size_t value_count() const noexcept { return srnn_dense_value_count(get()); }
  Result init(std::uint64_t seed) {
    return Result::of([&](srnn_error *e) { return srnn_dense_init(get(), seed, e); });
  }
  Result read_values(FloatsOut values) const {
    return Result::of([&](srnn_error *e) { return srnn_dense_read_values(get(), values.data(), values.size(), e); });
  }
  Result write_values(Floats values) {
    return Result::of([&](srnn_error *e) { return srnn_dense_write_values(get(), values.data(), values.size(), e); });
  }
  Result load_safetensors(const char *path, const char *prefix = "") {
    return Result::of([&](srnn_error *e) { return srnn_dense_load_safetensors(get(), path, prefix, e); });
  }
  Result save_safetensors(const char *path, const char *prefix = "") const {
    return Result::of([&](srnn_error *e) { return srnn_dense_save_safetensors(get(), path, prefix, e); });
  }
  /// From an opened file, strictly without `options`.
  Result load(const TensorFile &file, const char *prefix = "", const srnn_load_options *options = nullptr) {
    return Result::of([&](srnn_error *e) { return srnn_dense_load_tensors(get(), file.get(), prefix, options, e); });
  }
  Result save(TensorWriter &writer, const char *prefix = "") const {
    return Result::of([&](srnn_error *e) { return srnn_dense_save_tensors(get(), writer.get(), prefix, e); });
  }
  /// On the caller's thread alone.
  Result forward(Floats x, FloatsOut y) const { return forward_with(nullptr, x, y); }
  /// On the threads of the session's pool, if it has one.
  Result forward(Session &session, Floats x, FloatsOut y) const { return forward_with(session.get(), x, y); }
  Result backward(Session &session, Floats x, Floats dy, FloatsOut dx, FloatsOut grads) const {
    return Result::of([&](srnn_error *e) {
      return srnn_dense_backward(get(), session.get(), x.data(), x.size(), dy.data(), dy.size(), dx.data(), dx.size(),
                          grads.data(), grads.size(), e);
    });
  }

 private:
  Result forward_with(srnn_session *session, Floats x, FloatsOut y) const {
    return Result::of([&](srnn_error *e) {
      return srnn_dense_forward(get(), session, x.data(), x.size(), y.data(), y.size(), e);
    });
  }
};

class Embedding : public Handle<srnn_embedding, srnn_embedding_destroy> {
 public:
  Result create(std::size_t num_embeddings, std::size_t embedding_dim, std::int64_t padding_idx = -1) {
    return take([&](srnn_embedding **t, srnn_error *e) {
      return srnn_embedding_create(num_embeddings, embedding_dim, padding_idx, t, e);
    });
  }
  std::size_t num_embeddings() const noexcept { return srnn_embedding_num_embeddings(get()); }
  std::size_t dim() const noexcept { return srnn_embedding_dim(get()); }
  bool is_frozen() const noexcept { return srnn_embedding_is_frozen(get()) != 0; }
  Result set_frozen(bool frozen) {
    return Result::of([&](srnn_error *e) { return srnn_embedding_set_frozen(get(), frozen, e); });
  }
  Result init_normal(std::uint64_t seed) {
    return Result::of([&](srnn_error *e) { return srnn_embedding_init_normal(get(), seed, e); });
  }
  Result init_uniform(float range, std::uint64_t seed) {
    return Result::of([&](srnn_error *e) { return srnn_embedding_init_uniform(get(), range, seed, e); });
  }
  Result load_safetensors(const char *path, const char *prefix = "") {
    return Result::of([&](srnn_error *e) { return srnn_embedding_load_safetensors(get(), path, prefix, e); });
  }
  Result save_safetensors(const char *path, const char *prefix = "") const {
    return Result::of([&](srnn_error *e) { return srnn_embedding_save_safetensors(get(), path, prefix, e); });
  }
  /// From an opened file, strictly without `options`.
  Result load(const TensorFile &file, const char *prefix = "", const srnn_load_options *options = nullptr) {
    return Result::of([&](srnn_error *e) { return srnn_embedding_load_tensors(get(), file.get(), prefix, options, e); });
  }
  Result save(TensorWriter &writer, const char *prefix = "") const {
    return Result::of([&](srnn_error *e) { return srnn_embedding_save_tensors(get(), writer.get(), prefix, e); });
  }
  Result read_rows(std::size_t first_row, FloatsOut values) const {
    return Result::of(
        [&](srnn_error *e) { return srnn_embedding_read_rows(get(), first_row, values.data(), values.size(), e); });
  }
  Result write_rows(std::size_t first_row, Floats values) {
    return Result::of(
        [&](srnn_error *e) { return srnn_embedding_write_rows(get(), first_row, values.data(), values.size(), e); });
  }
  Result forward(View<const std::uint32_t> indices, FloatsOut y) const {
    return Result::of([&](srnn_error *e) {
      return srnn_embedding_forward(get(), indices.data(), indices.size(), y.data(), y.size(), e);
    });
  }
};

/// What a forward call takes; see srnn_forward_args. Arrays are optional, and must outlive it. Words come in place of x.
///
///   rnn.forward(session, ForwardArgs(batch, steps).lengths(lengths).x(x).y(y)).or_throw();
class ForwardArgs {
 public:
  ForwardArgs(std::size_t batch_size, std::size_t seq_len) noexcept {
    srnn_forward_args_init(&args_, batch_size, seq_len);
  }
  ForwardArgs &lengths(View<const std::size_t> v) noexcept {
    return args_.lengths = v.data(), args_.lengths_len = v.size(), *this;
  }
  ForwardArgs &packed(bool packed = true) noexcept { return args_.packed = packed, *this; }
  ForwardArgs &x(Floats v, std::size_t row_stride = 0) noexcept {
    return args_.x = v.data(), args_.x_len = v.size(), args_.x_row_stride = row_stride, *this;
  }
  ForwardArgs &words(const Embedding &table, View<const std::uint32_t> indices) noexcept {
    return args_.embedding = table.get(), args_.indices = indices.data(), args_.indices_len = indices.size(), *this;
  }
  ForwardArgs &y(FloatsOut v, std::size_t row_stride = 0) noexcept {
    return args_.y = v.data(), args_.y_len = v.size(), args_.y_row_stride = row_stride, *this;
  }
  ForwardArgs &h0(Floats v) noexcept { return args_.h0 = v.data(), args_.h0_len = v.size(), *this; }
  ForwardArgs &c0(Floats v) noexcept { return args_.c0 = v.data(), args_.c0_len = v.size(), *this; }
  ForwardArgs &hn(FloatsOut v) noexcept { return args_.hn = v.data(), args_.hn_len = v.size(), *this; }
  ForwardArgs &cn(FloatsOut v) noexcept { return args_.cn = v.data(), args_.cn_len = v.size(), *this; }
  /// States are updated in place.
  ForwardArgs &state(FloatsOut h, FloatsOut c = {}) noexcept {
    return h0(Floats(h.data(), h.size())).hn(h).c0(Floats(c.data(), c.size())).cn(c);
  }
  ForwardArgs &dropout(std::uint64_t seed, std::uint32_t first_step = 0, std::uint32_t first_sequence = 0) noexcept {
    return args_.dropout_seed = seed, args_.first_step = first_step, args_.first_sequence = first_sequence, *this;
  }
  ForwardArgs &no_dropout(bool off = true) noexcept { return args_.no_dropout = off, *this; }
  const srnn_forward_args &args() const noexcept { return args_; }

 private:
  srnn_forward_args args_;
};

inline Result Rnn::forward(Session &session, const ForwardArgs &args) const {
  return Result::of(
      [&](srnn_error *e) { return srnn_rnn_forward(get(), session.get(), nullptr, &args.args(), e); });
}

inline Result Rnn::forward(Session &session, Tape &tape, const ForwardArgs &args) const {
  return Result::of(
      [&](srnn_error *e) { return srnn_rnn_forward(get(), session.get(), tape.get(), &args.args(), e); });
}

class EmbeddingGrads : public Handle<srnn_embedding_grads, srnn_embedding_grads_destroy> {
 public:
  Result create(const Embedding &embedding) {
    return take([&](srnn_embedding_grads **g, srnn_error *e) { return srnn_embedding_grads_create(embedding.get(), g, e); });
  }
  Result zero() {
    return Result::of([&](srnn_error *e) { return srnn_embedding_grads_zero(get(), e); });
  }
  Result add(View<const std::uint32_t> indices, Floats dy) {
    return Result::of([&](srnn_error *e) {
      return srnn_embedding_grads_add(get(), indices.data(), indices.size(), dy.data(), dy.size(), e);
    });
  }
  /// Rows and their gradients, in memory of this handle, until the next call.
  Result data(View<const std::uint32_t> &rows, FloatsOut &values) {
    const std::uint32_t *r = nullptr;
    float *v = nullptr;
    std::size_t rows_size = 0, values_size = 0;
    Result status = Result::of(
        [&](srnn_error *e) { return srnn_embedding_grads_data(get(), &r, &rows_size, &v, &values_size, e); });
    if (status.ok()) {
      rows = {r, rows_size};
      values = {v, values_size};
    }
    return status;
  }
};

}  // namespace simdrnn

#endif  // SIMDRNN_LAYERS_HPP
