// From pixels to what the image codec reads, and back.
#pragma once

#include <cstdint>
#include <vector>

#include "spec.h"

namespace echoes {

// RGB, 8 bits, height x width x 3 without padding; not owned.
struct Picture {
  const uint8_t *pixels = nullptr;
  int width = 0;
  int height = 0;
};

// The largest centred crop with the spec's aspect ratio, resized to height x width x 3. The same
// bytes as OpenCV's INTER_AREA for shrinking and INTER_LINEAR otherwise, which the Python runtime
// and training use: another average would give other codes.
std::vector<uint8_t> crop_and_resize(const Picture &picture, const ImageSpec &spec);

// (H, W, 3) bytes to (3, H, W) floats: (x / 255 - mean) / std.
std::vector<float> normalise(const std::vector<uint8_t> &rgb, const ImageSpec &spec);

// The inverse: (3, H, W) floats to (H, W, 3) bytes. NaN becomes 0.
std::vector<uint8_t> to_pixels(const float *normal, const ImageSpec &spec);

}  // namespace echoes
