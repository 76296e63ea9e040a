// The C API: checks, conversion, and exceptions to statuses; no logic.

#include <algorithm>
#include <cstring>
#include <new>

#include "arguments.h"
#include "errors.h"
#include "plan.h"
#include "stream.h"
#include "tasks.h"

struct echoes_model {
  echoes_model(echoes::Bundle bundle, echoes::OrtDevice device)
      : engine(std::move(bundle), std::move(device)) {}

  echoes::Engine engine;
};

namespace echoes {
namespace {

// The sizes of the structs as they were first released.
constexpr size_t kFirstModelOptions = sizeof(echoes_model_options);
constexpr size_t kFirstModelInfo = sizeof(echoes_model_info);
constexpr size_t kFirstGenerateOptions = sizeof(echoes_generate_options);

constexpr double kMaxContinuedS = 3600;
constexpr double kMaxStreamS = 24 * 3600;

// Not a string: setting it must not fail.
thread_local char last_error[1024] = "";

void set_last_error(const char *text) noexcept {
  size_t size = std::min(std::strlen(text), sizeof last_error - 1);
  // Not in the middle of a character of UTF-8.
  while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xC0) == 0x80) --size;
  std::memcpy(last_error, text, size);
  last_error[size] = '\0';
}

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

echoes_generate_options defaults_of(const Sampling &sampling) {
  echoes_generate_options options{};
  options.struct_size = sizeof options;
  options.steps = sampling.steps;
  options.guidance_schedule = static_cast<int32_t>(sampling.guidance_schedule);
  options.guidance_scale = sampling.guidance_scale;
  options.temperature = sampling.temperature;
  options.choice_temperature = sampling.choice_temperature;
  options.guidance_start = sampling.guidance_start;
  options.guidance_stop = sampling.guidance_stop;
  return options;
}

Sampling sampling_of(const echoes_generate_options &options, int max_steps) {
  if (options.steps < 1 || options.steps > max_steps) {
    throw InputError(sentence("steps must be in [1, ", max_steps, "], got ", options.steps));
  }
  if (options.guidance_schedule != ECHOES_GUIDANCE_CONSTANT &&
      options.guidance_schedule != ECHOES_GUIDANCE_ANNEALED) {
    throw InputError(sentence("guidance_schedule must be 0 (constant) or 1 (annealed), got ",
                              options.guidance_schedule));
  }
  Sampling sampling;
  sampling.steps = options.steps;
  sampling.guidance_schedule = static_cast<GuidanceSchedule>(options.guidance_schedule);
  sampling.guidance_scale = options.guidance_scale;
  sampling.temperature = options.temperature;
  sampling.choice_temperature = options.choice_temperature;
  sampling.guidance_start = options.guidance_start;
  sampling.guidance_stop = options.guidance_stop;
  try {
    check_sampling(sampling);
  } catch (const std::invalid_argument &error) {
    throw InputError(error.what());
  }
  return sampling;
}

// A call and where its tokens go.
struct Request {
  Call call;
  int32_t *tokens;

  void deliver_tokens(const Codes &made) const {
    if (tokens != nullptr) std::copy(made.begin(), made.end(), tokens);
  }
};

Request request_of(echoes_model &model, const echoes_generate_options *given) {
  const Manifest &manifest = model.engine.manifest();
  echoes_generate_options options = defaults_of(manifest.sampling);
  if (given != nullptr) {
    read_struct(given, given->struct_size, &options, sizeof options, kFirstGenerateOptions,
                "the generate options");
  }
  OnStep on_step;
  if (options.on_step != nullptr) {
    on_step = [options](int step, int steps) {
      return options.on_step(step, steps, options.user_data) != 0;
    };
  }
  const Sampling sampling = sampling_of(options, manifest.tokens.n_tokens());
  return {{model.engine, sampling, options.seed, on_step}, options.tokens};
}

size_t clip_size(const echoes_model &model) {
  return static_cast<size_t>(model.engine.manifest().mel.n_samples());
}

size_t picture_size(const echoes_model &model) {
  const ImageSpec &image = model.engine.manifest().image;
  return size_t{3} * static_cast<size_t>(image.width) * static_cast<size_t>(image.height);
}

// The codes of a picture that may be NULL.
class ImageCodes {
 public:
  ImageCodes(Engine &engine, const uint8_t *pixels, int32_t width, int32_t height)
      : is_given_(pixels != nullptr) {
    if (is_given_) codes_ = engine.encode_image(checked_picture(pixels, width, height));
  }
  const Codes *get() const { return is_given_ ? &codes_ : nullptr; }

 private:
  bool is_given_;
  Codes codes_;
};

echoes_model_info info_of(const echoes_model &model) {
  const Manifest &manifest = model.engine.manifest();
  const OrtDevice &device = model.engine.device();
  echoes_model_info info{};
  info.name = manifest.name.c_str();
  info.license = manifest.license.c_str();
  info.device = device.name.c_str();
  info.device_reason = device.reason.c_str();
  info.onnxruntime_version = device.library->version().c_str();
  info.image_width = manifest.image.width;
  info.image_height = manifest.image.height;
  info.sample_rate = manifest.mel.sample_rate;
  info.num_samples = manifest.mel.n_samples();
  info.image_columns = manifest.tokens.image.width;
  info.image_rows = manifest.tokens.image.height;
  info.audio_columns = manifest.tokens.audio.width;
  info.audio_rows = manifest.tokens.audio.height;
  info.image_codebook_size = manifest.tokens.image.codebook_size;
  info.audio_codebook_size = manifest.tokens.audio.codebook_size;
  info.mask_token_id = manifest.tokens.mask_token_id();
  info.num_tokens = manifest.tokens.n_tokens();
  info.can_make_images = manifest.has_graph("image_decoder");
  info.can_read_audio = manifest.has_graph("mel_encoder");
  return info;
}

void mask_audio(const Manifest &manifest, double start_s, double stop_s, uint8_t *mask) {
  const MelSpec &mel = manifest.mel;
  const Grid &grid = manifest.tokens.audio;
  const double clip_s = static_cast<double>(mel.n_samples()) / mel.sample_rate;
  if (!(0 <= start_s && start_s < stop_s && stop_s <= clip_s + 1e-6)) {
    throw InputError(sentence("the part to mask must lie within the ", clip_s, " s of a clip, got ",
                              start_s, " s to ", stop_s, " s"));
  }
  for (int column = 0; column < grid.width; ++column) {
    const double from_s = clip_s * column / grid.width;
    const double to_s = clip_s * (column + 1) / grid.width;
    if (to_s <= start_s || from_s >= stop_s) continue;
    for (int row = 0; row < grid.height; ++row) {
      mask[manifest.tokens.image.n_tokens() + row * grid.width + column] = 1;
    }
  }
}

}  // namespace
}  // namespace echoes

using namespace echoes;

extern "C" {

const char *echoes_version(void) { return ECHOES_VERSION; }

const char *echoes_last_error(void) { return last_error; }

echoes_status echoes_model_create(const char *bundle_path, const echoes_model_options *options,
                                  echoes_model **model) {
  return guarded([&] {
    not_null(model, "model");
    *model = nullptr;
    not_null(bundle_path, "bundle_path");
    echoes_model_options known{};
    if (options != nullptr) {
      read_struct(options, options->struct_size, &known, sizeof known, kFirstModelOptions,
                  "the model options");
    }
    if (known.threads < 0 || known.threads > 1024) {
      throw InputError(sentence("threads must be in [0, 1024], got ", known.threads));
    }
    Bundle bundle = open_bundle(bundle_path);
    auto library = OrtLibrary::open(known.onnxruntime_path ? known.onnxruntime_path : "");
    OrtDevice device =
        choose_device(std::move(library), known.device ? known.device : "auto", known.threads);
    *model = new echoes_model(std::move(bundle), std::move(device));
  });
}

void echoes_model_destroy(echoes_model *model) { delete model; }

echoes_status echoes_model_get_info(const echoes_model *model, echoes_model_info *info) {
  return guarded([&] {
    const echoes_model_info known = info_of(not_null(model, "model"));
    write_struct(&known, sizeof known, info, not_null(info, "info").struct_size, kFirstModelInfo,
                 "the model info");
  });
}

echoes_status echoes_generate_options_init(const echoes_model *model,
                                           echoes_generate_options *options) {
  return guarded([&] {
    const auto known = defaults_of(not_null(model, "model").engine.manifest().sampling);
    write_struct(&known, sizeof known, options, not_null(options, "options").struct_size,
                 kFirstGenerateOptions, "the generate options");
  });
}

echoes_status echoes_image_to_audio(echoes_model *model, const uint8_t *pixels, int32_t width,
                                    int32_t height, const echoes_generate_options *options,
                                    float *samples, size_t *num_samples) {
  return guarded([&] {
    const size_t needed = clip_size(not_null(model, "model"));
    if (asks_for_size(samples, num_samples, needed, "samples")) return;
    const Request request = request_of(*model, options);
    const MadeSound made = image_to_audio(request.call, checked_picture(pixels, width, height));
    std::copy(made.samples.begin(), made.samples.end(), samples);
    request.deliver_tokens(made.tokens);
  });
}

echoes_status echoes_audio_to_image(echoes_model *model, const float *sound, size_t sound_size,
                                    const echoes_generate_options *options, uint8_t *pixels,
                                    size_t *num_bytes) {
  return guarded([&] {
    const size_t needed = picture_size(not_null(model, "model"));
    if (asks_for_size(pixels, num_bytes, needed, "pixels")) return;
    const Request request = request_of(*model, options);
    const MadePicture made = audio_to_image(request.call, checked_sound(sound, sound_size));
    std::copy(made.pixels.begin(), made.pixels.end(), pixels);
    request.deliver_tokens(made.tokens);
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
    const Request request = request_of(*model, options);
    const MadeBoth made = cogenerate(request.call);
    std::copy(made.samples.begin(), made.samples.end(), samples);
    std::copy(made.pixels.begin(), made.pixels.end(), pixels);
    request.deliver_tokens(made.tokens);
  });
}

echoes_status echoes_inpaint(echoes_model *model, const float *sound, size_t sound_size,
                             double start_s, double stop_s, const uint8_t *pixels, int32_t width,
                             int32_t height, const echoes_generate_options *options, float *samples,
                             size_t *num_samples) {
  return guarded([&] {
    Engine &engine = not_null(model, "model").engine;
    if (asks_for_size(samples, num_samples, sound_size, "samples")) return;
    const Request request = request_of(*model, options);
    const Sound checked = checked_sound(sound, sound_size);
    const ImageCodes image(engine, pixels, width, height);
    const MadeSound made = inpaint(request.call, checked, start_s, stop_s, image.get());
    std::copy(made.samples.begin(), made.samples.end(), samples);
    request.deliver_tokens(made.tokens);
  });
}

echoes_status echoes_continue(echoes_model *model, const float *sound, size_t sound_size,
                              double duration_s, const uint8_t *pixels, int32_t width,
                              int32_t height, const echoes_generate_options *options,
                              float *samples, size_t *num_samples) {
  return guarded([&] {
    Engine &engine = not_null(model, "model").engine;
    const int64_t more =
        checked_duration(duration_s, kMaxContinuedS, engine.manifest().mel.sample_rate);
    if (asks_for_size(samples, num_samples, sound_size + static_cast<size_t>(more), "samples")) {
      return;
    }
    const Request request = request_of(*model, options);
    const Sound checked = checked_sound(sound, sound_size);
    const ImageCodes image(engine, pixels, width, height);
    const MadeSound made = extend(request.call, checked, more, image.get());
    std::copy(made.samples.begin(), made.samples.end(), samples);
    request.deliver_tokens(made.tokens);
  });
}

echoes_status echoes_vary_audio(echoes_model *model, const float *sound, size_t sound_size,
                                double keep, const echoes_generate_options *options, float *samples,
                                size_t *num_samples) {
  return guarded([&] {
    const size_t needed = clip_size(not_null(model, "model"));
    if (asks_for_size(samples, num_samples, needed, "samples")) return;
    const Request request = request_of(*model, options);
    const MadeSound made = vary_audio(request.call, checked_sound(sound, sound_size), keep);
    std::copy(made.samples.begin(), made.samples.end(), samples);
    request.deliver_tokens(made.tokens);
  });
}

echoes_status echoes_vary_image(echoes_model *model, const uint8_t *pixels, int32_t width,
                                int32_t height, double keep, const echoes_generate_options *options,
                                uint8_t *varied, size_t *num_bytes) {
  return guarded([&] {
    const size_t needed = picture_size(not_null(model, "model"));
    if (asks_for_size(varied, num_bytes, needed, "varied")) return;
    const Request request = request_of(*model, options);
    const MadePicture made = vary_image(request.call, checked_picture(pixels, width, height), keep);
    std::copy(made.pixels.begin(), made.pixels.end(), varied);
    request.deliver_tokens(made.tokens);
  });
}

echoes_status echoes_stream(echoes_model *model, const uint8_t *pixels, int32_t width,
                            int32_t height, double duration_s,
                            const echoes_generate_options *options,
                            echoes_samples_callback on_samples, void *user_data) {
  return guarded([&] {
    Engine &engine = not_null(model, "model").engine;
    if (on_samples == nullptr) throw InputError("on_samples must not be NULL");
    const int64_t n_samples =
        checked_duration(duration_s, kMaxStreamS, engine.manifest().mel.sample_rate);
    const Request request = request_of(*model, options);
    const ImageCodes image(engine, pixels, width, height);
    request.deliver_tokens(stream(request.call, image.get(), n_samples, std::nullopt,
                                  [&](const float *samples, size_t size) {
                                    return on_samples(samples, size, user_data) != 0;
                                  }));
  });
}

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
