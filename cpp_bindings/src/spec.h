// What a picture, a log-mel, a grid of codes and a generation are, as echoes_rt.format says; and
// from pixels to what the image codec reads, and back.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "echoes_rt/echoes_rt.h"

namespace echoes {

struct ImageSpec {
  int height = 0;
  int width = 0;
  std::array<double, 3> mean{};
  std::array<double, 3> std{};
};

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

// The inverse: (3, H, W) floats to (H, W, 3) bytes.
std::vector<uint8_t> to_pixels(const std::vector<float> &normal, const ImageSpec &spec);

struct MelSpec {
  int sample_rate = 0;
  int hop_length = 0;
  int n_mels = 0;
  int n_frames = 0;  // a multiple of the audio grid's width

  int64_t n_samples() const { return int64_t{n_frames} * hop_length; }
};

enum class Medium { kImage, kAudio };

// Such as "audio", for the names of graphs.
inline const char *name_of(Medium medium) { return medium == Medium::kImage ? "image" : "audio"; }

// The medium that may be the context of another.
inline Medium other(Medium medium) {
  return medium == Medium::kImage ? Medium::kAudio : Medium::kImage;
}

// The codes of one medium: rows x columns, row-major, each in [0, codebook_size).
struct Grid {
  int height = 0;
  int width = 0;
  int codebook_size = 0;
  std::vector<int32_t> order;  // every position once, as decoding fills them in

  int n_tokens() const { return height * width; }
  // Stands for an unknown code.
  int32_t mask_token() const { return codebook_size; }
};

struct Grids {
  Grid image;
  Grid audio;

  const Grid &of(Medium medium) const { return medium == Medium::kImage ? image : audio; }
};

// What is asked for; the numbers of a bundle's manifest until a caller changes them.
using Options = echoes_generate_options;

// A setting by which a code is drawn: a key of the manifest and an input of the decoding graphs.
struct Drawing {
  const char *name;
  double Options::*value;
};
inline constexpr Drawing kDrawing[] = {{"temperature", &Options::temperature}};

}  // namespace echoes
