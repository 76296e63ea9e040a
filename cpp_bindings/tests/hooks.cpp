// Parts of the library as plain functions, for tests/cpp to compare with Python's.
#include <algorithm>

#include "image.h"
#include "mel.h"

extern "C" {

__attribute__((visibility("default"))) void hook_resize(const uint8_t *pixels, int width,
                                                        int height, int to_width, int to_height,
                                                        uint8_t *rgb) {
  echoes::ImageSpec spec;
  spec.width = to_width;
  spec.height = to_height;
  const auto resized = echoes::crop_and_resize({pixels, width, height}, spec);
  std::copy(resized.begin(), resized.end(), rgb);
}

// sizes: sample_rate, n_fft, win_length, hop_length, n_mels, n_frames.
__attribute__((visibility("default"))) void hook_mel(const float *samples, size_t num_samples,
                                                     const int *sizes, double f_min, double f_max,
                                                     float *mel) {
  const echoes::MelSpec spec{sizes[0], sizes[1], sizes[2], sizes[3],
                             sizes[4], sizes[5], f_min,    f_max};
  const auto values = echoes::clip_mel(samples, num_samples, spec);
  std::copy(values.begin(), values.end(), mel);
}

}  // extern "C"
