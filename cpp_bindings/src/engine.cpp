#include "engine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "errors.h"
#include "fused_decoder.h"
#include "mel.h"
#include "noise.h"

namespace echoes {
namespace {

std::vector<float> floats_of(const Output &output) {
  return {output.data<float>(), output.data<float>() + output.size()};
}

bool all_finite(const Output &output) {
  return std::all_of(output.data<float>(), output.data<float>() + output.size(),
                     [](float value) { return std::isfinite(value); });
}

// Scaled, never clipped, and raised to an RMS of -40 dBFS as far as the peak allows.
Samples levelled(Samples samples) {
  constexpr double kQuietestRms = 0.01;
  constexpr double kSmallest = std::numeric_limits<float>::min();
  double peak = 0;
  double power = 0;
  for (const double sample : samples) {
    peak = std::max(peak, std::fabs(sample));
    power += sample * sample;
  }
  const double rms = std::sqrt(power / static_cast<double>(samples.size()));
  const double gain = std::min(std::max(1.0, kQuietestRms / std::max(rms, kSmallest)),
                               1.0 / std::max(peak, kSmallest));
  for (float &sample : samples) sample = static_cast<float>(sample * gain);
  return samples;
}

BundleError not_numbers(const char *graph, const std::string &bundle) {
  return BundleError(sentence("the ", graph, " of bundle ", bundle,
                              " gave values that are not numbers; get the bundle again or use ",
                              "device cpu"));
}

BundleError other_codes(const char *graph, const std::string &bundle) {
  return BundleError(sentence("the ", graph, " of bundle ", bundle,
                              " gave other codes than the manifest says; get the bundle again"));
}

}  // namespace

int Question::n_unknown() const {
  return static_cast<int>(
      std::count_if(mask.begin(), mask.end(), [](uint8_t flag) { return flag != 0; }));
}

Session &Engine::session(const std::string &graph) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<Session> &session = sessions_[graph];
  if (session == nullptr) session = device_.open(bundle_, graph);
  return *session;
}

Codes Engine::checked_codes(const Output &output, const Grid &grid, const char *graph) const {
  Codes codes(output.data<int32_t>(), output.data<int32_t>() + output.size());
  const bool are_codes = std::all_of(codes.begin(), codes.end(), [&](int32_t code) {
    return code >= 0 && code < grid.codebook_size;
  });
  if (codes.size() != static_cast<size_t>(grid.n_tokens()) || !are_codes) {
    throw other_codes(graph, manifest().name);
  }
  return codes;
}

void Engine::check_output(const Output &output, size_t size, const char *graph) const {
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
      session("image_encoder").run({{"image", pixels, {1, 3, spec.height, spec.width}}}, "codes"),
      manifest().tokens.image, "image_encoder");
}

Codes Engine::encode_mel(const Mel &mel) {
  return checked_codes(
      session("mel_encoder")
          .run({{"mel", mel.values, {1, manifest().mel.n_mels, mel.frames}}}, "codes"),
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
  const TokenLayout &layout = manifest().tokens;
  Sampling dials = sampling;
  dials.steps = std::min(sampling.steps, n_unknown);
  const DecodePlan plan = make_plan(n_unknown, dials);
  const auto noise = uniforms(seed, window, 2 * question.tokens.size() * plan.keep.size());
  const DecodeQuestion asked{question.tokens, question.mask, known_media(question.mask, layout),
                             layout.vocab_size()};
  if (Session *loop = loop_session(on_step)) {
    return checked_tokens(decode_fused(*loop, asked, plan, noise), layout);
  }
  return decode(step_logits(), asked, plan, noise, on_step);
}

Session *Engine::loop_session(const OnStep &on_step) {
  const bool has_step = device_.has_engine("step");
  const bool is_fast = device_.has_engine("decode") || (device_.ort.name == "cpu" && !has_step);
  const bool is_fused = !on_step && is_fast && manifest().has_graph("decode");
  return is_fused ? &session("decode") : nullptr;
}

LogitsFn Engine::step_logits() {
  // Keeps the logits alive until the next call.
  const auto latest = std::make_shared<std::optional<Output>>();
  return [this, latest, &step = session("step")](const Codes &tokens) {
    const TokenLayout &layout = manifest().tokens;
    const auto n_sequences = static_cast<int64_t>(tokens.size()) / layout.n_tokens();
    latest->reset();
    *latest = step.run({{"tokens", tokens, {n_sequences, layout.n_tokens()}}}, "logits");
    check_output(**latest, tokens.size() * static_cast<size_t>(layout.vocab_size()), "step");
    return (*latest)->data<float>();
  };
}

Codes Engine::checked_tokens(Codes tokens, const TokenLayout &layout) const {
  bool are_codes = tokens.size() == static_cast<size_t>(layout.n_tokens());
  for (size_t i = 0; are_codes && i < tokens.size(); ++i) {
    const bool is_image = i < static_cast<size_t>(layout.image.n_tokens());
    const int codebook_size = (is_image ? layout.image : layout.audio).codebook_size;
    are_codes = tokens[i] >= 0 && tokens[i] < codebook_size;
  }
  if (!are_codes) throw other_codes("decode", manifest().name);
  return tokens;
}

std::vector<uint8_t> Engine::decode_image(const Codes &codes) {
  const ImageSpec &spec = manifest().image;
  const Output normal =
      session("image_decoder")
          .run({{"codes", codes, {1, static_cast<int64_t>(codes.size())}}}, "image");
  check_output(normal, size_t{3} * static_cast<size_t>(spec.height * spec.width), "image_decoder");
  if (!all_finite(normal)) {
    throw not_numbers("image_decoder", manifest().name);
  }
  return to_pixels(normal.data<float>(), spec);
}

Mel Engine::decode_mel(const Codes &codes) {
  const MelSpec &spec = manifest().mel;
  const Output mel = session("mel_decoder")
                         .run({{"codes", codes, {1, static_cast<int64_t>(codes.size())}}}, "mel");
  check_output(mel, static_cast<size_t>(spec.n_mels) * static_cast<size_t>(spec.n_frames),
               "mel_decoder");
  return {floats_of(mel), spec.n_frames};
}

Samples Engine::vocode(const Mel &mel) {
  const MelSpec &spec = manifest().mel;
  const Output waveform =
      session("vocoder").run({{"mel", mel.values, {1, spec.n_mels, mel.frames}}}, "waveform");
  check_output(waveform, static_cast<size_t>(mel.frames) * static_cast<size_t>(spec.hop_length),
               "vocoder");
  if (!all_finite(waveform)) {
    throw not_numbers("vocoder", manifest().name);
  }
  return floats_of(waveform);
}

Samples Engine::decode_audio(const Codes &codes) {
  return levelled(vocode(decode_mel(codes)));
}

}  // namespace echoes
