// What can be asked of a loaded bundle; every task is a question to Model::decode_tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "model.h"

namespace echoes {

// One call of a task: what was asked for besides the media.
struct Call {
  Model &model;
  Sampling sampling;
  uint64_t seed = 0;
  OnStep on_step;

  const Manifest &manifest() const { return model.manifest(); }

  // Tokens of a target of which nothing is known.
  Codes unknown(Medium target) const {
    const Grid &grid = manifest().grids.of(target);
    return Codes(static_cast<size_t>(grid.n_tokens()), grid.mask_token());
  }

  // Model::decode_tokens with this call's seed and sampling.
  Codes decode(Medium target, const Codes &tokens, const Codes *context,
               uint64_t window = 0) const {
    return model.decode_tokens(target, tokens, context, sampling, {seed, window}, on_step);
  }
};

struct MadeSound {
  Samples samples;
  Codes codes;
};

struct MadePicture {
  std::vector<uint8_t> pixels;
  Codes codes;
};

struct MadeBoth {
  MadeSound sound;
  MadePicture picture;
};

MadeSound image_to_audio(const Call &call, const Picture &picture);
MadePicture audio_to_image(const Call &call, const Sound &sound);
MadeBoth cogenerate(const Call &call);

// `image` may be null: nothing is known of what is to be heard. Throws InputError if the part does
// not lie within the sound or is too long to be filled in at once.
MadeSound inpaint(const Call &call, const Sound &sound, double start_s, double stop_s,
                  const Codes *image);

// Puts the mask token in the place of every audio code that sounds between two seconds of a clip.
// Throws InputError if the part does not lie within a clip.
void mask_audio(const Manifest &manifest, double start_s, double stop_s, int32_t *codes);

// `sound` and `n_samples` more; the codes are those of the last window.
MadeSound extend(const Call &call, const Sound &sound, int64_t n_samples, const Codes *image);

// Each code stays with the probability `keep`, by the call's seed.
MadeSound vary_audio(const Call &call, const Sound &sound, double keep);
MadePicture vary_image(const Call &call, const Picture &picture, double keep);

// Sound of any length: windows slide over the token columns, each knows the last one's end.

// What was heard before: the last columns' codes, (rows, columns), and their log-mel.
struct Past {
  Codes codes;
  int columns = 0;
  Mel mel;
};

// Gets the next samples; false cancels.
using OnSamples = std::function<bool(const float *samples, size_t size)>;

// How many columns a window knows from the one before: a third.
int overlap_columns(int n_columns);

// Throws BundleError if clips of this bundle cannot be continued.
void check_continuable(const Manifest &manifest);

// Gives out `n_samples` in [-1, 1]; memory does not grow with their number. `image` may be null.
// The codes of the last window come back.
Codes stream(const Call &call, const Codes *image, int64_t n_samples,
             const std::optional<Past> &past, const OnSamples &on_samples);

}  // namespace echoes
