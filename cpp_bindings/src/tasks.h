// What can be asked of a loaded bundle; every task is a question to Model::decode_tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model.h"

namespace echoes {

// One call of a task: what was asked for besides the media.
struct Call {
  Model &model;
  const Options options;

  const Manifest &manifest() const { return model.manifest(); }
  // Tokens of a target of which nothing is known.
  Codes unknown(Medium target) const;
  // Model::decode_tokens with this call's options.
  Codes decode(Medium target, const Codes &tokens, const Codes *context, uint64_t window = 0) const;
  // Each code stays with the probability `keep`.
  Codes thinned(Medium medium, Codes codes, double keep) const;
  // Tells the codes of what was made, if the caller wants them.
  void tell(Medium medium, const Codes &made) const;
  // Decodes codes to where the caller wants a clip or a picture, and tells them.
  void put_sound(const Codes &codes, float *samples) const;
  void put_picture(const Codes &codes, uint8_t *pixels) const;
};

// `image` may be null: nothing is known of what is to be heard. Throws InputError if the part does
// not lie within the sound or is too long to be filled in at once.
Samples inpaint(const Call &call, const Sound &sound, double start_s, double stop_s,
                const Codes *image);

// Puts the mask token in the place of every audio code that sounds between two seconds of a clip.
// Throws InputError if the part does not lie within a clip.
void mask_audio(const Manifest &manifest, double start_s, double stop_s, int32_t *codes);

// `sound` and `n_samples` more; the codes are those of the last window.
Samples extend(const Call &call, const Sound &sound, int64_t n_samples, const Codes *image);

// Sound of any length: windows slide over the token columns, each knows the last one's end.

// What was heard before: the last columns' codes, (rows, columns), and their log-mel.
struct Past {
  Codes codes;
  Mel mel;
};

// Gets the next samples; false cancels.
using OnSamples = std::function<bool(const float *samples, size_t size)>;

// How many columns a window knows from the one before: a third.
int overlap_columns(int n_columns);

// Throws BundleError if clips of this bundle cannot be continued.
void check_continuable(const Manifest &manifest);

// Gives out `n_samples` in [-1, 1]; memory does not grow with their number. `image` may be null.
// The codes of the last window are told.
void stream(const Call &call, const Codes *image, int64_t n_samples, const Past &past,
            const OnSamples &on_samples);

// Columns [from, to) of a row-major matrix.
template <typename T>
std::vector<T> columns_of(const std::vector<T> &matrix, int rows, int from, int to) {
  std::vector<T> columns;
  const auto width = static_cast<std::ptrdiff_t>(matrix.size()) / rows;
  for (auto row = matrix.begin(); row != matrix.end(); row += width) {
    columns.insert(columns.end(), row + from, row + to);
  }
  return columns;
}

// Two row-major matrices; either may have no columns.
template <typename T>
std::vector<T> side_by_side(const std::vector<T> &left, const std::vector<T> &right, int rows) {
  std::vector<T> joined;
  for (int row = 0; row < rows; ++row) {
    for (const std::vector<T> *part : {&left, &right}) {
      const auto width = static_cast<std::ptrdiff_t>(part->size()) / rows;
      const auto begin = part->begin() + row * width;
      joined.insert(joined.end(), begin, begin + width);
    }
  }
  return joined;
}

}  // namespace echoes
