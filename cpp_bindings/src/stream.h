// Sound of any length: windows slide over the token columns, each knows the last one's end.
#pragma once

#include <functional>
#include <optional>

#include "call.h"

namespace echoes {

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
