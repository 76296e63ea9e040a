// The errors that a caller may meet, and the sentences they carry.
#pragma once

#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "echoes_rt/echoes_rt.h"

namespace echoes {

// Adds a part to a sentence; floating-point numbers have up to six digits.
inline void add(std::string &text, std::string_view part) { text += part; }
template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
void add(std::string &text, T number) {
  if constexpr (std::is_integral_v<T>) {
    text += std::to_string(number);
  } else {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%g", static_cast<double>(number));
    text += digits;
  }
}

template <typename... Parts>
std::string sentence(const Parts &...parts) {
  std::string text;
  (add(text, parts), ...);
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
