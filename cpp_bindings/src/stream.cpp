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

// Frames [from, to) of a log-mel.
Mel frames_of(const Mel &mel, int from, int to) {
  Mel part;
  part.frames = to - from;
  for (auto row = mel.values.begin(); row != mel.values.end(); row += mel.frames) {
    part.values.insert(part.values.end(), row + from, row + to);
  }
  return part;
}

Mel joined(const Mel &first, const Mel &second) {
  if (first.frames == 0) return second;
  if (second.frames == 0) return first;  // the first window of two columns after a past of one
  Mel mel;
  mel.frames = first.frames + second.frames;
  auto left = first.values.begin();
  for (auto right = second.values.begin(); right != second.values.end();
       right += second.frames, left += first.frames) {
    mel.values.insert(mel.values.end(), left, left + first.frames);
    mel.values.insert(mel.values.end(), right, right + second.frames);
  }
  return mel;
}

// Goes over from `tail` to the first frames of `mel`.
void blend(const Mel &tail, Mel &mel) {
  for (size_t row = 0; row * static_cast<size_t>(mel.frames) < mel.values.size(); ++row) {
    for (int t = 0; t < tail.frames; ++t) {
      const float rising = static_cast<float>(t + 1) / static_cast<float>(tail.frames + 1);
      float &value = mel.values[row * static_cast<size_t>(mel.frames) + static_cast<size_t>(t)];
      const float before =
          tail.values[row * static_cast<size_t>(tail.frames) + static_cast<size_t>(t)];
      value = before * (1 - rising) + value * rising;
    }
  }
}

// Columns [from, to) of a grid of codes with `width` columns.
Codes columns_of(const Codes &codes, int width, int from, int to) {
  Codes part;
  for (auto row = codes.begin(); row != codes.end(); row += width) {
    part.insert(part.end(), row + from, row + to);
  }
  return part;
}

// By how many columns the windows follow one another. Of each but the last window a ninth at its
// end is never heard: clips that a model learns from tend to fade out there.
int fresh_columns(int n_columns) {
  return std::max(1, n_columns - overlap_columns(n_columns) - n_columns / 9);
}

// Turns log-mels into samples as soon as the frames after them are known, and gives those out.
class Vocoded {
 public:
  Vocoded(const Call &call, int64_t n_samples, const std::optional<Past> &past,
          const OnSamples &on_samples)
      : call_(call), left_(n_samples), on_samples_(on_samples) {
    if (!past) return;
    const int context = std::min(past->mel.frames, kContextFrames);
    buffer_ = frames_of(past->mel, past->mel.frames - context, past->mel.frames);
    n_before_ = context;
  }

  void add(const Mel &mel) {
    buffer_ = joined(buffer_, mel);
    const int end = buffer_.frames - kContextFrames;
    if (end <= n_before_) return;
    give_out(end);
    const int start = std::max(0, end - kContextFrames);
    buffer_ = frames_of(buffer_, start, buffer_.frames);
    n_before_ = end - start;
  }

  void finish() { give_out(buffer_.frames); }

 private:
  void give_out(int end) {
    Samples samples = call_.model.vocode(buffer_);
    const int hop = call_.manifest().mel.hop_length;
    const auto from = static_cast<size_t>(n_before_) * static_cast<size_t>(hop);
    go_over(samples, from);
    const size_t seam = static_cast<size_t>(end) * static_cast<size_t>(hop);
    const size_t after = std::min(seam + size_t{kSeamFrames} * static_cast<size_t>(hop),
                                  samples.size());
    tail_.assign(samples.begin() + static_cast<ptrdiff_t>(seam),
                 samples.begin() + static_cast<ptrdiff_t>(after));
    const int64_t size = std::min(int64_t{end - n_before_} * hop, left_);
    if (size <= 0) return;
    std::transform(samples.begin(), samples.end(), samples.begin(), limited);
    left_ -= size;
    if (!on_samples_(samples.data() + from, static_cast<size_t>(size))) {
      throw CancelledError("cancelled between two parts of a stream");
    }
  }

  // Goes over from the chunk before to the samples from `from` on.
  void go_over(Samples &samples, size_t from) const {
    const size_t n = std::min(tail_.size(), samples.size() - from);
    for (size_t i = 0; i < n; ++i) {
      const float rising = static_cast<float>(i + 1) / static_cast<float>(n + 1);
      samples[from + i] = tail_[i] * (1 - rising) + samples[from + i] * rising;
    }
  }

  const Call &call_;
  int64_t left_;
  const OnSamples &on_samples_;
  Mel buffer_;
  Samples tail_;  // what the chunk before has of the next one's samples
  int n_before_ = 0;  // frames of the buffer that are there for context alone
};

}  // namespace

int overlap_columns(int n_columns) { return std::max(1, n_columns / 3); }

void check_continuable(const Manifest &manifest) {
  if (manifest.grids.audio.width < 2) {
    throw BundleError(
        sentence("bundle ", manifest.name, " has one token column a clip; long sound needs two"));
  }
}

Codes stream(const Call &call, const Codes *image, int64_t n_samples,
             const std::optional<Past> &past, const OnSamples &on_samples) {
  check_continuable(call.manifest());
  const Grid &grid = call.manifest().grids.audio;
  const int frames_per_column = call.manifest().mel.n_frames / grid.width;
  const int n_overlap = overlap_columns(grid.width);
  const int n_fresh = fresh_columns(grid.width);
  Codes codes, known = past ? past->codes : Codes();
  int n_known = past ? past->columns : 0;
  Mel tail = past ? past->mel : Mel();
  int64_t given = -tail.frames;  // frames of the stream that were given out
  Vocoded vocoded(call, n_samples, past, on_samples);
  for (uint64_t window = 0;; ++window) {
    Codes audio = call.unknown(Medium::kAudio);
    for (int row = 0; n_known > 0 && row < grid.height; ++row) {
      std::copy_n(known.begin() + row * n_known, n_known, audio.begin() + row * grid.width);
    }
    codes = call.decode(Medium::kAudio, audio, image, window);
    Mel mel = call.model.decode_mel(codes, {call.seed, window});
    blend(tail, mel);
    const bool is_last = (given + mel.frames) * call.manifest().mel.hop_length >= n_samples;
    const int end = is_last ? mel.frames : n_fresh * frames_per_column;
    vocoded.add(frames_of(mel, static_cast<int>(std::max<int64_t>(0, -given)), end));
    if (is_last) break;
    given += end;
    known = columns_of(codes, grid.width, n_fresh, n_fresh + n_overlap);
    n_known = n_overlap;
    tail = frames_of(mel, end, end + n_overlap * frames_per_column);
  }
  vocoded.finish();
  return codes;
}

}  // namespace echoes
