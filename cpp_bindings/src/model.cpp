#include "model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "errors.h"

namespace echoes {
namespace {

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

// Behind a graph's name: the same graph, computing in float16.
constexpr char kHalf[] = "_half";

// Added to a window's number: the noise of its mel decoder.
constexpr uint64_t kMelStream = uint64_t{1} << 63;

}  // namespace

std::filesystem::path Model::variant(const std::string &graph) const {
  const std::filesystem::path whole = bundle_.graph_path(graph);  // says if there is none
  const bool is_half = device_.name != "cpu" && manifest().has_graph(graph + kHalf);
  return is_half ? bundle_.graph_path(graph + kHalf) : whole;
}

const Session &Model::session(const std::string &graph) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<const Session> &session = sessions_[graph];
  if (session == nullptr) {
    session =
        std::make_unique<const Session>(device_, variant(graph), graph_spec(manifest(), graph));
  }
  return *session;
}

BoundStep &Model::bound_step(const std::string &graph) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<BoundStep> &step = bound_[graph];
  if (step == nullptr) {
    step = std::make_unique<BoundStep>(device_, variant(graph), graph_spec(manifest(), graph));
  }
  return *step;
}

const char *Model::unrecorded() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const char *reason = "";
  for (const auto &entry : bound_) {
    if (entry.second != nullptr && *reason == '\0') reason = entry.second->unrecorded();
  }
  return reason;
}

Codes Model::checked_codes(Codes codes, const Grid &grid, const std::string &graph) const {
  const bool are_codes = std::all_of(codes.begin(), codes.end(), [&](int32_t code) {
    return code >= 0 && code < grid.codebook_size;
  });
  if (codes.size() != static_cast<size_t>(grid.n_tokens()) || !are_codes) {
    throw BundleError(sentence("the ", graph, " of bundle ", manifest().name, " gave other codes ",
                               "than the manifest says; get the bundle again"));
  }
  return codes;
}

void Model::check_output(const Output &output, size_t size, const char *graph) const {
  if (output.size() != size) {
    throw BundleError(sentence("the ", graph, " of bundle ", manifest().name, " gave ",
                               output.size(), " values, the manifest says ", size,
                               "; get the bundle again"));
  }
}

Codes Model::encode_image(const Picture &picture) {
  const ImageSpec &spec = manifest().image;
  const std::vector<float> pixels = normalise(crop_and_resize(picture, spec), spec);
  const Output codes =
      session("image_encoder").run({{"image", pixels, {1, 3, spec.height, spec.width}}});
  return checked_codes(codes.values<int32_t>(), manifest().grids.image, "image_encoder");
}

float Model::confidence(const Codes &image) {
  if (!manifest().has_graph("confidence")) return std::numeric_limits<float>::quiet_NaN();
  const Output found =
      session("confidence").run({{"codes", image, {1, static_cast<int64_t>(image.size())}}});
  check_output(found, 1, "confidence");
  if (!all_finite(found)) throw not_numbers("confidence", manifest().name);
  return *found.data<float>();
}

Mel Model::clip_mel(const Sound &sound) {
  const MelSpec &spec = manifest().mel;
  Samples clip(static_cast<size_t>(spec.n_samples()), 0.0f);
  std::copy_n(sound.samples, std::min(sound.size, clip.size()), clip.begin());
  const Output mel = session("log_mel").run({{"samples", clip, {1, spec.n_samples()}}});
  check_output(mel, static_cast<size_t>(spec.n_mels) * static_cast<size_t>(spec.n_frames),
               "log_mel");
  return {mel.values<float>(), spec.n_frames};
}

Codes Model::encode_mel(const Mel &mel) {
  const Output codes =
      session("mel_encoder").run({{"mel", mel.values, {1, manifest().mel.n_mels, mel.frames}}});
  return checked_codes(codes.values<int32_t>(), manifest().grids.audio, "mel_encoder");
}

Codes Model::encode_audio(const Sound &sound) { return encode_mel(clip_mel(sound)); }

Codes Model::decode_tokens(Medium target, const Codes &tokens, const Codes *context,
                            const Sampling &sampling, const Noise &noise, const OnStep &on_step) {
  const Grid &grid = manifest().grids.of(target);
  const auto n_unknown =
      static_cast<int>(std::count(tokens.begin(), tokens.end(), grid.mask_token()));
  if (n_unknown == 0) return tokens;
  Sampling clipped = sampling;
  clipped.steps = std::min(sampling.steps, n_unknown);
  const Plan plan = make_plan(tokens, grid, clipped);
  const std::vector<float> drawn = uniforms(noise.seed, noise.window, tokens.size());
  const std::string loop = sentence("decode_", name_of(target));
  // On the CPU only the host's loop can call back; on a GPU steps are recorded one by one.
  const bool is_cpu = device_.name == "cpu";
  const bool is_at_once = !on_step && is_cpu && manifest().has_graph(loop);
  const std::string graph = is_at_once ? loop : loop + "_step";
  BoundStep *const bound = is_cpu ? nullptr : &bound_step(graph);
  const Session &decoder = is_cpu ? session(graph) : bound->session();
  const Output seen =
      context == nullptr
          ? decoder.no_rows_of("context")
          : session(sentence("context_", name_of(other(target))))
                .run({{"codes", *context, {1, static_cast<int64_t>(context->size())}}});
  return checked_codes(is_at_once ? decode_at_once(decoder, tokens, seen, plan, drawn)
                       : is_cpu   ? decode_by_steps(decoder, tokens, seen, plan, drawn, on_step)
                                  : bound->decode(tokens, seen, plan, drawn, on_step),
                       grid, graph);
}

std::vector<uint8_t> Model::decode_image(const Codes &codes) {
  const ImageSpec &spec = manifest().image;
  const Output normal =
      session("image_decoder").run({{"codes", codes, {1, static_cast<int64_t>(codes.size())}}});
  check_output(normal, size_t{3} * static_cast<size_t>(spec.height * spec.width), "image_decoder");
  if (!all_finite(normal)) throw not_numbers("image_decoder", manifest().name);
  return to_pixels(normal.data<float>(), spec);
}

Mel Model::decode_mel(const Codes &codes, const Noise &noise) {
  const MelSpec &spec = manifest().mel;
  const Session &graph = session("mel_decoder");
  std::vector<Input> inputs{{"codes", codes, {1, static_cast<int64_t>(codes.size())}}};
  std::vector<float> texture;
  if (graph.takes("noise")) {
    const std::vector<int64_t> dims = graph.shape_of("noise", 1);
    size_t count = 1;
    for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
    texture = uniforms(noise.seed, kMelStream + noise.window, count);
    inputs.emplace_back("noise", texture, dims);
  }
  const Output mel = graph.run(inputs);
  check_output(mel, static_cast<size_t>(spec.n_mels) * static_cast<size_t>(spec.n_frames),
               "mel_decoder");
  return {mel.values<float>(), spec.n_frames};
}

Samples Model::vocode(const Mel &mel) {
  const MelSpec &spec = manifest().mel;
  const Output waveform =
      session("vocoder").run({{"mel", mel.values, {1, spec.n_mels, mel.frames}}});
  check_output(waveform, static_cast<size_t>(mel.frames) * static_cast<size_t>(spec.hop_length),
               "vocoder");
  if (!all_finite(waveform)) throw not_numbers("vocoder", manifest().name);
  return waveform.values<float>();
}

Samples Model::decode_audio(const Codes &codes, const Noise &noise) {
  return levelled(vocode(decode_mel(codes, noise)));
}

}  // namespace echoes
