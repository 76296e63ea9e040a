#include "arguments.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace echoes {
namespace {

constexpr int64_t kMaxPixels = 100'000'000;

// No struct of ours is that large: a size beyond it was never set.
constexpr size_t kMaxStructSize = 4096;

void check_known(int32_t token, const Grid &grid) {
  if (token < 0 || token >= grid.codebook_size) {
    throw InputError(
        sentence("known tokens must be codes in [0, ", grid.codebook_size, "), got ", token));
  }
}

void check_struct_size(size_t struct_size, size_t first_size, const char *name) {
  if (struct_size < first_size || struct_size > kMaxStructSize) {
    throw InputError(sentence("struct_size of ", name, " must be sizeof, at least ", first_size,
                              ", got ", struct_size));
  }
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

Codes checked_codes(const int32_t *codes, size_t size, const Grid &grid) {
  not_null(codes, "codes");
  if (size != static_cast<size_t>(grid.n_tokens())) {
    throw InputError(sentence("there must be ", grid.n_tokens(), " codes, got ", size));
  }
  for (size_t i = 0; i < size; ++i) check_known(codes[i], grid);
  return Codes(codes, codes + size);
}

Question checked_question(const int32_t *tokens, const uint8_t *mask, size_t size,
                          const TokenLayout &layout) {
  not_null(tokens, "tokens");
  not_null(mask, "mask");
  if (size != static_cast<size_t>(layout.n_tokens())) {
    throw InputError(
        sentence("tokens and mask must have ", layout.n_tokens(), " elements, got ", size));
  }
  const auto n_image = static_cast<size_t>(layout.image.n_tokens());
  for (size_t i = 0; i < size; ++i) {
    if (mask[i] == 0) check_known(tokens[i], i < n_image ? layout.image : layout.audio);
  }
  return {Codes(tokens, tokens + size), std::vector<uint8_t>(mask, mask + size)};
}

int64_t checked_duration(double duration_s, double most_s, int sample_rate) {
  if (!(duration_s > 0 && duration_s <= most_s)) {
    throw InputError(sentence("duration must be in (0, ", most_s, "] seconds, got ", duration_s));
  }
  return std::max<int64_t>(1, static_cast<int64_t>(std::nearbyint(duration_s * sample_rate)));
}

void read_struct(const void *given, size_t struct_size, void *known, size_t known_size,
                 size_t first_size, const char *name) {
  check_struct_size(struct_size, first_size, name);
  const auto *bytes = static_cast<const uint8_t *>(given);
  if (struct_size > known_size &&
      std::any_of(bytes + known_size, bytes + struct_size, [](uint8_t byte) { return byte; })) {
    throw InputError(sentence(name, " uses a field that this version, ", echoes_version(),
                              ", does not know; leave it at 0 or update the library"));
  }
  std::memcpy(known, given, std::min(struct_size, known_size));
}

void write_struct(const void *known, size_t known_size, void *given, size_t struct_size,
                  size_t first_size, const char *name) {
  check_struct_size(struct_size, first_size, name);
  std::memset(given, 0, struct_size);
  std::memcpy(given, known, std::min(struct_size, known_size));
  std::memcpy(given, &struct_size, sizeof struct_size);  // its first field
}

}  // namespace echoes
