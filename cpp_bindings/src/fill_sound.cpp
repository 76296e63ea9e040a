// Filling in a part of a sound, and going on after its end.

#include <algorithm>
#include <cmath>

#include "errors.h"
#include "tasks.h"

namespace echoes {
namespace {

// Length of the cross-fade at a seam, taken from what was given: a click is shorter.
constexpr double kFadeS = 0.02;

// Rounds halves to even.
int64_t at_sample(double second, int sample_rate) {
  return static_cast<int64_t>(std::nearbyint(second * sample_rate));
}

// Where a window lies best round [first, last): in the middle, but within the sound.
int64_t window_start(int64_t n_samples, int64_t first, int64_t last, int64_t n_window) {
  return std::max<int64_t>(0, std::min((first + last - n_window) / 2, n_samples - n_window));
}

// The sound with [first, last) from `made`, which begins at sample `from`.
Samples patched(const Sound &sound, const Samples &made, int64_t from, int64_t first, int64_t last,
                int64_t fade) {
  Samples samples(sound.samples, sound.samples + sound.size);
  const auto size = static_cast<int64_t>(sound.size);
  for (int64_t i = std::max<int64_t>(0, first - fade); i < std::min(size, last + fade); ++i) {
    const int64_t outside = std::max<int64_t>({first - i, i - last + 1, 0});
    const float weight =
        outside == 0 ? 1.0f : static_cast<float>(fade + 1 - outside) / static_cast<float>(fade + 1);
    const int64_t there = std::clamp<int64_t>(i - from, 0, static_cast<int64_t>(made.size()) - 1);
    const float patch = std::clamp(made[static_cast<size_t>(there)], -1.0f, 1.0f);
    float &sample = samples[static_cast<size_t>(i)];
    sample = sample * (1 - weight) + patch * weight;
  }
  return samples;
}

// Takes back the jump at `seam` over `length` samples after it.
void smooth(Samples &samples, size_t seam, size_t length) {
  if (seam > 0 && seam < samples.size()) {
    const float jump = samples[seam - 1] - samples[seam];
    length = std::min(length, samples.size() - seam);
    for (size_t i = 0; i < length; ++i) {
      samples[seam + i] += (1 - static_cast<float>(i) / static_cast<float>(length)) * jump;
    }
  }
  for (float &sample : samples) sample = std::clamp(sample, -1.0f, 1.0f);
}

struct Columns {
  int begin;
  int end;
};

// The columns of codes that sound in [first, last) of a window. The manifest's n_frames is a
// multiple of the grid's width, so columns share a window's samples out without a rest, and what
// lies in the window lies in the grid; clamped all the same, for codes are written there.
Columns part_of(const Call &call, int64_t first, int64_t last) {
  const MelSpec &mel = call.manifest().mel;
  const Grid &grid = call.manifest().grids.audio;
  const int64_t per_column = mel.n_samples() / grid.width;
  const int most = std::max(1, grid.width - 2);  // something must be left to go by
  const int64_t begin = first / per_column, end = (last + per_column - 1) / per_column;
  if (end - begin > most) {
    const double most_s =
        static_cast<double>((most - 1) * per_column) / mel.sample_rate;  // wherever columns lie
    throw InputError("at most ", most_s, " s can be filled in at once, got ",
                     static_cast<double>(last - first) / mel.sample_rate, " s; give a shorter ",
                     "part, or use echoes_continue");
  }
  const auto inside = [&](int64_t column) {
    return static_cast<int>(std::clamp<int64_t>(column, 0, grid.width));
  };
  return {inside(begin), inside(end)};
}

}  // namespace

Samples inpaint(const Call &call, const Sound &sound, double start_s, double stop_s,
                const Codes *image) {
  const MelSpec &spec = call.manifest().mel;
  const Grid &grid = call.manifest().grids.audio;
  const double duration_s = static_cast<double>(sound.size) / spec.sample_rate;
  if (!(0 <= start_s && start_s < stop_s && stop_s <= duration_s + 1e-6)) {
    throw InputError("the part to fill in must lie within the ", duration_s, " s of the sound, ",
                     "got ", start_s, " s to ", stop_s, " s");
  }
  const auto size = static_cast<int64_t>(sound.size);
  const int64_t first = at_sample(start_s, spec.sample_rate);
  const int64_t last = at_sample(stop_s, spec.sample_rate);
  const int64_t begin = window_start(size, first, last, spec.n_samples());
  const Columns columns = part_of(call, first - begin, last - begin);
  Mel mel = call.model.clip_mel({sound.samples + begin, sound.size - static_cast<size_t>(begin)});
  Codes known = call.model.encode_mel(mel);
  for (int row = 0; row < grid.height; ++row) {
    std::fill(known.begin() + row * grid.width + columns.begin,
              known.begin() + row * grid.width + columns.end,
              grid.mask_token());
  }
  const Codes codes = call.decode(Medium::kAudio, known, image);
  // Outside of the part the vocoder sees what was really there.
  const Mel decoded = call.model.decode_mel(codes, call.options.seed);
  const int per_column = spec.n_frames / grid.width;
  for (int m = 0; m < spec.n_mels; ++m) {
    const int64_t row = int64_t{m} * spec.n_frames;
    std::copy(decoded.begin() + row + columns.begin * per_column,
              decoded.begin() + row + columns.end * per_column,
              mel.begin() + row + columns.begin * per_column);
  }
  const int64_t fade = at_sample(kFadeS, spec.sample_rate);
  const Samples vocoded = call.model.vocode(mel);
  call.tell(Medium::kAudio, codes);
  return patched(sound, vocoded, begin, first, std::min(last, size), fade);
}

void mask_audio(const Manifest &manifest, double start_s, double stop_s, int32_t *codes) {
  const MelSpec &mel = manifest.mel;
  const Grid &grid = manifest.grids.audio;
  const double clip_s = static_cast<double>(mel.n_samples()) / mel.sample_rate;
  if (!(0 <= start_s && start_s < stop_s && stop_s <= clip_s + 1e-6)) {
    throw InputError("the part to mask must lie within the ", clip_s, " s of a clip, got ", start_s,
                     " s to ", stop_s, " s");
  }
  for (int column = 0; column < grid.width; ++column) {
    const double from_s = clip_s * column / grid.width;
    const double to_s = clip_s * (column + 1) / grid.width;
    if (to_s <= start_s || from_s >= stop_s) continue;
    for (int row = 0; row < grid.height; ++row) {
      codes[row * grid.width + column] = grid.mask_token();
    }
  }
}

Samples extend(const Call &call, const Sound &sound, int64_t n_samples, const Codes *image) {
  check_continuable(call.manifest());
  const MelSpec &spec = call.manifest().mel;
  const Grid &grid = call.manifest().grids.audio;
  const auto clip_size = static_cast<size_t>(spec.n_samples());
  const size_t heard = std::min(sound.size, clip_size);
  Samples clip(clip_size - heard, 0.0f);  // the end of the sound is what counts
  clip.insert(clip.end(), sound.samples + (sound.size - heard), sound.samples + sound.size);
  const Mel mel = call.model.clip_mel({clip.data(), clip.size()});
  const Codes codes = call.model.encode_mel(mel);
  const auto heard_columns =
      static_cast<int>(heard / (clip_size / static_cast<size_t>(grid.width)));
  const int n_known = std::min(overlap_columns(grid.width), std::max(1, heard_columns));
  const int n_frames = n_known * spec.n_frames / grid.width;
  const Past past{columns_of(codes, grid.height, grid.width - n_known, grid.width),
                  columns_of(mel, spec.n_mels, spec.n_frames - n_frames, spec.n_frames)};
  Samples samples(sound.samples, sound.samples + sound.size);
  stream(call, image, n_samples, past, [&](const float *more, size_t size) {
    samples.insert(samples.end(), more, more + size);
    return true;
  });
  smooth(samples, sound.size, static_cast<size_t>(at_sample(kFadeS, spec.sample_rate)));
  return samples;
}

}  // namespace echoes
