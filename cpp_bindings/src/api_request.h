// What every function of the C API goes through: exceptions become statuses, options a Call.
#pragma once

#include <exception>
#include <new>
#include <optional>

#include "arguments.h"
#include "tasks.h"
#include "echoes_rt/echoes_rt.h"
#include "errors.h"

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

echoes_generate_options defaults_of(const Sampling &sampling);

// `given` may be null: the bundle's defaults. Throws InputError.
Call call_of(echoes_model &model, const echoes_generate_options *given);

// The codes of a picture that may be null.
std::optional<Codes> codes_of(Model &model, const uint8_t *pixels, int32_t width, int32_t height);

// Elements in a clip and in a generated picture.
size_t clip_size(const echoes_model &model);
size_t picture_size(const echoes_model &model);

}  // namespace echoes
