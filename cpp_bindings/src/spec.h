// What a picture, a log-mel, a token sequence and a generation are, as echoes_rt.spec says.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace echoes {

struct ImageSpec {
  int height = 0;
  int width = 0;
  std::array<double, 3> mean{};
  std::array<double, 3> std{};
};

struct MelSpec {
  int sample_rate = 0;
  int n_fft = 0;
  int win_length = 0;
  int hop_length = 0;
  int n_mels = 0;
  int n_frames = 0;  // a multiple of the audio grid's width
  double f_min = 0;
  double f_max = 0;

  int64_t n_samples() const { return int64_t{n_frames} * hop_length; }
};

// The codes of one medium: rows x columns, row-major, each in [0, codebook_size).
struct Grid {
  int height = 0;
  int width = 0;
  int codebook_size = 0;

  int n_tokens() const { return height * width; }
};

// One sequence: image tokens first, then audio tokens; a position says its medium.
struct TokenLayout {
  Grid image;
  Grid audio;

  int n_tokens() const { return image.n_tokens() + audio.n_tokens(); }
  int vocab_size() const { return std::max(image.codebook_size, audio.codebook_size); }
  int mask_token_id() const { return vocab_size(); }
};

enum class GuidanceSchedule { kConstant, kAnnealed };

// The dials of one generation.
struct Sampling {
  int steps = 0;
  double guidance_scale = 0;
  double temperature = 0;
  double choice_temperature = 0;
  GuidanceSchedule guidance_schedule = GuidanceSchedule::kConstant;
  double guidance_start = 0;
  double guidance_stop = 1;
};

// Throws std::invalid_argument with a sentence if a dial is out of range.
void check_sampling(const Sampling &sampling);

}  // namespace echoes
