// The C API: the steps behind the tasks.

#include <algorithm>

#include "api_guard.h"
#include "api_request.h"
#include "tasks.h"

using namespace echoes;

extern "C" {

echoes_status echoes_encode_image(echoes_model *model, const uint8_t *pixels, int32_t width,
                                  int32_t height, int32_t *codes, size_t *num_codes) {
  return guarded([&] {
    Engine &engine = not_null(model, "model").engine;
    const auto needed = static_cast<size_t>(engine.manifest().tokens.image.n_tokens());
    if (asks_for_size(codes, num_codes, needed, "codes")) return;
    const Codes made = engine.encode_image(checked_picture(pixels, width, height));
    std::copy(made.begin(), made.end(), codes);
  });
}

echoes_status echoes_encode_audio(echoes_model *model, const float *sound, size_t sound_size,
                                  int32_t *codes, size_t *num_codes) {
  return guarded([&] {
    Engine &engine = not_null(model, "model").engine;
    const auto needed = static_cast<size_t>(engine.manifest().tokens.audio.n_tokens());
    if (asks_for_size(codes, num_codes, needed, "codes")) return;
    const Codes made = engine.encode_audio(checked_sound(sound, sound_size));
    std::copy(made.begin(), made.end(), codes);
  });
}

echoes_status echoes_decode_tokens(echoes_model *model, int32_t *tokens, const uint8_t *mask,
                                   size_t num_tokens, const echoes_generate_options *options) {
  return guarded([&] {
    const TokenLayout &layout = not_null(model, "model").engine.manifest().tokens;
    const Request request = request_of(*model, options);
    const Codes made = request.call.decode(checked_question(tokens, mask, num_tokens, layout));
    std::copy(made.begin(), made.end(), tokens);
    request.deliver_tokens(made);
  });
}

echoes_status echoes_decode_image(echoes_model *model, const int32_t *codes, size_t num_codes,
                                  uint8_t *pixels, size_t *num_bytes) {
  return guarded([&] {
    Engine &engine = not_null(model, "model").engine;
    if (asks_for_size(pixels, num_bytes, picture_size(*model), "pixels")) return;
    const auto made =
        engine.decode_image(checked_codes(codes, num_codes, engine.manifest().tokens.image));
    std::copy(made.begin(), made.end(), pixels);
  });
}

echoes_status echoes_decode_audio(echoes_model *model, const int32_t *codes, size_t num_codes,
                                  float *samples, size_t *num_samples) {
  return guarded([&] {
    Engine &engine = not_null(model, "model").engine;
    if (asks_for_size(samples, num_samples, clip_size(*model), "samples")) return;
    const Samples made =
        engine.decode_audio(checked_codes(codes, num_codes, engine.manifest().tokens.audio));
    std::copy(made.begin(), made.end(), samples);
  });
}

echoes_status echoes_mask_audio(const echoes_model *model, double start_s, double stop_s,
                                uint8_t *mask, size_t num_tokens) {
  return guarded([&] {
    const Manifest &manifest = not_null(model, "model").engine.manifest();
    not_null(mask, "mask");
    if (num_tokens != static_cast<size_t>(manifest.tokens.n_tokens())) {
      throw InputError(
          sentence("mask must have ", manifest.tokens.n_tokens(), " elements, got ", num_tokens));
    }
    mask_audio(manifest, start_s, stop_s, mask);
  });
}

}  // extern "C"
