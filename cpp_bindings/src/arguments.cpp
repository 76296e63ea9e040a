#include "arguments.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace echoes {
namespace {

constexpr int64_t kMaxPixels = 100'000'000;

// No struct of ours is that large: a size beyond it was never set.
constexpr size_t kMaxStructSize = 4096;

Codes checked_range(const int32_t *codes, size_t size, const Grid &grid, int32_t most,
                    const char *name) {
  not_null(codes, name);
  if (size != static_cast<size_t>(grid.n_tokens())) {
    throw InputError(sentence(name, " must have ", grid.n_tokens(), " elements, got ", size));
  }
  for (size_t i = 0; i < size; ++i) {
    if (codes[i] < 0 || codes[i] > most) {
      throw InputError(sentence(name, " must be codes in [0, ", most, "], got ", codes[i]));
    }
  }
  return Codes(codes, codes + size);
}

// The first field of every versioned struct. None has grown yet: less than all of it is an error.
size_t struct_size_of(const void *given, size_t known_size, const char *name) {
  size_t struct_size = 0;
  std::memcpy(&struct_size, given, sizeof struct_size);
  if (struct_size < known_size || struct_size > kMaxStructSize) {
    throw InputError(sentence("struct_size of ", name, " must be sizeof, at least ", known_size,
                              ", got ", struct_size));
  }
  return struct_size;
}

}  // namespace

Picture checked_picture(const uint8_t *pixels, int32_t width, int32_t height) {
  not_null(pixels, "pixels");
  if (width < 1 || height < 1 || int64_t{width} * height > kMaxPixels) {
    throw InputError(
        sentence("a picture must have 1 to ", kMaxPixels, " pixels, got ", width, " x ", height));
  }
  return {pixels, width, height};
}

Sound checked_sound(const float *samples, size_t size) {
  not_null(samples, "sound");
  if (size < 1 || size > PTRDIFF_MAX / sizeof(float)) {
    throw InputError(sentence("a sound must have at least 1 sample, got ", size));
  }
  const float *wrong =
      std::find_if_not(samples, samples + size, [](float sample) { return std::isfinite(sample); });
  if (wrong != samples + size) {
    throw InputError(sentence("samples of a sound must be finite numbers, sample ", wrong - samples,
                              " is ", *wrong));
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
    throw InputError(sentence("target must be 0 (image) or 1 (audio), got ", medium));
  }
  return medium == ECHOES_IMAGE ? Medium::kImage : Medium::kAudio;
}

int64_t checked_duration(double duration_s, double most_s, int sample_rate) {
  if (!(duration_s > 0 && duration_s <= most_s)) {
    throw InputError(sentence("duration must be in (0, ", most_s, "] seconds, got ", duration_s));
  }
  return std::max<int64_t>(1, static_cast<int64_t>(std::nearbyint(duration_s * sample_rate)));
}

void read_struct(const void *given, void *known, size_t known_size, const char *name) {
  const size_t struct_size = struct_size_of(given, known_size, name);
  const auto *bytes = static_cast<const uint8_t *>(given);
  if (std::any_of(bytes + known_size, bytes + struct_size, [](uint8_t byte) { return byte; })) {
    throw InputError(sentence(name, " uses a field that this version, ", echoes_version(),
                              ", does not know; leave it at 0 or update the library"));
  }
  std::memcpy(known, given, known_size);
}

void write_struct(const void *known, size_t known_size, void *given, const char *name) {
  const size_t struct_size = struct_size_of(given, known_size, name);
  std::memset(given, 0, struct_size);
  std::memcpy(given, known, known_size);
  std::memcpy(given, &struct_size, sizeof struct_size);
}

}  // namespace echoes
