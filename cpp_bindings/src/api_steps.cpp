// The C API: the steps behind the tasks.

#include <algorithm>

#include "api_request.h"
#include "tasks.h"

using namespace echoes;

extern "C" {

echoes_status echoes_encode_image(echoes_model *model, const uint8_t *pixels, int32_t width,
                                  int32_t height, int32_t *codes, size_t *num_codes) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    const auto needed = static_cast<size_t>(loaded.manifest().grids.image.n_tokens());
    if (asks_for_size(codes, num_codes, needed, "codes")) return;
    const Codes made = loaded.encode_image(checked_picture(pixels, width, height));
    std::copy(made.begin(), made.end(), codes);
  });
}

echoes_status echoes_confidence(echoes_model *model, const uint8_t *pixels, int32_t width,
                                int32_t height, float *confidence) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    not_null(confidence, "confidence");
    *confidence = loaded.confidence(loaded.encode_image(checked_picture(pixels, width, height)));
  });
}

echoes_status echoes_encode_audio(echoes_model *model, const float *sound, size_t sound_size,
                                  int32_t *codes, size_t *num_codes) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    const auto needed = static_cast<size_t>(loaded.manifest().grids.audio.n_tokens());
    if (asks_for_size(codes, num_codes, needed, "codes")) return;
    const Codes made = loaded.encode_audio(checked_sound(sound, sound_size));
    std::copy(made.begin(), made.end(), codes);
  });
}

echoes_status echoes_decode_tokens(echoes_model *model, int32_t target, int32_t *tokens,
                                   size_t num_tokens, const int32_t *context, size_t num_context,
                                   const echoes_generate_options *options) {
  return guarded([&] {
    const Grids &grids = not_null(model, "model").manifest().grids;
    const Medium medium = checked_medium(target);
    const Request request = request_of(*model, options);
    const Codes asked = checked_tokens(tokens, num_tokens, grids.of(medium), "tokens");
    const bool has_context = context != nullptr || num_context > 0;
    Codes known;
    if (has_context) {
      known = checked_codes(context, num_context, grids.of(other(medium)), "context");
    }
    const Codes made = request.call.decode(medium, asked, has_context ? &known : nullptr);
    std::copy(made.begin(), made.end(), tokens);
    request.deliver_codes(medium, made);
  });
}

echoes_status echoes_decode_image(echoes_model *model, const int32_t *codes, size_t num_codes,
                                  uint8_t *pixels, size_t *num_bytes) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    if (asks_for_size(pixels, num_bytes, picture_size(*model), "pixels")) return;
    const auto made = loaded.decode_image(
        checked_codes(codes, num_codes, loaded.manifest().grids.image, "codes"));
    std::copy(made.begin(), made.end(), pixels);
  });
}

echoes_status echoes_decode_audio(echoes_model *model, const int32_t *codes, size_t num_codes,
                                  uint64_t seed, float *samples, size_t *num_samples) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    if (asks_for_size(samples, num_samples, clip_size(*model), "samples")) return;
    const Samples made = loaded.decode_audio(
        checked_codes(codes, num_codes, loaded.manifest().grids.audio, "codes"), {seed});
    std::copy(made.begin(), made.end(), samples);
  });
}

echoes_status echoes_mask_audio(const echoes_model *model, double start_s, double stop_s,
                                int32_t *codes, size_t num_codes) {
  return guarded([&] {
    const Manifest &manifest = not_null(model, "model").manifest();
    checked_tokens(codes, num_codes, manifest.grids.audio, "codes");
    mask_audio(manifest, start_s, stop_s, codes);
  });
}

}  // extern "C"
