// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What the classes are made of: results, views of arrays, owners of handles, pools. A part of simdrnn.hpp.

#ifndef SIMDRNN_CORE_HPP
#define SIMDRNN_CORE_HPP

#include "../simdrnn.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace simdrnn {

/// The version of the loaded library, such as "0.1.0".
inline const char *version() noexcept { return srnn_version(); }
/// The same as one number; SRNN_VERSION_NUMBER is that of the header.
inline std::uint32_t version_number() noexcept { return srnn_version_number(); }

/// What Result::or_throw throws.
class Error : public std::runtime_error {
 public:
  Error(srnn_status code, const char *message) : std::runtime_error(message), code_(code) {}
  srnn_status code() const noexcept { return code_; }

 private:
  srnn_status code_;
};

/// What a call returns: whether it succeeded, and if not, why.
class [[nodiscard]] Result {
 public:
  /// Calls `f`, which returns a status, with a place for the error.
  template <typename Function>
  static Result of(Function &&f) {
    Result status;
    static_cast<void>(std::forward<Function>(f)(&status.error_));  // the error has it too
    return status;
  }

  bool ok() const noexcept { return error_.status == SRNN_OK; }
  explicit operator bool() const noexcept { return ok(); }
  srnn_status code() const noexcept { return error_.status; }
  /// The status' name, such as "SRNN_ERROR_SHAPE_MISMATCH".
  const char *name() const noexcept { return srnn_status_string(error_.status); }
  /// What was found and what was expected; empty after a success.
  const char *message() const noexcept { return error_.message; }
#if defined(__cpp_exceptions)
  /// Throws an Error with the message, unless the call succeeded.
  void or_throw() const {
    if (!ok()) throw Error(code(), message());
  }
#endif

 private:
  Result() noexcept = default;
  srnn_error error_{};
};

namespace detail {

/// What data() of a container gives; void if it has none.
template <typename Container, typename = void>
struct Data {
  using Type = void;
};
template <typename Container>
struct Data<Container, std::void_t<decltype(std::declval<Container &>().data())>> {
  using Type = decltype(std::declval<Container &>().data());
};

template <typename Container, typename Value>
constexpr bool shows = std::is_convertible_v<typename Data<std::remove_reference_t<Container>>::Type, Value *>;

/// Whether a container, such as std::span, only shows memory of others: a constant one then shows the same, and there is
/// nothing to destroy.
template <typename Container>
constexpr bool is_view =
    std::is_same_v<typename Data<Container>::Type, typename Data<const Container>::Type> &&
    std::is_trivially_destructible_v<Container>;

template <typename Container>
constexpr bool outlives_its_views = std::is_lvalue_reference_v<Container> || is_view<std::remove_cv_t<Container>>;

}  // namespace detail

/// A pointer and a length, made from an array, or from anything with data() and size(), such as std::vector and std::span.
/// What owns its values has to live longer, so temporary ones are refused.
template <typename Value>
class View {
 public:
  constexpr View() noexcept = default;
  constexpr View(std::nullptr_t) noexcept {}
  constexpr View(Value *data, std::size_t size) noexcept : data_(data), size_(size) {}
  template <std::size_t Size>
  constexpr View(Value (&array)[Size]) noexcept : data_(array), size_(Size) {}
  template <std::size_t Size>
  View(Value (&&array)[Size]) = delete;
  template <typename Container,
            std::enable_if_t<detail::shows<Container, Value> && detail::outlives_its_views<Container>, int> = 0>
  constexpr View(Container &&container) noexcept : data_(container.data()), size_(container.size()) {}
  template <typename Container,
            std::enable_if_t<detail::shows<Container, Value> && !detail::outlives_its_views<Container>, int> = 0>
  View(Container &&container) = delete;

  constexpr Value *data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr Value *begin() const noexcept { return data_; }
  constexpr Value *end() const noexcept { return data_ + size_; }
  constexpr Value &operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  Value *data_ = nullptr;
  std::size_t size_ = 0;
};

using Floats = View<const float>;
using FloatsOut = View<float>;

/// Owner of a C handle. An empty one passes NULL, which calls refuse with SRNN_ERROR_NULL_POINTER.
template <typename Value, void (*destroy)(Value *)>
class Handle {
 public:
  Value *get() const noexcept { return handle_.get(); }
  explicit operator bool() const noexcept { return handle_ != nullptr; }
  /// Becomes the owner of a handle that a C function made.
  void adopt(Value *handle) noexcept { handle_.reset(handle); }

 protected:
  /// Takes what `create`, called with places for a handle and an error, makes.
  template <typename Function>
  Result take(Function &&create) {
    Value *made = nullptr;
    Result status = Result::of([&](srnn_error *e) { return create(&made, e); });
    if (made != nullptr) handle_.reset(made);  // a failed call makes nothing and keeps what there was
    return status;
  }

 private:
  struct Destroy {
    void operator()(Value *handle) const noexcept { destroy(handle); }
  };
  std::unique_ptr<Value, Destroy> handle_;
};

/// Whether this CPU runs an instruction set.
inline bool isa_is_available(srnn_isa isa) noexcept { return srnn_isa_is_available(isa) != 0; }
/// "scalar", "avx2", "avx512", "neon" or "unknown".
inline const char *isa_name(std::int32_t isa) noexcept { return srnn_isa_name(isa); }
/// Lowers the instruction set of handles that are made from now on.
inline Result isa_set_limit(srnn_isa isa) {
  return Result::of([&](srnn_error *e) { return srnn_isa_set_limit(isa, e); });
}
/// The instruction set of a new handle.
inline Result isa_choose(std::int32_t &isa) {
  return Result::of([&](srnn_error *e) { return srnn_isa_choose(&isa, e); });
}

class Pool : public Handle<srnn_pool, srnn_pool_destroy> {
 public:
  Result create(std::size_t threads = 0) {
    return take([&](srnn_pool **p, srnn_error *e) { return srnn_pool_create(threads, p, e); });
  }
  std::size_t thread_count() const noexcept { return srnn_pool_thread_count(get()); }
};

/// Calls `f(char *text, size_t text_size, size_t *text_len, srnn_error *)` twice: to measure a text, and to copy it.
template <typename Function>
Result read_text(std::string &text, Function &&f) {
  std::size_t size = 0;
  Result status = Result::of([&](srnn_error *e) { return f(nullptr, 0, &size, e); });
  if (!status.ok()) return status;
  std::string room(size + 1, '\0');
  status = Result::of([&](srnn_error *e) { return f(room.data(), room.size(), &size, e); });
  if (status.ok()) {
    room.resize(size);
    text = std::move(room);
  }
  return status;
}

}  // namespace simdrnn

#endif  // SIMDRNN_CORE_HPP
