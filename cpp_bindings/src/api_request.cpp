#include "api_request.h"

#include <algorithm>
#include <cstring>

#include "json.h"

namespace echoes {
namespace {

// Not a string: setting it must not fail.
thread_local char text_of_last_error[1024] = "";

void check_range(const char *name, double value, const char *dial) {
  const Range range = sampling_range(dial);
  if (!(range.low <= value && value <= range.high)) {  // also refuses NaN
    throw InputError(
        sentence(name, " must be in [", range.low, ", ", range.high, "], got ", value));
  }
}

Sampling sampling_of(const echoes_generate_options &options) {
  check_range("steps", options.steps, "steps");
  check_range("guidance_scale", options.guidance_scale, "guidance_scale");
  check_range("temperature", options.temperature, "temperature");
  check_range("guidance_start", options.guidance_start, "guidance_interval");
  check_range("guidance_stop", options.guidance_stop, "guidance_interval");
  if (options.guidance_start > options.guidance_stop) {
    throw InputError(sentence("guidance_start must not be above guidance_stop, got ",
                              options.guidance_start, ", ", options.guidance_stop));
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
  sampling.guidance_start = options.guidance_start;
  sampling.guidance_stop = options.guidance_stop;
  return sampling;
}

}  // namespace

void set_last_error(const char *text) noexcept {
  size_t size = std::min(std::strlen(text), sizeof text_of_last_error - 1);
  // Not in the middle of a character of UTF-8.
  while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xC0) == 0x80) --size;
  std::memcpy(text_of_last_error, text, size);
  text_of_last_error[size] = '\0';
  // It may quote a file of unknown origin, and will be shown by a terminal.
  for (size_t i = 0; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(text_of_last_error[i]);
    const auto next = static_cast<uint8_t>(text_of_last_error[i + 1]);
    if (byte < 0x20 || byte == 0x7F) text_of_last_error[i] = '?';
    if (byte == 0xC2 && next < 0xA0) text_of_last_error[i] = text_of_last_error[i + 1] = '?';
  }
}

const char *last_error() noexcept { return text_of_last_error; }

echoes_generate_options defaults_of(const Sampling &sampling) {
  echoes_generate_options options{};
  options.struct_size = sizeof options;
  options.steps = sampling.steps;
  options.guidance_schedule = static_cast<int32_t>(sampling.guidance_schedule);
  options.guidance_scale = sampling.guidance_scale;
  options.temperature = sampling.temperature;
  options.guidance_start = sampling.guidance_start;
  options.guidance_stop = sampling.guidance_stop;
  return options;
}

Call call_of(echoes_model &model, const echoes_generate_options *given) {
  const Manifest &manifest = model.manifest();
  echoes_generate_options options = defaults_of(manifest.sampling);
  if (given != nullptr) read_struct(given, &options, sizeof options, "the generate options");
  OnStep on_step;
  if (options.on_step != nullptr) {
    on_step = [options](int step, int steps) {
      return options.on_step(step, steps, options.user_data) != 0;
    };
  }
  const Sampling sampling = sampling_of(options);
  if (manifest.sampling.is_folded && sampling.guidance_scale != 1) {
    throw InputError(sentence("guidance_scale must be 1 where guidance is folded into the model, ",
                              "got ", sampling.guidance_scale, "; leave it as it is"));
  }
  return {model, sampling, options.seed, on_step, options.image_codes, options.audio_codes};
}

std::optional<Codes> codes_of(Model &model, const uint8_t *pixels, int32_t width, int32_t height) {
  if (pixels == nullptr) return std::nullopt;
  return model.encode_image(checked_picture(pixels, width, height));
}

size_t clip_size(const echoes_model &model) {
  return static_cast<size_t>(model.manifest().mel.n_samples());
}

size_t picture_size(const echoes_model &model) {
  const ImageSpec &image = model.manifest().image;
  return size_t{3} * static_cast<size_t>(image.width) * static_cast<size_t>(image.height);
}

}  // namespace echoes
