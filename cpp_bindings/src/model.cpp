#include "model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "errors.h"

namespace echoes {
namespace {

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

template <typename T>
T &Model::opened(std::map<std::string, std::unique_ptr<T>> &all, const std::string &graph) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<T> &one = all[graph];
  if (one == nullptr) one = std::make_unique<T>(device_, variant(graph));
  return *one;
}

const Session &Model::session(const std::string &graph) { return opened(sessions_, graph); }

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
    throw BundleError("the ", graph, " of bundle ", manifest().name, " gave other codes than the ",
                      "manifest says; get the bundle again");
  }
  return codes;
}

std::vector<float> Model::floats(const char *graph, const std::vector<Input> &inputs,
                                 const char *output, int64_t size) {
  std::vector<float> values = session(graph).run(inputs, output).values<float>();
  const bool are_finite = std::all_of(values.begin(), values.end(),
                                      [](float value) { return std::isfinite(value); });
  if (values.size() != static_cast<size_t>(size) || !are_finite) {
    throw BundleError("the ", graph, " of bundle ", manifest().name, " must give ", size,
                      " finite numbers, got ", values.size(),
                      are_finite ? "" : " of which some are not finite", "; get the bundle again ",
                      "or use device cpu");
  }
  return values;
}

Codes Model::encode_image(const Picture &picture) {
  const ImageSpec &spec = manifest().image;
  const std::vector<float> pixels = normalise(crop_and_resize(picture, spec), spec);
  const Output codes =
      session("image_encoder").run({{"image", pixels, {1, 3, spec.height, spec.width}}}, "codes");
  return checked_codes(codes.values<int32_t>(), manifest().grids.image, "image_encoder");
}

float Model::confidence(const Codes &image) {
  if (!manifest().has_graph("confidence")) return std::numeric_limits<float>::quiet_NaN();
  return floats("confidence", {{"codes", image}}, "confidence", 1)[0];
}

Mel Model::clip_mel(const Sound &sound) {
  const MelSpec &spec = manifest().mel;
  Samples clip(static_cast<size_t>(spec.n_samples()), 0.0f);
  std::copy_n(sound.samples, std::min(sound.size, clip.size()), clip.begin());
  return floats("log_mel", {{"samples", clip}}, "mel", int64_t{spec.n_mels} * spec.n_frames);
}

Codes Model::encode_mel(const Mel &mel) {
  const MelSpec &spec = manifest().mel;
  const Output codes =
      session("mel_encoder").run({{"mel", mel, {1, spec.n_mels, spec.n_frames}}}, "codes");
  return checked_codes(codes.values<int32_t>(), manifest().grids.audio, "mel_encoder");
}

Codes Model::encode_audio(const Sound &sound) { return encode_mel(clip_mel(sound)); }

Codes Model::decode_tokens(Medium target, const Codes &tokens, const Codes *context,
                           const Options &options, uint64_t window) {
  const Grid &grid = manifest().grids.of(target);
  const auto n_unknown =
      static_cast<int>(std::count(tokens.begin(), tokens.end(), grid.mask_token()));
  if (n_unknown == 0) return tokens;
  Options clipped = options;
  clipped.steps = std::min(options.steps, n_unknown);
  const Plan plan = make_plan(tokens, grid, clipped);
  const std::vector<float> drawn = uniforms(options.seed, window, tokens.size());
  const std::string loop = sentence("decode_", name_of(target));
  // On the CPU only the host's loop can call back; on a GPU steps are recorded one by one.
  const bool is_cpu = device_.name == "cpu";
  const bool is_at_once = options.on_step == nullptr && is_cpu && manifest().has_graph(loop);
  const std::string graph = is_at_once ? loop : loop + "_step";
  BoundStep *const bound = is_cpu ? nullptr : &opened(bound_, graph);
  const Session &decoder = is_cpu ? session(graph) : bound->session();
  const Output seen =
      context == nullptr
          ? decoder.no_rows_of("context")
          : session(sentence("context_", name_of(other(target))))
                .run({{"codes", *context}}, "context");
  return checked_codes(is_at_once ? decode_at_once(decoder, tokens, seen, plan, drawn)
                       : is_cpu   ? decode_by_steps(decoder, tokens, seen, plan, drawn, options)
                                  : bound->decode(tokens, seen, plan, drawn, options),
                       grid, graph);
}

std::vector<uint8_t> Model::decode_image(const Codes &codes) {
  const ImageSpec &spec = manifest().image;
  const int64_t size = int64_t{3} * spec.height * spec.width;
  return to_pixels(floats("image_decoder", {{"codes", codes}}, "image", size), spec);
}

Mel Model::decode_mel(const Codes &codes, uint64_t seed, uint64_t window) {
  const MelSpec &spec = manifest().mel;
  const Session &graph = session("mel_decoder");
  std::vector<Input> inputs{{"codes", codes}};
  std::vector<float> texture;
  if (graph.takes("noise")) {
    const std::vector<int64_t> dims = graph.shape_of("noise", 1);
    size_t count = 1;
    for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
    texture = uniforms(seed, kMelStream + window, count);
    inputs.emplace_back("noise", texture, dims);
  }
  return floats("mel_decoder", inputs, "mel", int64_t{spec.n_mels} * spec.n_frames);
}

Samples Model::vocode(const Mel &mel) {
  const MelSpec &spec = manifest().mel;
  const auto frames = static_cast<int64_t>(mel.size()) / spec.n_mels;
  return floats("vocoder", {{"mel", mel, {1, spec.n_mels, frames}}}, "waveform",
                frames * spec.hop_length);
}

Samples Model::decode_audio(const Codes &codes, uint64_t seed) {
  return levelled(vocode(decode_mel(codes, seed)));
}

}  // namespace echoes
