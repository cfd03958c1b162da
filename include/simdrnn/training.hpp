// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Optimizers. A part of simdrnn.hpp.

#ifndef SIMDRNN_TRAINING_HPP
#define SIMDRNN_TRAINING_HPP

#include "layers.hpp"

namespace simdrnn {

class Optimizer : public Handle<srnn_optimizer, srnn_optimizer_destroy> {
 public:
  static srnn_optimizer_config config(srnn_optimizer_kind kind) noexcept {
    srnn_optimizer_config c;
    srnn_optimizer_config_init(&c, kind);
    return c;
  }
  Result create(const srnn_optimizer_config &config) {
    return take([&](srnn_optimizer **o, srnn_error *e) { srnn_optimizer_create(&config, o, e); });
  }
  double lr() const noexcept { return srnn_optimizer_lr(get()); }
  std::uint64_t step() const noexcept { return srnn_optimizer_step(get()); }
  std::uint64_t skipped() const noexcept { return srnn_optimizer_skipped(get()); }
  Result set_lr(double lr) {
    return Result::of([&](srnn_error *e) { srnn_optimizer_set_lr(get(), lr, e); });
  }
  /** Without a pool, updates use no other thread than the caller's. */
  Result set_pool(const Pool &pool) {
    return Result::of([&](srnn_error *e) { srnn_optimizer_set_pool(get(), pool.get(), e); });
  }
  Result save_safetensors(const char *path) const {
    return Result::of([&](srnn_error *e) { srnn_optimizer_save_safetensors(get(), path, e); });
  }
  Result load_safetensors(const char *path) {
    return Result::of([&](srnn_error *e) { srnn_optimizer_load_safetensors(get(), path, e); });
  }
  /// From an opened file, strictly without `options`.
  Result load(const TensorFile &file, const srnn_load_options *options = nullptr) {
    return Result::of([&](srnn_error *e) { srnn_optimizer_load_tensors(get(), file.get(), options, e); });
  }
  Result save(TensorWriter &writer) const {
    return Result::of([&](srnn_error *e) { srnn_optimizer_save_tensors(get(), writer.get(), e); });
  }
  Result begin_step() {
    return Result::of([&](srnn_error *e) { srnn_optimizer_begin_step(get(), e); });
  }
  Result update(std::size_t slot, Rnn &rnn, const Grads &grads) {
    return Result::of([&](srnn_error *e) { srnn_optimizer_update_rnn(get(), slot, rnn.get(), grads.get(), e); });
  }
  Result update(std::size_t slot, Dense &dense, Floats grads) {
    return Result::of([&](srnn_error *e) {
      srnn_optimizer_update_dense(get(), slot, dense.get(), grads.data(), grads.size(), e);
    });
  }
  Result update(std::size_t slot, Embedding &embedding, const EmbeddingGrads &grads) {
    return Result::of(
        [&](srnn_error *e) { srnn_optimizer_update_embedding(get(), slot, embedding.get(), grads.get(), e); });
  }
  Result update(std::size_t slot, FloatsOut values, Floats grads) {
    return Result::of([&](srnn_error *e) {
      srnn_optimizer_update(get(), slot, values.data(), values.size(), grads.data(), grads.size(), e);
    });
  }
};

}  // namespace simdrnn

#endif  // SIMDRNN_TRAINING_HPP
