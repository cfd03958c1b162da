// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Weight files: named tensors. A part of simdrnn.hpp.

#ifndef SIMDRNN_FILES_HPP
#define SIMDRNN_FILES_HPP

#include "core.hpp"

namespace simdrnn {

class TensorFile : public Handle<srnn_tensor_file, srnn_tensor_file_destroy> {
 public:
  Result open(const char *path) {
    return take([&](srnn_tensor_file **f, srnn_error *e) { return srnn_tensor_file_open(path, f, e); });
  }
  /// A copy of a file's bytes; `name` is for error texts.
  Result from_memory(View<const std::uint8_t> bytes, const char *name) {
    return take([&](srnn_tensor_file **f, srnn_error *e) {
      return srnn_tensor_file_open_memory(bytes.data(), bytes.size(), name, f, e);
    });
  }
  static srnn_load_options options() noexcept {
    srnn_load_options o;
    srnn_load_options_init(&o);
    return o;
  }
  std::size_t count() const noexcept { return srnn_tensor_file_count(get()); }
  Result name(std::size_t index, std::string &name) const {
    return read_text(name, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      return srnn_tensor_file_name(get(), index, text, size, len, e);
    });
  }
  /// With an empty `shape` only `ndim` is written.
  Result shape(const char *name, View<std::size_t> shape, std::size_t &ndim) const {
    return Result::of(
        [&](srnn_error *e) { return srnn_tensor_file_shape(get(), name, shape.data(), shape.size(), &ndim, e); });
  }
  /// Strictly without `options`.
  Result read(const char *name, FloatsOut values, const srnn_load_options *options = nullptr) const {
    return Result::of(
        [&](srnn_error *e) { return srnn_tensor_file_read(get(), name, options, values.data(), values.size(), e); });
  }
  Result metadata(const char *key, std::string &value) const {
    return read_text(value, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      return srnn_tensor_file_metadata(get(), key, text, size, len, e);
    });
  }
};

class TensorWriter : public Handle<srnn_tensor_writer, srnn_tensor_writer_destroy> {
 public:
  Result create() { return take([](srnn_tensor_writer **w, srnn_error *e) { return srnn_tensor_writer_create(w, e); }); }
  Result add(const char *name, View<const std::size_t> shape, Floats values) {
    return Result::of([&](srnn_error *e) {
      return srnn_tensor_writer_add(get(), name, shape.data(), shape.size(), values.data(), values.size(), e);
    });
  }
  Result metadata(const char *key, const char *text) {
    return Result::of([&](srnn_error *e) { return srnn_tensor_writer_add_metadata(get(), key, text, e); });
  }
  static srnn_save_options options() noexcept {
    srnn_save_options o;
    srnn_save_options_init(&o);
    return o;
  }
  /// Strictly without `options`.
  Result save(const char *path, const srnn_save_options *options = nullptr) const {
    return Result::of([&](srnn_error *e) { return srnn_tensor_writer_save(get(), path, options, e); });
  }
};

}  // namespace simdrnn

#endif  // SIMDRNN_FILES_HPP
