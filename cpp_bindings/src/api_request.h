// What every function of the C API goes through: arguments are checked, options become a Call,
// exceptions statuses.
#pragma once

#include <exception>
#include <new>
#include <optional>

#include "echoes_rt/echoes_rt.h"
#include "errors.h"
#include "tasks.h"

struct echoes_model final : echoes::Model {
  using echoes::Model::Model;
};

namespace echoes {

// Of the calling thread; never fails.
void set_last_error(const char *text) noexcept;
const char *last_error() noexcept;

// Runs a call; no exception leaves it.
template <typename Body>
echoes_status guarded(Body &&body) noexcept {
  set_last_error("");
  try {
    body();
    return ECHOES_OK;
  } catch (const Error &error) {
    set_last_error(error.what());
    return error.status();
  } catch (const std::bad_alloc &) {
    set_last_error("out of memory");
  } catch (const std::exception &error) {
    set_last_error(error.what());
  } catch (...) {
    set_last_error("an unknown exception was thrown, perhaps by a callback");
  }
  return ECHOES_ERROR_INTERNAL;
}

// Checks of what a caller gives; each throws InputError.

template <typename T>
T &not_null(T *pointer, const char *name) {
  if (pointer == nullptr) throw InputError(name, " must not be NULL");
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
    throw InputError(name, " must hold ", needed, " elements, got room for ", held);
  }
  return buffer == nullptr;
}

// `given` may be null: the bundle's defaults. Throws InputError.
Call call_of(echoes_model &model, const echoes_generate_options *given);

// The codes of a picture that may be null.
std::optional<Codes> codes_of(Model &model, const uint8_t *pixels, int32_t width, int32_t height);

// Elements in a clip and in a generated picture.
size_t clip_size(const echoes_model &model);
size_t picture_size(const echoes_model &model);

}  // namespace echoes
