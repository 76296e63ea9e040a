// Parts of the library as plain functions, for tests/cpp to compare with Python's.
#include <algorithm>

#include "decode.h"
#include "spec.h"

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

__attribute__((visibility("default"))) void hook_num_masked(int n_tokens, int steps, int *kept) {
  const auto counts = echoes::num_masked(n_tokens, steps);
  std::copy(counts.begin(), counts.end(), kept);
}

}  // extern "C"
