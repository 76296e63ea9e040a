// From what a caller of the C API gives to a Call.
#pragma once

#include "arguments.h"
#include "tasks.h"
#include "echoes_rt/echoes_rt.h"

struct echoes_model final : echoes::Model {
  using echoes::Model::Model;
};

namespace echoes {

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
