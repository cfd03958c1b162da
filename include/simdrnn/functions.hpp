// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Functions on arrays: softmax, activations, dropout, losses, clipping. A part of simdrnn.hpp.

#ifndef SIMDRNN_FUNCTIONS_HPP
#define SIMDRNN_FUNCTIONS_HPP

#include "core.hpp"

#include <vector>

namespace simdrnn {

/// Softmax of every row of `cols` values.
inline Result softmax(std::size_t cols, Floats x, FloatsOut y) {
  return Result::of([&](srnn_error *e) { return srnn_softmax(cols, x.data(), x.size(), y.data(), y.size(), e); });
}
/// Its logarithm.
inline Result log_softmax(std::size_t cols, Floats x, FloatsOut y) {
  return Result::of([&](srnn_error *e) { return srnn_log_softmax(cols, x.data(), x.size(), y.data(), y.size(), e); });
}
/// The logistic function, in place.
inline Result sigmoid(FloatsOut x) {
  return Result::of([&](srnn_error *e) { return srnn_sigmoid(x.data(), x.size(), e); });
}
/// The hyperbolic tangent, in place.
inline Result tanh(FloatsOut x) {
  return Result::of([&](srnn_error *e) { return srnn_tanh(x.data(), x.size(), e); });
}
/// max(x, 0), in place.
inline Result relu(FloatsOut x) {
  return Result::of([&](srnn_error *e) { return srnn_relu(x.data(), x.size(), e); });
}
/// Backward: `d`, the gradient of the results `y`, becomes that of the inputs.
inline Result sigmoid_backward(Floats y, FloatsOut d) {
  return Result::of([&](srnn_error *e) { return srnn_sigmoid_backward(y.data(), y.size(), d.data(), d.size(), e); });
}
inline Result tanh_backward(Floats y, FloatsOut d) {
  return Result::of([&](srnn_error *e) { return srnn_tanh_backward(y.data(), y.size(), d.data(), d.size(), e); });
}
inline Result relu_backward(Floats y, FloatsOut d) {
  return Result::of([&](srnn_error *e) { return srnn_relu_backward(y.data(), y.size(), d.data(), d.size(), e); });
}
/// Dropout in place; the same call on a gradient is its backward.
inline Result dropout(double p, std::uint64_t seed, std::uint64_t offset, FloatsOut x) {
  return Result::of([&](srnn_error *e) { return srnn_dropout(p, seed, offset, x.data(), x.size(), e); });
}

/// PyTorch's defaults of a loss. What `weight` points to must outlive the options; the classes below own theirs.
inline srnn_loss_options loss_options() noexcept {
  srnn_loss_options o;
  srnn_loss_options_init(&o);
  return o;
}

/// Softmax cross-entropy over class indices; see srnn_cross_entropy.
struct CrossEntropy {
  std::vector<float> weight;  ///< One a class; empty for none.
  std::int64_t ignore_index = loss_options().ignore_index;
  srnn_reduction reduction = SRNN_REDUCTION_MEAN;

  /// Writes the loss and, unless it is empty, its gradient by the logits.
  Result evaluate(std::size_t classes, Floats logits, View<const std::int64_t> targets, double &loss,
                  FloatsOut dlogits = {}) const {
    srnn_loss_options o = loss_options();
    o.reduction = reduction;
    o.ignore_index = ignore_index;
    o.weight = weight.empty() ? nullptr : weight.data();
    o.weight_len = weight.size();
    return Result::of([&](srnn_error *e) {
      return srnn_cross_entropy(&o, classes, logits.data(), logits.size(), targets.data(), targets.size(), &loss,
                         dlogits.data(), dlogits.size(), e);
    });
  }
};

/// Sigmoid binary cross-entropy on logits; see srnn_bce_with_logits.
struct BceWithLogits {
  std::vector<float> pos_weight;  ///< One a class; empty for none.
  srnn_reduction reduction = SRNN_REDUCTION_MEAN;

  Result evaluate(std::size_t classes, Floats logits, Floats targets, double &loss, FloatsOut dlogits = {}) const {
    srnn_loss_options o = loss_options();
    o.reduction = reduction;
    o.weight = pos_weight.empty() ? nullptr : pos_weight.data();
    o.weight_len = pos_weight.size();
    return Result::of([&](srnn_error *e) {
      return srnn_bce_with_logits(&o, classes, logits.data(), logits.size(), targets.data(), targets.size(), &loss,
                           dlogits.data(), dlogits.size(), e);
    });
  }
};

/// Mean squared error; see srnn_mse_loss.
struct MseLoss {
  srnn_reduction reduction = SRNN_REDUCTION_MEAN;

  Result evaluate(Floats prediction, Floats target, double &loss, FloatsOut dprediction = {}) const {
    srnn_loss_options o = loss_options();
    o.reduction = reduction;
    return Result::of([&](srnn_error *e) {
      return srnn_mse_loss(&o, prediction.data(), prediction.size(), target.data(), target.size(), &loss, dprediction.data(),
                    dprediction.size(), e);
    });
  }
};

namespace detail {

/// Views as C takes them. May throw std::bad_alloc.
template <typename Value>
struct Pieces {
  explicit Pieces(View<const View<Value>> views) {
    for (const View<Value> &view : views) {
      data.push_back(view.data());
      sizes.push_back(view.size());
    }
  }
  std::vector<Value *> data;
  std::vector<std::size_t> sizes;
};

}  // namespace detail

/// The L2 norm of several gradients together.
inline Result grad_norm(View<const Floats> grads, double &norm) {
  const detail::Pieces<const float> pieces(grads);
  return Result::of(
      [&](srnn_error *e) { return srnn_grad_norm(pieces.data.data(), pieces.sizes.data(), grads.size(), &norm, e); });
}
/// Scales several gradients together to a norm of at most `max_norm`; `norm` receives the one from before. One that is not
/// finite is an error, if `error_if_nonfinite` says so.
inline Result clip_grad_norm(View<const FloatsOut> grads, double max_norm, double *norm = nullptr,
                             bool error_if_nonfinite = true) {
  const detail::Pieces<float> pieces(grads);
  return Result::of([&](srnn_error *e) {
    return srnn_clip_grad_norm(pieces.data.data(), pieces.sizes.data(), grads.size(), max_norm, error_if_nonfinite, norm, e);
  });
}
/// Limits every value of several gradients.
inline Result clip_grad_value(View<const FloatsOut> grads, float clip_value) {
  const detail::Pieces<float> pieces(grads);
  return Result::of([&](srnn_error *e) {
    return srnn_clip_grad_value(pieces.data.data(), pieces.sizes.data(), grads.size(), clip_value, e);
  });
}

}  // namespace simdrnn

#endif  // SIMDRNN_FUNCTIONS_HPP
