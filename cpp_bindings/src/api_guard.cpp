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
}

const char *last_error() noexcept { return text_of_last_error; }

}  // namespace echoes
