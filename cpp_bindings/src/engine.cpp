#include "engine.h"

#include <algorithm>
#include <cmath>

#include "errors.h"
#include "mel.h"
#include "noise.h"

namespace echoes {
namespace {

bool all_finite(const float *values, size_t size) {
  return std::all_of(values, values + size, [](float value) { return std::isfinite(value); });
}

BundleError not_numbers(const char *graph, const std::string &bundle) {
  return BundleError(sentence("the ", graph, " of bundle ", bundle,
                              " gave values that are not numbers; get the bundle again or use ",
                              "device cpu"));
}

}  // namespace

int Question::n_unknown() const {
  return static_cast<int>(
      std::count_if(mask.begin(), mask.end(), [](uint8_t flag) { return flag != 0; }));
}

Session &Engine::session(const std::string &graph) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<Session> &session = sessions_[graph];
  if (session == nullptr) session = open_session(device_, bundle_, graph);
  return *session;
}

Codes Engine::checked_codes(const Output<int32_t> &output, const Grid &grid,
                            const char *graph) const {
  Codes codes(output.data(), output.data() + output.size());
  const bool are_codes = std::all_of(codes.begin(), codes.end(), [&](int32_t code) {
    return code >= 0 && code < grid.codebook_size;
  });
  if (codes.size() != static_cast<size_t>(grid.n_tokens()) || !are_codes) {
    throw BundleError(sentence("the ", graph, " of bundle ", manifest().name,
                               " gave other codes than the manifest says; get the bundle again"));
  }
  return codes;
}

void Engine::check_output(const Output<float> &output, size_t size, const char *graph) const {
  if (output.size() != size) {
    throw BundleError(sentence("the ", graph, " of bundle ", manifest().name, " gave ",
                               output.size(), " values, the manifest says ", size,
                               "; get the bundle again"));
  }
}

Codes Engine::encode_image(const Picture &picture) {
  const ImageSpec &spec = manifest().image;
  const std::vector<float> pixels = normalise(crop_and_resize(picture, spec), spec);
  return checked_codes(
      session("image_encoder").run_to_codes(pixels, {1, 3, spec.height, spec.width}),
      manifest().tokens.image, "image_encoder");
}

Codes Engine::encode_mel(const Mel &mel) {
  return checked_codes(
      session("mel_encoder").run_to_codes(mel.values, {1, manifest().mel.n_mels, mel.frames}),
      manifest().tokens.audio, "mel_encoder");
}

Codes Engine::encode_audio(const Sound &sound) {
  const MelSpec &spec = manifest().mel;
  return encode_mel({clip_mel(sound.samples, sound.size, spec), spec.n_frames});
}

Codes Engine::decode_tokens(const Question &question, const Sampling &sampling, uint64_t seed,
                            uint64_t window, const OnStep &on_step) {
  const int n_unknown = question.n_unknown();
  if (n_unknown == 0) return question.tokens;
  Session &step = session("step");
  const TokenLayout &layout = manifest().tokens;
  const auto n_tokens = static_cast<size_t>(layout.n_tokens());
  std::vector<Output<float>> latest;  // keeps the logits alive until the next call
  const LogitsFn logits = [&](const Codes &tokens) {
    const auto n_sequences = static_cast<int64_t>(tokens.size() / n_tokens);
    latest.clear();
    latest.push_back(step.run_to_floats(tokens, {n_sequences, layout.n_tokens()}));
    check_output(latest[0], tokens.size() * static_cast<size_t>(layout.vocab_size()), "step");
    return latest[0].data();
  };
  Sampling dials = sampling;
  dials.steps = std::min(sampling.steps, n_unknown);
  const auto noise = uniforms(seed, window, 2 * n_tokens * static_cast<size_t>(dials.steps));
  return decode(
      logits,
      {question.tokens, question.mask, known_media(question.mask, layout), layout.vocab_size()},
      make_plan(n_unknown, dials), noise, on_step);
}

std::vector<uint8_t> Engine::decode_image(const Codes &codes) {
  const ImageSpec &spec = manifest().image;
  const Output<float> normal =
      session("image_decoder").run_to_floats(codes, {1, static_cast<int64_t>(codes.size())});
  check_output(normal, size_t{3} * static_cast<size_t>(spec.height * spec.width), "image_decoder");
  if (!all_finite(normal.data(), normal.size())) {
    throw not_numbers("image_decoder", manifest().name);
  }
  return to_pixels(normal.data(), spec);
}

Mel Engine::decode_mel(const Codes &codes) {
  const MelSpec &spec = manifest().mel;
  const Output<float> mel =
      session("mel_decoder").run_to_floats(codes, {1, static_cast<int64_t>(codes.size())});
  check_output(mel, static_cast<size_t>(spec.n_mels) * static_cast<size_t>(spec.n_frames),
               "mel_decoder");
  return {std::vector<float>(mel.data(), mel.data() + mel.size()), spec.n_frames};
}

Samples Engine::vocode(const Mel &mel) {
  const MelSpec &spec = manifest().mel;
  const Output<float> waveform =
      session("vocoder").run_to_floats(mel.values.data(), {1, spec.n_mels, mel.frames});
  check_output(waveform, static_cast<size_t>(mel.frames) * static_cast<size_t>(spec.hop_length),
               "vocoder");
  if (!all_finite(waveform.data(), waveform.size())) {
    throw not_numbers("vocoder", manifest().name);
  }
  return Samples(waveform.data(), waveform.data() + waveform.size());
}

Samples Engine::decode_audio(const Codes &codes) {
  Samples samples = vocode(decode_mel(codes));
  float peak = 1;
  for (const float sample : samples) peak = std::max(peak, std::fabs(sample));
  for (float &sample : samples) sample /= peak;  // scaled, not clipped: clipping would be heard
  return samples;
}

}  // namespace echoes
