// What every function of the C API goes through: exceptions become statuses, options a Call.
#pragma once

#include <exception>
#include <new>

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

// The sizes of the struct as it was first released.
inline constexpr size_t kFirstGenerateOptions = sizeof(echoes_generate_options);

echoes_generate_options defaults_of(const Sampling &sampling);

// A call and where its codes go.
struct Request {
  Call call;
  int32_t *image_codes;
  int32_t *audio_codes;

  void deliver(const MadeSound &made, float *samples) const;
  void deliver(const MadePicture &made, uint8_t *pixels) const;
  void deliver_codes(Medium medium, const Codes &made) const;
};

// `given` may be null: the bundle's defaults. Throws InputError.
Request request_of(echoes_model &model, const echoes_generate_options *given);

// The codes of a picture that may be null.
class ImageCodes {
 public:
  ImageCodes(Model &model, const uint8_t *pixels, int32_t width, int32_t height);

  const Codes *get() const { return is_given_ ? &codes_ : nullptr; }

 private:
  bool is_given_;
  Codes codes_;
};

// Elements in a clip and in a generated picture.
size_t clip_size(const echoes_model &model);
size_t picture_size(const echoes_model &model);

}  // namespace echoes
