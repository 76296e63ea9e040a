#include "signatures.h"

#include <algorithm>

#include "errors.h"

namespace echoes {
namespace {

struct Signature {
  const char *graph;
  TensorSpecs inputs;
  TensorSpecs outputs;
};

// `tensors`, and what the fused graphs take of a DecodePlan and its noise for so many steps.
TensorSpecs with_plan(TensorSpecs tensors, const Dim &steps, const TokenLayout &layout) {
  const Dim batch{0, "batch"};
  const TensorSpec dial{"float32", {steps}};
  const TensorSpec uniforms{"float32", {steps, {2, ""}, batch, {layout.n_tokens(), ""}}};
  const TensorSpecs plan{{"keep", {"int32", {steps, batch}}},
                         {"temperature", dial},
                         {"choice_temperature", dial},
                         {"guidance_scale", dial},
                         {"uniforms", uniforms}};
  tensors.insert(tensors.end(), plan.begin(), plan.end());
  return tensors;
}

std::vector<Signature> signatures(const Manifest &manifest) {
  const ImageSpec &image = manifest.image;
  const MelSpec &mel = manifest.mel;
  const TokenLayout &layout = manifest.tokens;
  const Dim batch{0, "batch"};
  const TensorSpec pixels{"float32", {batch, {3, ""}, {image.height, ""}, {image.width, ""}}};
  const TensorSpec clip{"float32", {batch, {mel.n_mels, ""}, {mel.n_frames, ""}}};
  const TensorSpec frames{"float32", {batch, {mel.n_mels, ""}, {0, "frames"}}};
  const TensorSpec waveform{"float32", {batch, {0, "samples"}}};
  const TensorSpec image_codes{"int32", {batch, {layout.image.n_tokens(), ""}}};
  const TensorSpec audio_codes{"int32", {batch, {layout.audio.n_tokens(), ""}}};
  const TensorSpec tokens{"int32", {batch, {layout.n_tokens(), ""}}};
  const TensorSpec logits{"float32", {batch, {layout.n_tokens(), ""}, {layout.vocab_size(), ""}}};
  const TensorSpec flags{"bool", tokens.shape};
  const TensorSpec clip_waveform{"float32", {batch, {mel.n_samples(), ""}}};
  const TensorSpec guided{"bool", {{0, "guided"}, {layout.n_tokens(), ""}}};
  const Dim steps{0, "steps"}, one{1, ""};
  const auto question =
      with_plan({{"tokens", tokens}, {"mask", flags}, {"condition", flags}}, steps, layout);
  const auto step = with_plan({{"tokens", tokens}, {"condition", guided}}, one, layout);
  const auto picture = with_plan({{"image", pixels}}, steps, layout);
  return {
      {"image_encoder", {{"image", pixels}}, {{"codes", image_codes}}},
      {"image_decoder", {{"codes", image_codes}}, {{"image", pixels}}},
      {"mel_encoder", {{"mel", clip}}, {{"codes", audio_codes}}},
      {"mel_decoder", {{"codes", audio_codes}}, {{"mel", clip}}},
      {"step", {{"tokens", tokens}}, {{"logits", logits}}},
      {"vocoder", {{"mel", frames}}, {{"waveform", waveform}}},
      {"decode", question, {{"decoded", tokens}}},
      {"decode_step", step, {{"decoded", tokens}}},
      {"image_to_audio", picture, {{"waveform", clip_waveform}, {"codes", audio_codes}}},
  };
}

std::string text_of(const TensorSpecs &tensors) {
  std::string text;
  for (const auto &[name, tensor] : tensors) {
    if (!text.empty()) text += ", ";
    text += name + " " + tensor.dtype + " (";
    for (size_t i = 0; i < tensor.shape.size(); ++i) {
      const Dim &dim = tensor.shape[i];
      text += (i > 0 ? ", " : "") + (dim.name.empty() ? sentence(dim.size) : dim.name);
    }
    text += ")";
  }
  return text;
}

}  // namespace

void check_signatures(const Manifest &manifest) {
  for (const Signature &allowed : signatures(manifest)) {
    const auto found = manifest.graphs.find(allowed.graph);
    if (found == manifest.graphs.end()) continue;
    const auto check = [&](const char *side, const TensorSpecs &got, const TensorSpecs &want) {
      // Their order says nothing: graphs are asked by name.
      if (std::is_permutation(got.begin(), got.end(), want.begin(), want.end())) return;
      throw ManifestError(sentence("manifest key graphs.", allowed.graph, ".", side, " must be ",
                                   text_of(want), ", as the keys image, mel and tokens say, got ",
                                   text_of(got)));
    };
    check("inputs", found->second.inputs, allowed.inputs);
    check("outputs", found->second.outputs, allowed.outputs);
  }
}

}  // namespace echoes
