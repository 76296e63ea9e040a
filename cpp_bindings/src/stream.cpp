#include "tasks.h"

#include <algorithm>
#include <cmath>

#include "errors.h"

namespace echoes {
namespace {

// Mel frames on either side that a vocoder may look at.
constexpr int kContextFrames = 32;

// Over these the samples of neighbouring chunks are blended: the phases of a vocoder's tones run
// on within a chunk and start anew with each.
constexpr int kSeamFrames = 8;

// Bends what is above the knee below 1: a stream cannot be scaled by a peak yet to come.
float limited(float sample) {
  constexpr float kKnee = 0.8f;
  const float size = std::fabs(sample);
  if (size <= kKnee) return sample;
  return std::copysign(kKnee + (1 - kKnee) * std::tanh((size - kKnee) / (1 - kKnee)), sample);
}

// Goes over from `tail` to the first columns of `next`, both of as many rows.
void blend(const std::vector<float> &tail, float *next, size_t next_size, int rows) {
  const size_t width = next_size / static_cast<size_t>(rows);
  const size_t tail_width = tail.size() / static_cast<size_t>(rows);
  const size_t shared = std::min(width, tail_width);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    for (size_t t = 0; t < shared; ++t) {
      const float rising = static_cast<float>(t + 1) / static_cast<float>(shared + 1);
      float &value = next[row * width + t];
      value = tail[row * tail_width + t] * (1 - rising) + value * rising;
    }
  }
}

// By how many columns the windows follow one another. Of each but the last window a ninth at its
// end is never heard: clips that a model learns from tend to fade out there.
int fresh_columns(int n_columns) {
  return std::max(1, n_columns - overlap_columns(n_columns) - n_columns / 9);
}

// Turns log-mels into samples as soon as the frames after them are known, and gives those out.
class Vocoded {
 public:
  Vocoded(const Call &call, int64_t n_samples, const Mel &heard, const OnSamples &on_samples)
      : call_(call),
        n_mels_(call.manifest().mel.n_mels),
        left_(n_samples),
        on_samples_(on_samples),
        n_before_(std::min(frames_of(heard), kContextFrames)) {
    buffer_ = columns_of(heard, n_mels_, frames_of(heard) - n_before_, frames_of(heard));
  }

  void add(const Mel &mel) {
    buffer_ = side_by_side(buffer_, mel, n_mels_);
    const int end = frames_of(buffer_) - kContextFrames;
    if (end <= n_before_) return;
    give_out(end);
    const int start = std::max(0, end - kContextFrames);
    buffer_ = columns_of(buffer_, n_mels_, start, frames_of(buffer_));
    n_before_ = end - start;
  }

  void finish() { give_out(frames_of(buffer_)); }

 private:
  int frames_of(const Mel &mel) const { return static_cast<int>(mel.size()) / n_mels_; }

  void give_out(int end) {
    Samples samples = call_.model.vocode(buffer_);
    const int hop = call_.manifest().mel.hop_length;
    const size_t from = static_cast<size_t>(n_before_) * static_cast<size_t>(hop);
    blend(tail_, samples.data() + from, samples.size() - from, 1);
    const int64_t seam = int64_t{end} * hop;
    const int64_t after =
        std::min(seam + int64_t{kSeamFrames} * hop, static_cast<int64_t>(samples.size()));
    tail_.assign(samples.begin() + seam, samples.begin() + after);
    const int64_t size = std::min(int64_t{end - n_before_} * hop, left_);
    if (size <= 0) return;
    std::transform(samples.begin(), samples.end(), samples.begin(), limited);
    left_ -= size;
    if (!on_samples_(samples.data() + from, static_cast<size_t>(size))) {
      throw CancelledError("cancelled between two parts of a stream");
    }
  }

  const Call &call_;
  const int n_mels_;
  int64_t left_;
  const OnSamples &on_samples_;
  int n_before_;  // frames of the buffer that are there for context alone
  Mel buffer_;
  Samples tail_;  // what the chunk before has of the next one's samples
};

}  // namespace

int overlap_columns(int n_columns) { return std::max(1, n_columns / 3); }

void check_continuable(const Manifest &manifest) {
  if (manifest.grids.audio.width < 2) {
    throw BundleError("bundle ", manifest.name, " has one token column a clip; long sound needs ",
                      "two");
  }
}

void stream(const Call &call, const Codes *image, int64_t n_samples, const Past &past,
            const OnSamples &on_samples) {
  check_continuable(call.manifest());
  const MelSpec &spec = call.manifest().mel;
  const Grid &grid = call.manifest().grids.audio;
  const int frames_per_column = spec.n_frames / grid.width;
  const int n_overlap = overlap_columns(grid.width);
  const int n_fresh = fresh_columns(grid.width);
  Codes codes, known = past.codes;
  Mel tail = past.mel;
  // Frames of the stream that were given out.
  int64_t given = -static_cast<int64_t>(tail.size()) / spec.n_mels;
  Vocoded vocoded(call, n_samples, past.mel, on_samples);
  for (uint64_t window = 0;; ++window) {
    const Codes unknown(static_cast<size_t>(grid.n_tokens()) - known.size(), grid.mask_token());
    codes = call.decode(Medium::kAudio, side_by_side(known, unknown, grid.height), image, window);
    Mel mel = call.model.decode_mel(codes, call.options.seed, window);
    blend(tail, mel.data(), mel.size(), spec.n_mels);
    const bool is_last = (given + spec.n_frames) * spec.hop_length >= n_samples;
    const int end = is_last ? spec.n_frames : n_fresh * frames_per_column;
    vocoded.add(columns_of(mel, spec.n_mels, static_cast<int>(std::max<int64_t>(0, -given)), end));
    if (is_last) break;
    given += end;
    known = columns_of(codes, grid.height, n_fresh, n_fresh + n_overlap);
    tail = columns_of(mel, spec.n_mels, end, end + n_overlap * frames_per_column);
  }
  vocoded.finish();
  call.tell(Medium::kAudio, codes);
}

}  // namespace echoes
