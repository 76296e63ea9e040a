#include "tasks.h"

#include <algorithm>

#include "errors.h"

namespace echoes {
namespace {

// Chooses which codes stay; no window gets that far.
constexpr uint64_t kVaryStream = UINT64_MAX;

}  // namespace

Codes Call::unknown(Medium target) const {
  const Grid &grid = manifest().grids.of(target);
  return Codes(static_cast<size_t>(grid.n_tokens()), grid.mask_token());
}

Codes Call::decode(Medium target, const Codes &tokens, const Codes *context,
                   uint64_t window) const {
  return model.decode_tokens(target, tokens, context, options, window);
}

Codes Call::thinned(Medium medium, Codes codes, double keep) const {
  if (!(keep >= 0 && keep <= 1)) throw InputError("keep must be in [0, 1], got ", keep);
  const std::vector<float> chances = uniforms(options.seed, kVaryStream, codes.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    if (chances[i] >= static_cast<float>(keep)) codes[i] = manifest().grids.of(medium).mask_token();
  }
  return codes;
}

void Call::tell(Medium medium, const Codes &made) const {
  int32_t *codes = medium == Medium::kImage ? options.image_codes : options.audio_codes;
  if (codes != nullptr) std::copy(made.begin(), made.end(), codes);
}

void Call::put_sound(const Codes &codes, float *samples) const {
  const Samples made = model.decode_audio(codes, options.seed);
  std::copy(made.begin(), made.end(), samples);
  tell(Medium::kAudio, codes);
}

void Call::put_picture(const Codes &codes, uint8_t *pixels) const {
  const std::vector<uint8_t> made = model.decode_image(codes);
  std::copy(made.begin(), made.end(), pixels);
  tell(Medium::kImage, codes);
}

}  // namespace echoes
