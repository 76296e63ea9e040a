#include "api_guard.h"

#include <algorithm>
#include <cstring>

namespace echoes {
namespace {

// Not a string: setting it must not fail.
thread_local char text_of_last_error[1024] = "";

}  // namespace

void set_last_error(const char *text) noexcept {
  size_t size = std::min(std::strlen(text), sizeof text_of_last_error - 1);
  // Not in the middle of a character of UTF-8.
  while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xC0) == 0x80) --size;
  std::memcpy(text_of_last_error, text, size);
  text_of_last_error[size] = '\0';
  // It may quote a file of unknown origin, and will be shown by a terminal.
  for (size_t i = 0; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(text_of_last_error[i]);
    const auto next = static_cast<uint8_t>(text_of_last_error[i + 1]);
    if (byte < 0x20 || byte == 0x7F) text_of_last_error[i] = '?';
    if (byte == 0xC2 && next < 0xA0) text_of_last_error[i] = text_of_last_error[i + 1] = '?';
  }
}

const char *last_error() noexcept { return text_of_last_error; }

}  // namespace echoes
