#include "session.h"

#include <stdexcept>

namespace echoes {
namespace {

TensorSpec floats(const char *name, std::vector<int64_t> shape) {
  return {name, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, std::move(shape), false};
}

TensorSpec whole_numbers(const char *name, std::vector<int64_t> shape) {
  return {name, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, std::move(shape), false};
}

TensorSpec opaque(const char *name) {
  TensorSpec spec;
  spec.name = name;
  return spec;
}

// Of the graphs that decode one medium; the names of others are not among them.
GraphSpec decoding_spec(const Grid &grid, bool is_step) {
  const TensorSpec tokens = whole_numbers("tokens", {kFree, grid.n_tokens()});
  const TensorSpec decoded = whole_numbers("decoded", tokens.shape);
  const TensorSpec context = opaque("context");
  TensorSpec scale = floats("guidance_scale", {kFree});
  scale.is_optional = true;  // it may be folded in
  std::vector<int64_t> drawn{kFree, kFree};  // batch, drawn; before them the steps, if all are in it
  if (!is_step) drawn.push_back(kFree);
  GraphSpec spec{{tokens, context, whole_numbers("positions", drawn), floats("uniforms", drawn)},
                 decoded};
  for (const Drawing &setting : kDrawing) {
    spec.inputs.push_back(floats(setting.name, {is_step ? 1 : kFree}));
  }
  spec.inputs.push_back(scale);
  return spec;
}

}  // namespace

GraphSpec graph_spec(const Manifest &manifest, const std::string &graph) {
  const MelSpec &mel = manifest.mel;
  const auto picture = [&](const char *name) {
    return floats(name, {kFree, 3, manifest.image.height, manifest.image.width});
  };
  const auto codes = [&](Medium medium) {
    return whole_numbers("codes", {kFree, manifest.grids.of(medium).n_tokens()});
  };
  const auto frames = [&](int64_t count) { return floats("mel", {kFree, mel.n_mels, count}); };
  if (graph == "image_encoder") return {{picture("image")}, codes(Medium::kImage)};
  if (graph == "confidence") return {{codes(Medium::kImage)}, floats("confidence", {kFree})};
  if (graph == "image_decoder") return {{codes(Medium::kImage)}, picture("image")};
  if (graph == "log_mel") return {{floats("samples", {kFree, kFree})}, frames(kFree)};
  if (graph == "mel_encoder") return {{frames(mel.n_frames)}, codes(Medium::kAudio)};
  if (graph == "mel_decoder") {
    TensorSpec noise = floats("noise", {});
    noise.is_optional = true;
    return {{codes(Medium::kAudio), noise}, frames(mel.n_frames)};
  }
  if (graph == "vocoder") return {{frames(kFree)}, floats("waveform", {kFree, kFree})};
  for (const Medium medium : {Medium::kImage, Medium::kAudio}) {
    const std::string name = name_of(medium);
    if (graph == "context_" + name) return {{codes(medium)}, opaque("context")};
    const Grid &grid = manifest.grids.of(medium);
    if (graph == "decode_" + name) return decoding_spec(grid, false);
    if (graph == "decode_" + name + "_step") return decoding_spec(grid, true);
  }
  throw std::logic_error("no graph is named " + graph);
}

}  // namespace echoes
