// Checks of what a caller of the C API gives; each throws InputError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tasks.h"
#include "echoes_rt/echoes_rt.h"
#include "errors.h"

namespace echoes {

template <typename T>
T &not_null(T *pointer, const char *name) {
  if (pointer == nullptr) throw InputError(sentence(name, " must not be NULL"));
  return *pointer;
}

Picture checked_picture(const uint8_t *pixels, int32_t width, int32_t height);
Sound checked_sound(const float *samples, size_t size);
// `name` is what the caller calls the codes, all of which must be known.
Codes checked_codes(const int32_t *codes, size_t size, const Grid &grid, const char *name);
// The same, but that some may be mask tokens.
Codes checked_tokens(const int32_t *tokens, size_t size, const Grid &grid, const char *name);
Medium checked_medium(int32_t medium);
// The number of samples in (0, most_s] seconds, at least 1.
int64_t checked_duration(double duration_s, double most_s, int sample_rate);

// A copy of as much of a versioned struct as both sides know; `known` holds the defaults.
void read_struct(const void *given, void *known, size_t known_size, const char *name);
// The other way round; what only the caller knows becomes 0.
void write_struct(const void *known, size_t known_size, void *given, const char *name);

// Whether the caller only asks for the size; throws if a buffer is given that is too small.
template <typename T>
bool asks_for_size(const T *buffer, size_t *size, size_t needed, const char *name) {
  const size_t held = not_null(size, "the pointer to a buffer's size");
  *size = needed;
  if (buffer != nullptr && held < needed) {
    throw InputError(sentence(name, " must hold ", needed, " elements, got room for ", held));
  }
  return buffer == nullptr;
}

}  // namespace echoes
