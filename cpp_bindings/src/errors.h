// The errors that a caller may meet, and the sentences they carry.
#pragma once

#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "echoes_rt/echoes_rt.h"

namespace echoes {

// Text of a part of a sentence; floating-point numbers have up to six digits.
template <typename T>
std::string part(const T &value) {
  if constexpr (std::is_floating_point_v<T>) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", static_cast<double>(value));
    return text;
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(value);
  } else {
    return std::string(value);
  }
}

template <typename... Parts>
std::string sentence(const Parts &...parts) {
  std::string text;
  ((text += part(parts)), ...);
  return text;
}

// Carries the status that the C API gives for it.
class Error : public std::runtime_error {
 public:
  Error(echoes_status status, const std::string &sentence)
      : std::runtime_error(sentence), status_(status) {}
  echoes_status status() const { return status_; }

 private:
  echoes_status status_;
};

// Its sentence comes in parts.
template <echoes_status kStatus>
struct ErrorOf : Error {
  template <typename... Parts>
  explicit ErrorOf(const Parts &...parts) : Error(kStatus, sentence(parts...)) {}
};

using InputError = ErrorOf<ECHOES_ERROR_INPUT>;
using BundleError = ErrorOf<ECHOES_ERROR_BUNDLE>;
using BackendError = ErrorOf<ECHOES_ERROR_BACKEND>;
using CancelledError = ErrorOf<ECHOES_ERROR_CANCELLED>;

// A manifest breaks the rules of docs/format.md.
struct ManifestError : BundleError {
  using BundleError::BundleError;
};

}  // namespace echoes
