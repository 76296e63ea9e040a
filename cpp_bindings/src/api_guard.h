// What every function of the C API goes through: exceptions become statuses.
#pragma once

#include <exception>
#include <new>

#include "echoes_rt/echoes_rt.h"
#include "errors.h"

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

}  // namespace echoes
