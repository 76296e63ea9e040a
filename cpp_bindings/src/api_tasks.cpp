// The C API: tasks and the steps behind them.

#include <algorithm>

#include "api_request.h"
#include "tasks.h"

using namespace echoes;

namespace {

// Times that echoes_cogenerate draws the sound and then the picture of it.
constexpr uint64_t kDraws = 3;

constexpr double kMaxContinuedS = 3600;
constexpr double kMaxStreamS = 24 * 3600;

}  // namespace

extern "C" {

echoes_status echoes_image_to_audio(echoes_model *model, const uint8_t *pixels, int32_t width,
                                    int32_t height, const echoes_generate_options *options,
                                    float *samples, size_t *num_samples) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    if (asks_for_size(samples, num_samples, clip_size(*model), "samples")) return;
    const Call call = call_of(*model, options);
    const Codes image = loaded.encode_image(checked_picture(pixels, width, height));
    call.put_sound(call.decode(Medium::kAudio, call.unknown(Medium::kAudio), &image), samples);
  });
}

echoes_status echoes_audio_to_image(echoes_model *model, const float *sound, size_t sound_size,
                                    const echoes_generate_options *options, uint8_t *pixels,
                                    size_t *num_bytes) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    if (asks_for_size(pixels, num_bytes, picture_size(*model), "pixels")) return;
    const Call call = call_of(*model, options);
    const Codes audio = loaded.encode_audio(checked_sound(sound, sound_size));
    call.put_picture(call.decode(Medium::kImage, call.unknown(Medium::kImage), &audio), pixels);
  });
}

echoes_status echoes_cogenerate(echoes_model *model, const echoes_generate_options *options,
                                uint8_t *pixels, size_t *num_bytes, float *samples,
                                size_t *num_samples) {
  return guarded([&] {
    const size_t picture_needed = picture_size(not_null(model, "model"));
    if ((pixels == nullptr) != (samples == nullptr)) {
      throw InputError("pixels and samples must both be NULL or both be buffers");
    }
    not_null(num_bytes, "num_bytes");
    bool is_question = asks_for_size(samples, num_samples, clip_size(*model), "samples");
    is_question |= asks_for_size(pixels, num_bytes, picture_needed, "pixels");
    if (is_question) return;
    const Call call = call_of(*model, options);
    Codes audio, image;
    for (uint64_t draw = 0; draw < kDraws; ++draw) {
      audio = call.decode(Medium::kAudio, call.unknown(Medium::kAudio),
                          draw == 0 ? nullptr : &image, 2 * draw);
      image = call.decode(Medium::kImage, call.unknown(Medium::kImage), &audio, 2 * draw + 1);
    }
    call.put_sound(audio, samples);
    call.put_picture(image, pixels);
  });
}

echoes_status echoes_inpaint(echoes_model *model, const float *sound, size_t sound_size,
                             double start_s, double stop_s, const uint8_t *pixels, int32_t width,
                             int32_t height, const echoes_generate_options *options, float *samples,
                             size_t *num_samples) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    if (asks_for_size(samples, num_samples, sound_size, "samples")) return;
    const Call call = call_of(*model, options);
    const Sound checked = checked_sound(sound, sound_size);
    const std::optional<Codes> image = codes_of(loaded, pixels, width, height);
    const Samples made = inpaint(call, checked, start_s, stop_s, image ? &*image : nullptr);
    std::copy(made.begin(), made.end(), samples);
  });
}

echoes_status echoes_continue(echoes_model *model, const float *sound, size_t sound_size,
                              double duration_s, const uint8_t *pixels, int32_t width,
                              int32_t height, const echoes_generate_options *options,
                              float *samples, size_t *num_samples) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    const int64_t more =
        checked_duration(duration_s, kMaxContinuedS, loaded.manifest().mel.sample_rate);
    const size_t needed = sound_size + static_cast<size_t>(more);
    if (asks_for_size(samples, num_samples, needed, "samples")) return;
    const Call call = call_of(*model, options);
    const Sound checked = checked_sound(sound, sound_size);
    const std::optional<Codes> image = codes_of(loaded, pixels, width, height);
    const Samples made = extend(call, checked, more, image ? &*image : nullptr);
    std::copy(made.begin(), made.end(), samples);
  });
}

echoes_status echoes_vary_audio(echoes_model *model, const float *sound, size_t sound_size,
                                double keep, const echoes_generate_options *options, float *samples,
                                size_t *num_samples) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    if (asks_for_size(samples, num_samples, clip_size(*model), "samples")) return;
    const Call call = call_of(*model, options);
    const Codes codes = loaded.encode_audio(checked_sound(sound, sound_size));
    const Codes kept = call.thinned(Medium::kAudio, codes, keep);
    call.put_sound(call.decode(Medium::kAudio, kept, nullptr), samples);
  });
}

echoes_status echoes_vary_image(echoes_model *model, const uint8_t *pixels, int32_t width,
                                int32_t height, double keep, const echoes_generate_options *options,
                                uint8_t *varied, size_t *num_bytes) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    if (asks_for_size(varied, num_bytes, picture_size(*model), "varied")) return;
    const Call call = call_of(*model, options);
    const Codes codes = loaded.encode_image(checked_picture(pixels, width, height));
    const Codes kept = call.thinned(Medium::kImage, codes, keep);
    call.put_picture(call.decode(Medium::kImage, kept, nullptr), varied);
  });
}

echoes_status echoes_stream(echoes_model *model, const uint8_t *pixels, int32_t width,
                            int32_t height, double duration_s,
                            const echoes_generate_options *options,
                            echoes_samples_callback on_samples, void *user_data) {
  return guarded([&] {
    Model &loaded = not_null(model, "model");
    if (on_samples == nullptr) throw InputError("on_samples must not be NULL");
    const int64_t n_samples =
        checked_duration(duration_s, kMaxStreamS, loaded.manifest().mel.sample_rate);
    const Call call = call_of(*model, options);
    const std::optional<Codes> image = codes_of(loaded, pixels, width, height);
    const OnSamples next = [&](const float *samples, size_t size) {
      return on_samples(samples, size, user_data) != 0;
    };
    stream(call, image ? &*image : nullptr, n_samples, {}, next);
  });
}

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
    const Call call = call_of(*model, options);
    const Codes asked = checked_tokens(tokens, num_tokens, grids.of(medium), "tokens");
    std::optional<Codes> known;
    if (context != nullptr || num_context > 0) {
      known = checked_codes(context, num_context, grids.of(other(medium)), "context");
    }
    const Codes made = call.decode(medium, asked, known ? &*known : nullptr);
    std::copy(made.begin(), made.end(), tokens);
    call.tell(medium, made);
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
        checked_codes(codes, num_codes, loaded.manifest().grids.audio, "codes"), seed);
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
