#include "api_request.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "json.h"

namespace echoes {
namespace {

// Not a string: setting it must not fail.
thread_local char text_of_last_error[1024] = "";

void check_range(const char *name, double value, const char *dial) {
  const Range range = sampling_range(dial);
  if (!(range.low <= value && value <= range.high)) {  // also refuses NaN
    throw InputError(name, " must be in [", range.low, ", ", range.high, "], got ", value);
  }
}

void check_options(const Options &options) {
  check_range("steps", options.steps, "steps");
  check_range("guidance_scale", options.guidance_scale, "guidance_scale");
  check_range("temperature", options.temperature, "temperature");
  check_range("guidance_start", options.guidance_start, "guidance_interval");
  check_range("guidance_stop", options.guidance_stop, "guidance_interval");
  if (options.guidance_start > options.guidance_stop) {
    throw InputError("guidance_start must not be above guidance_stop, got ", options.guidance_start,
                     ", ", options.guidance_stop);
  }
  if (options.guidance_schedule != ECHOES_GUIDANCE_CONSTANT &&
      options.guidance_schedule != ECHOES_GUIDANCE_ANNEALED) {
    throw InputError("guidance_schedule must be 0 (constant) or 1 (annealed), got ",
                     options.guidance_schedule);
  }
}

constexpr int64_t kMaxPixels = 100'000'000;

// No struct of ours is that large: a size beyond it was never set.
constexpr size_t kMaxStructSize = 4096;

Codes checked_range(const int32_t *codes, size_t size, const Grid &grid, int32_t most,
                    const char *name) {
  not_null(codes, name);
  if (size != static_cast<size_t>(grid.n_tokens())) {
    throw InputError(name, " must have ", grid.n_tokens(), " elements, got ", size);
  }
  for (size_t i = 0; i < size; ++i) {
    if (codes[i] < 0 || codes[i] > most) {
      throw InputError(name, " must be codes in [0, ", most, "], got ", codes[i]);
    }
  }
  return Codes(codes, codes + size);
}

// The first field of every versioned struct. None has grown yet: less than all of it is an error.
size_t struct_size_of(const void *given, size_t known_size, const char *name) {
  size_t struct_size = 0;
  std::memcpy(&struct_size, given, sizeof struct_size);
  if (struct_size < known_size || struct_size > kMaxStructSize) {
    throw InputError("struct_size of ", name, " must be sizeof, at least ", known_size, ", got ",
                     struct_size);
  }
  return struct_size;
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

Picture checked_picture(const uint8_t *pixels, int32_t width, int32_t height) {
  not_null(pixels, "pixels");
  if (width < 1 || height < 1 || int64_t{width} * height > kMaxPixels) {
    throw InputError("a picture must have 1 to ", kMaxPixels, " pixels, got ", width, " x ",
                     height);
  }
  return {pixels, width, height};
}

Sound checked_sound(const float *samples, size_t size) {
  not_null(samples, "sound");
  if (size < 1 || size > PTRDIFF_MAX / sizeof(float)) {
    throw InputError("a sound must have at least 1 sample, got ", size);
  }
  const float *wrong =
      std::find_if_not(samples, samples + size, [](float sample) { return std::isfinite(sample); });
  if (wrong != samples + size) {
    throw InputError("samples of a sound must be finite numbers, sample ", wrong - samples, " is ",
                     *wrong);
  }
  return {samples, size};
}

Codes checked_codes(const int32_t *codes, size_t size, const Grid &grid, const char *name) {
  return checked_range(codes, size, grid, grid.codebook_size - 1, name);
}

Codes checked_tokens(const int32_t *tokens, size_t size, const Grid &grid, const char *name) {
  return checked_range(tokens, size, grid, grid.mask_token(), name);
}

Medium checked_medium(int32_t medium) {
  if (medium != ECHOES_IMAGE && medium != ECHOES_AUDIO) {
    throw InputError("target must be 0 (image) or 1 (audio), got ", medium);
  }
  return medium == ECHOES_IMAGE ? Medium::kImage : Medium::kAudio;
}

int64_t checked_duration(double duration_s, double most_s, int sample_rate) {
  if (!(duration_s > 0 && duration_s <= most_s)) {
    throw InputError("duration must be in (0, ", most_s, "] seconds, got ", duration_s);
  }
  return std::max<int64_t>(1, static_cast<int64_t>(std::nearbyint(duration_s * sample_rate)));
}

void read_struct(const void *given, void *known, size_t known_size, const char *name) {
  const size_t struct_size = struct_size_of(given, known_size, name);
  const auto *bytes = static_cast<const uint8_t *>(given);
  if (std::any_of(bytes + known_size, bytes + struct_size, [](uint8_t byte) { return byte; })) {
    throw InputError(name, " uses a field that this version, ", echoes_version(), ", does not ",
                     "know; leave it at 0 or update the library");
  }
  std::memcpy(known, given, known_size);
}

void write_struct(const void *known, size_t known_size, void *given, const char *name) {
  const size_t struct_size = struct_size_of(given, known_size, name);
  std::memset(given, 0, struct_size);
  std::memcpy(given, known, known_size);
  std::memcpy(given, &struct_size, sizeof struct_size);
}

Call call_of(echoes_model &model, const echoes_generate_options *given) {
  const Manifest &manifest = model.manifest();
  Options options = manifest.options;
  if (given != nullptr) read_struct(given, &options, sizeof options, "the generate options");
  check_options(options);
  if (manifest.is_folded && options.guidance_scale != 1) {
    throw InputError("guidance_scale must be 1 where guidance is folded into the model, got ",
                     options.guidance_scale, "; leave it as it is");
  }
  return {model, options};
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
