// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Optimizers. A part of simdrnn.hpp.

#ifndef SIMDRNN_TRAINING_HPP
#define SIMDRNN_TRAINING_HPP

#include "layers.hpp"

namespace simdrnn {

/// A module with its gradients; see srnn_module. An array of them is a model, for zero_grad, clip_grad_norm and
/// Optimizer::step.
inline srnn_module with_grads(const Rnn &rnn, const Grads &grads) noexcept {
  srnn_module m;
  srnn_module_init(&m);
  m.rnn = rnn.get();
  m.rnn_grads = grads.get();
  return m;
}
inline srnn_module with_grads(const Embedding &embedding, const EmbeddingGrads &grads) noexcept {
  srnn_module m;
  srnn_module_init(&m);
  m.embedding = embedding.get();
  m.embedding_grads = grads.get();
  return m;
}
inline srnn_module with_grads(const Dense &dense, FloatsOut grads) noexcept {
  srnn_module m;
  srnn_module_init(&m);
  m.dense = dense.get();
  m.grads = grads.data();
  m.grads_len = grads.size();
  return m;
}
inline srnn_module with_grads(FloatsOut values, FloatsOut grads) noexcept {
  srnn_module m;
  srnn_module_init(&m);
  m.values = values.data();
  m.values_len = values.size();
  m.grads = grads.data();
  m.grads_len = grads.size();
  return m;
}

inline Result zero_grad(View<const srnn_module> model) {
  return Result::of([&](srnn_error *e) { return srnn_modules_zero_grad(model.data(), model.size(), e); });
}
inline Result clip_grad_norm(View<const srnn_module> model, double max_norm, double *norm = nullptr,
                             bool error_if_nonfinite = true) {
  return Result::of([&](srnn_error *e) {
    return srnn_modules_clip_grad_norm(model.data(), model.size(), max_norm, error_if_nonfinite, norm, e);
  });
}

class Optimizer : public Handle<srnn_optimizer, srnn_optimizer_destroy> {
 public:
  static srnn_optimizer_config config(srnn_optimizer_kind kind) noexcept {
    srnn_optimizer_config c;
    srnn_optimizer_config_init(&c, kind);
    return c;
  }
  Result create(const srnn_optimizer_config &config) {
    return take([&](srnn_optimizer **o, srnn_error *e) { return srnn_optimizer_create(&config, o, e); });
  }
  double lr() const noexcept { return srnn_optimizer_lr(get()); }
  std::uint64_t step_count() const noexcept { return srnn_optimizer_step_count(get()); }
  std::uint64_t skipped_count() const noexcept { return srnn_optimizer_skipped_count(get()); }
  Result set_lr(double lr) {
    return Result::of([&](srnn_error *e) { return srnn_optimizer_set_lr(get(), lr, e); });
  }
  /** Without a pool, updates use no other thread than the caller's. */
  Result set_pool(const Pool &pool) {
    return Result::of([&](srnn_error *e) { return srnn_optimizer_set_pool(get(), pool.get(), e); });
  }
  Result save_safetensors(const char *path) const {
    return Result::of([&](srnn_error *e) { return srnn_optimizer_save_safetensors(get(), path, e); });
  }
  Result load_safetensors(const char *path) {
    return Result::of([&](srnn_error *e) { return srnn_optimizer_load_safetensors(get(), path, e); });
  }
  /// From an opened file, strictly without `options`.
  Result load(const TensorFile &file, const srnn_load_options *options = nullptr) {
    return Result::of([&](srnn_error *e) { return srnn_optimizer_load_tensors(get(), file.get(), options, e); });
  }
  Result save(TensorWriter &writer) const {
    return Result::of([&](srnn_error *e) { return srnn_optimizer_save_tensors(get(), writer.get(), e); });
  }
  /// Updates all modules of a model with their gradients.
  Result step(View<const srnn_module> model) {
    return Result::of([&](srnn_error *e) { return srnn_optimizer_step(get(), model.data(), model.size(), e); });
  }
  /// Piece by piece: begin_step, then one update for every slot.
  Result begin_step() {
    return Result::of([&](srnn_error *e) { return srnn_optimizer_begin_step(get(), e); });
  }
  Result update(std::size_t slot, Rnn &rnn, const Grads &grads) {
    return Result::of([&](srnn_error *e) { return srnn_optimizer_update_rnn(get(), slot, rnn.get(), grads.get(), e); });
  }
  Result update(std::size_t slot, Dense &dense, Floats grads) {
    return Result::of([&](srnn_error *e) {
      return srnn_optimizer_update_dense(get(), slot, dense.get(), grads.data(), grads.size(), e);
    });
  }
  Result update(std::size_t slot, Embedding &embedding, const EmbeddingGrads &grads) {
    return Result::of(
        [&](srnn_error *e) { return srnn_optimizer_update_embedding(get(), slot, embedding.get(), grads.get(), e); });
  }
  Result update(std::size_t slot, FloatsOut values, Floats grads) {
    return Result::of([&](srnn_error *e) {
      return srnn_optimizer_update(get(), slot, values.data(), values.size(), grads.data(), grads.size(), e);
    });
  }
};

}  // namespace simdrnn

#endif  // SIMDRNN_TRAINING_HPP
