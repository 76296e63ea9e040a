// The log-mel spectrogram that docs/format.md defines.
#pragma once

#include <cstddef>
#include <vector>

#include "spec.h"

namespace echoes {

// Slaney's triangles of unit area: the weights of each filter from its first bin on.
struct MelFilter {
  size_t first_bin = 0;
  std::vector<float> weights;
};

std::vector<MelFilter> mel_filterbank(const MelSpec &spec);

// (n_mels, n_frames) in [-1, 1] of the first clip of a sound, padded with silence if shorter.
std::vector<float> clip_mel(const float *samples, size_t num_samples, const MelSpec &spec);

}  // namespace echoes
