#include "mel.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "fft.h"

namespace echoes {
namespace {

constexpr float kLogFloor = 1e-5f;

// Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998).
constexpr double kHzPerMel = 200.0 / 3;
constexpr double kBreakHz = 1000.0;
constexpr double kBreakMel = 15.0;

double log_step() { return std::log(6.4) / 27; }

double hz_to_mel(double hz) {
  return hz >= kBreakHz ? kBreakMel + std::log(hz / kBreakHz) / log_step() : hz / kHzPerMel;
}

double mel_to_hz(double mel) {
  return mel >= kBreakMel ? kBreakHz * std::exp(log_step() * (mel - kBreakMel)) : mel * kHzPerMel;
}

// `count` equal steps from `start` to `stop`, both included.
std::vector<double> evenly_spaced(double start, double stop, int count) {
  const double step = (stop - start) / std::max(count - 1, 1);
  std::vector<double> points;
  for (int i = 0; i < count; ++i) points.push_back(i * step + start);
  if (count > 1) points.back() = stop;
  return points;
}

// Periodic Hann window of win_length in the middle of n_fft.
std::vector<float> hann_window(const MelSpec &spec) {
  std::vector<float> window(static_cast<size_t>(spec.n_fft), 0.0f);
  const int start = (spec.n_fft - spec.win_length) / 2;
  for (int i = 0; i < spec.win_length; ++i) {
    const double phase = 2 * 3.141592653589793 * i / spec.win_length;
    window[static_cast<size_t>(start + i)] = static_cast<float>(0.5 - 0.5 * std::cos(phase));
  }
  return window;
}

// A sample of the clip, which mirrors at both ends and is silent behind the sound.
class MirroredClip {
 public:
  MirroredClip(const float *samples, size_t num_samples, int64_t clip_size)
      : samples_(samples), num_samples_(num_samples), clip_size_(clip_size) {}

  float operator[](int64_t index) const {
    if (index < 0 || index >= clip_size_) {
      const int64_t period = std::max<int64_t>(2 * (clip_size_ - 1), 1);
      index = ((index % period) + period) % period;
      if (index >= clip_size_) index = period - index;
    }
    return static_cast<size_t>(index) < num_samples_ ? samples_[index] : 0.0f;
  }

 private:
  const float *samples_;
  size_t num_samples_;
  int64_t clip_size_;
};

// Mel magnitude to the model's [-1, 1].
float log_scale(float magnitude) {
  const float decibels = 20.0f * std::log10(std::max(magnitude, kLogFloor));
  return 2.0f * std::clamp((decibels + 80.0f) / 100.0f, 0.0f, 1.0f) - 1.0f;
}

}  // namespace

std::vector<MelFilter> mel_filterbank(const MelSpec &spec) {
  const int n_bins = spec.n_fft / 2 + 1;
  const std::vector<double> hz = evenly_spaced(0.0, spec.sample_rate / 2.0, n_bins);
  std::vector<double> edges =
      evenly_spaced(hz_to_mel(spec.f_min), hz_to_mel(spec.f_max), spec.n_mels + 2);
  std::transform(edges.begin(), edges.end(), edges.begin(), mel_to_hz);
  std::vector<MelFilter> bank;
  for (size_t m = 0; m + 2 < edges.size(); ++m) {
    const double low = edges[m], centre = edges[m + 1], high = edges[m + 2];
    const double unit_area = 2.0 / (high - low);
    MelFilter filter;
    for (size_t bin = 0; bin < hz.size(); ++bin) {
      const double rising = (hz[bin] - low) / (centre - low);
      const double falling = (high - hz[bin]) / (high - centre);
      const double weight = std::max(0.0, std::min(rising, falling));
      if (weight == 0 && filter.weights.empty()) continue;
      if (weight == 0) break;  // behind the triangle
      if (filter.weights.empty()) filter.first_bin = bin;
      filter.weights.push_back(static_cast<float>(weight * unit_area));
    }
    bank.push_back(std::move(filter));
  }
  return bank;
}

std::vector<float> clip_mel(const float *samples, size_t num_samples, const MelSpec &spec) {
  const std::vector<MelFilter> bank = mel_filterbank(spec);
  const std::vector<float> window = hann_window(spec);
  const MirroredClip clip(samples, num_samples, spec.n_samples());
  const auto n_frames = static_cast<size_t>(spec.n_frames);
  Fft fft(window.size());
  std::vector<float> frame(window.size()), magnitudes, mel(bank.size() * n_frames);
  for (size_t t = 0; t < n_frames; ++t) {
    const int64_t start = static_cast<int64_t>(t) * spec.hop_length - spec.n_fft / 2;
    for (size_t i = 0; i < frame.size(); ++i) {
      frame[i] = clip[start + static_cast<int64_t>(i)] * window[i];
    }
    fft.magnitudes(frame, magnitudes);
    for (size_t m = 0; m < bank.size(); ++m) {
      double sum = 0;
      for (size_t i = 0; i < bank[m].weights.size(); ++i) {
        sum += double{bank[m].weights[i]} * magnitudes[bank[m].first_bin + i];
      }
      mel[m * n_frames + t] = log_scale(static_cast<float>(sum));
    }
  }
  return mel;
}

}  // namespace echoes
