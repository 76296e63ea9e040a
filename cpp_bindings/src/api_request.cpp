#include "api_request.h"

#include <algorithm>

#include "plan.h"

namespace echoes {
namespace {

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

}  // namespace

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

void Request::deliver_tokens(const Codes &made) const {
  if (tokens != nullptr) std::copy(made.begin(), made.end(), tokens);
}

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

ImageCodes::ImageCodes(Engine &engine, const uint8_t *pixels, int32_t width, int32_t height)
    : is_given_(pixels != nullptr) {
  if (is_given_) codes_ = engine.encode_image(checked_picture(pixels, width, height));
}

size_t clip_size(const echoes_model &model) {
  return static_cast<size_t>(model.engine.manifest().mel.n_samples());
}

size_t picture_size(const echoes_model &model) {
  const ImageSpec &image = model.engine.manifest().image;
  return size_t{3} * static_cast<size_t>(image.width) * static_cast<size_t>(image.height);
}

}  // namespace echoes
