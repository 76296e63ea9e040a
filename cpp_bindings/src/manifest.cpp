#include "manifest.h"

#include <set>
#include <stdexcept>

#include "errors.h"
#include "json_fields.h"
#include "manifest_rules.h"
#include "signatures.h"

namespace echoes {
namespace {

constexpr int kFormatVersion = 1;

constexpr int kMaxImageSide = 4096;
constexpr int kMaxGridSide = 1024;
constexpr int kMaxCodebookSize = 1 << 16;
constexpr int kMaxTokens = 1 << 14;
constexpr int kMaxFrames = 1 << 17;
constexpr int kMaxFftSize = 1 << 16;
constexpr int64_t kMaxFileBytes = int64_t{1} << 34;
constexpr size_t kMaxLabels = 10'000;

constexpr char kInnerPath[] =
    "a path inside the bundle's folder, of A-Z, a-z, 0-9, '.', '_', '-', ' ' and '/'";

int small_integer(const Field &field, int low, int high) {
  return static_cast<int>(field.integer(low, high));
}

std::string choice(const Field &field, const std::vector<std::string> &choices) {
  std::string allowed = "one of ";
  for (const std::string &name : choices) {
    allowed += (&name == &choices.front() ? "" : ", ") + name;
  }
  return field.string(
      [&](const std::string &text) {
        return std::find(choices.begin(), choices.end(), text) != choices.end();
      },
      allowed);
}

std::string line(const Field &field) { return field.string(is_line, "a line of text"); }

void check_version(const Object &root) {
  const Field field = root["format_version"];
  try {
    field.integer(kFormatVersion, kFormatVersion);
  } catch (const ManifestError &) {
    throw ManifestError(sentence("manifest key format_version must be ", kFormatVersion, ", got ",
                                 field.shown(),
                                 "; install the version of echoes-rt that reads this bundle"));
  }
}

void check_labels(const Field &field) {
  std::set<std::string> labels;
  for (const Field &item : field.array(0, kMaxLabels, "labels")) {
    if (!labels.insert(line(item)).second) throw field.wrong("an array without repeats");
  }
}

std::array<double, 3> three_numbers(const Field &field, double low, double high) {
  std::array<double, 3> numbers{};
  const std::vector<Field> items = field.array(3, 3, "numbers");
  for (size_t i = 0; i < 3; ++i) numbers[i] = items[i].number(low, high);
  return numbers;
}

ImageSpec image(const Object &part) {
  ImageSpec image;
  image.height = small_integer(part["height"], 1, kMaxImageSide);
  image.width = small_integer(part["width"], 1, kMaxImageSide);
  image.mean = three_numbers(part["mean"], -255.0, 255.0);
  image.std = three_numbers(part["std"], 1e-6, 255.0);
  return image;
}

void check_mel(const MelSpec &mel) {
  const std::string refused = "manifest key mel is refused: ";
  if (mel.hop_length > mel.win_length || mel.win_length > mel.n_fft) {
    throw ManifestError(sentence(refused, "mel needs hop_length <= win_length <= n_fft, got ",
                                 mel.hop_length, ", ", mel.win_length, ", ", mel.n_fft));
  }
  if (mel.n_fft % mel.hop_length != 0) {
    throw ManifestError(sentence(refused, "n_fft must be a multiple of hop_length, got ", mel.n_fft,
                                 ", ", mel.hop_length));
  }
  const double nyquist = mel.sample_rate / 2.0;
  if (!(mel.f_min < mel.f_max && mel.f_max <= nyquist)) {
    throw ManifestError(sentence(refused, "mel needs 0 <= f_min < f_max <= ", nyquist, " Hz, got ",
                                 mel.f_min, ", ", mel.f_max));
  }
}

MelSpec mel(const Object &part, const TokenLayout &layout) {
  MelSpec mel;
  mel.sample_rate = small_integer(part["sample_rate"], 1, 384'000);
  mel.n_fft = small_integer(part["n_fft"], 1, kMaxFftSize);
  mel.win_length = small_integer(part["win_length"], 1, kMaxFftSize);
  mel.hop_length = small_integer(part["hop_length"], 1, kMaxFftSize);
  mel.n_mels = small_integer(part["n_mels"], 1, 1024);
  mel.n_frames = small_integer(part["n_frames"], 1, kMaxFrames);
  mel.f_min = part["f_min"].number(0.0, 192'000.0);
  mel.f_max = part["f_max"].number(0.0, 192'000.0);
  check_mel(mel);
  if (mel.n_frames % layout.audio.width != 0) {
    throw part["n_frames"].wrong(sentence("a multiple of tokens.audio.width, ", layout.audio.width));
  }
  return mel;
}

Grid grid(const Object &part) {
  Grid grid;
  grid.height = small_integer(part["height"], 1, kMaxGridSide);
  grid.width = small_integer(part["width"], 1, kMaxGridSide);
  grid.codebook_size = small_integer(part["codebook_size"], 1, kMaxCodebookSize);
  return grid;
}

TokenLayout tokens(const Object &part) {
  const TokenLayout layout{grid(part["image"].object()), grid(part["audio"].object())};
  if (layout.n_tokens() > kMaxTokens) {
    throw ManifestError(sentence("manifest key tokens must hold at most ", kMaxTokens,
                                 " tokens, got ", layout.n_tokens()));
  }
  return layout;
}

Sampling sampling(const Field &field, const TokenLayout &layout) {
  const Object part = field.object();
  Sampling sampling;
  sampling.steps = small_integer(part["steps"], 1, layout.audio.n_tokens());
  sampling.guidance_scale = part["guidance_scale"].number(0.0, 1000.0);
  sampling.temperature = part["temperature"].number(0.0, 1000.0);
  sampling.choice_temperature = part["choice_temperature"].number(0.0, 1000.0);
  if (const auto schedule = part.find("guidance_schedule")) {
    const bool is_annealed = choice(*schedule, {"constant", "annealed"}) == "annealed";
    sampling.guidance_schedule =
        is_annealed ? GuidanceSchedule::kAnnealed : GuidanceSchedule::kConstant;
  }
  if (const auto interval = part.find("guidance_interval")) {
    const std::vector<Field> shares = interval->array(2, 2, "numbers");
    sampling.guidance_start = shares[0].number(0.0, 1.0);
    sampling.guidance_stop = shares[1].number(0.0, 1.0);
  }
  try {
    check_sampling(sampling);
  } catch (const std::invalid_argument &error) {
    throw ManifestError(sentence("manifest key ", field.key(), " is refused: ", error.what()));
  }
  return sampling;
}

DataFile data_file(const Object &part) {
  const Field field = part["file"];
  DataFile file;
  file.file = field.string(is_inner_path, kInnerPath);
  if (file.file == kManifestName) throw field.wrong(sentence("a file other than ", kManifestName));
  file.sha256 = part["sha256"].string(is_sha256, "64 lower-case hexadecimal digits");
  file.size_bytes = part["size_bytes"].integer(1, kMaxFileBytes);
  return file;
}

Dim dimension(const Field &field) {
  if (field.is_string()) return {0, field.string(is_graph_name, "a dimension's name")};
  return {field.integer(1, INT32_MAX), ""};
}

TensorSpecs tensors(const Field &field) {
  TensorSpecs specs;
  for (const auto &[name, tensor] : field.object().items()) {
    const std::vector<Field> items = tensor.array(2, 2, "items, a dtype and a shape");
    TensorSpec spec;
    spec.dtype = choice(items[0], {"float32", "float16", "int32", "int64", "uint8", "bool"});
    for (const Field &dim : items[1].array(0, 8, "dimensions")) {
      spec.shape.push_back(dimension(dim));
    }
    specs.emplace_back(name, std::move(spec));
  }
  return specs;
}

GraphEntry graph(const Object &part) {
  GraphEntry entry;
  entry.file = data_file(part);
  std::vector<Field> external;
  if (const auto field = part.find("external_data")) external = field->array(0, 64, "files");
  entry.precision = choice(part["precision"], {"fp32", "fp16", "int8"});
  entry.inputs = tensors(part["inputs"]);
  entry.outputs = tensors(part["outputs"]);
  for (const Field &item : external) entry.external_data.push_back(data_file(item.object()));
  return entry;
}

std::map<std::string, GraphEntry> graphs(const Object &part) {
  for (const auto &[name, entry] : part.items()) {
    if (!is_graph_name(name)) {
      throw ManifestError(sentence(
          "manifest key graphs must name graphs by 1 to 64 of a-z, 0-9, '_', got '", name, "'"));
    }
  }
  for (const char *name : {"image_encoder", "step", "mel_decoder", "vocoder"}) {
    part[name].object();
  }
  std::map<std::string, GraphEntry> graphs;
  for (const auto &[name, entry] : part.items()) graphs[name] = graph(entry.object());
  return graphs;
}

// A file that two graphs share must have one size and one checksum.
void check_files(const std::map<std::string, GraphEntry> &graphs) {
  std::map<std::string, DataFile> known;
  const auto check = [&](const std::string &name, const DataFile &file) {
    if (known.emplace(file.file, file).first->second == file) return;
    throw ManifestError(sentence("manifest key graphs.", name, " must give file ", file.file,
                                 " the sha256 and size_bytes that another graph gives it, got ",
                                 file.sha256, ", ", file.size_bytes));
  };
  for (const auto &[name, entry] : graphs) {
    check(name, entry.file);
    for (const DataFile &file : entry.external_data) check(name, file);
  }
}

}  // namespace

std::map<std::string, DataFile> Manifest::files() const {
  std::map<std::string, DataFile> files;
  for (const auto &[graph, entry] : graphs) {
    files.emplace(entry.file.file, entry.file);
    for (const DataFile &file : entry.external_data) files.emplace(file.file, file);
  }
  return files;
}

Manifest parse_manifest(std::string_view json) {
  const JsonDocument document(json);
  const Field root_field = document.root();
  const Object root = [&] {
    try {
      return root_field.object();
    } catch (const ManifestError &) {
      throw ManifestError(sentence("the manifest must be a JSON object, got ", root_field.shown()));
    }
  }();
  check_version(root);
  Manifest manifest;
  manifest.tokens = tokens(root["tokens"].object());
  manifest.name = root["name"].string(is_bundle_name, "1 to 64 of a-z, 0-9, '.', '_', '-'");
  manifest.license = line(root["license"]);
  line(root["created_by"]);
  if (const auto description = root.find("description")) {
    description->string(is_long_text, "text of at most 10000 characters");
  }
  check_labels(root["labels"]);
  manifest.image = image(root["image"].object());
  manifest.mel = mel(root["mel"].object(), manifest.tokens);
  manifest.sampling = sampling(root["sampling"], manifest.tokens);
  manifest.graphs = graphs(root["graphs"].object());
  check_signatures(manifest);
  check_files(manifest.graphs);
  return manifest;
}

}  // namespace echoes
