#include "manifest.h"

#include "errors.h"
#include "json.h"

namespace echoes {
namespace {

// Of values that the schema has let pass.
double number(yyjson_val *part, const char *key) {
  return yyjson_get_num(yyjson_obj_get(part, key));
}
int whole(yyjson_val *part, const char *key) { return static_cast<int>(number(part, key)); }
std::string text(yyjson_val *part, const char *key) {
  return std::string(text_of(yyjson_obj_get(part, key)));
}
std::vector<double> numbers(yyjson_val *part, const char *key) {
  std::vector<double> all;
  size_t index, count;
  yyjson_val *item;
  yyjson_arr_foreach(yyjson_obj_get(part, key), index, count, item) {
    all.push_back(yyjson_get_num(item));
  }
  return all;
}

ImageSpec image_of(yyjson_val *part) {
  ImageSpec image;
  image.height = whole(part, "height");
  image.width = whole(part, "width");
  const std::vector<double> mean = numbers(part, "mean"), std = numbers(part, "std");
  for (size_t c = 0; c < 3; ++c) image.mean[c] = mean[c], image.std[c] = std[c];
  return image;
}

MelSpec mel_of(yyjson_val *part, const Grid &audio) {
  MelSpec mel;
  mel.sample_rate = whole(part, "sample_rate");
  mel.hop_length = whole(part, "hop_length");
  mel.n_mels = whole(part, "n_mels");
  mel.n_frames = whole(part, "n_frames");
  const int n_fft = whole(part, "n_fft"), win_length = whole(part, "win_length");
  if (mel.hop_length > win_length || win_length > n_fft) {
    refuse_key("mel must have hop_length <= win_length <= n_fft, got ", mel.hop_length, ", ",
               win_length, ", ", n_fft);
  }
  if (n_fft % mel.hop_length != 0) {
    refuse_key("mel must have an n_fft that is a multiple of hop_length, got ", n_fft, ", ",
               mel.hop_length);
  }
  const double f_min = number(part, "f_min"), f_max = number(part, "f_max");
  const double nyquist = mel.sample_rate / 2.0;
  if (!(f_min < f_max && f_max <= nyquist)) {
    refuse_key("mel must have f_min < f_max <= ", nyquist, " Hz, half the sample rate, got ", f_min,
               ", ", f_max);
  }
  if (mel.n_frames % audio.width != 0) {
    refuse_key("mel.n_frames must be a multiple of tokens.audio.width, ", audio.width, ", got ",
               mel.n_frames);
  }
  return mel;
}

Grid grid_of(yyjson_val *tokens, const char *medium) {
  yyjson_val *part = yyjson_obj_get(tokens, medium);
  Grid grid;
  grid.height = whole(part, "height");
  grid.width = whole(part, "width");
  grid.codebook_size = whole(part, "codebook_size");
  bool is_inside = true;
  for (const double position : numbers(part, "order")) {
    is_inside = is_inside && position < grid.n_tokens();
    grid.order.push_back(static_cast<int32_t>(position));
  }
  // The schema allows no repeats.
  if (!is_inside || grid.order.size() != static_cast<size_t>(grid.n_tokens())) {
    refuse_key("tokens.", medium, " must have an order that holds each of the grid's ",
               grid.n_tokens(), " positions once, got ", shown(yyjson_obj_get(part, "order")));
  }
  return grid;
}

void read_sampling(yyjson_val *part, Manifest &manifest) {
  Options &options = manifest.options;
  options.struct_size = sizeof options;
  options.steps = whole(part, "steps");
  options.guidance_scale = number(part, "guidance_scale");
  for (const auto &[name, value] : kDrawing) options.*value = number(part, name);
  const bool is_annealed = text(part, "guidance_schedule") == "annealed";
  options.guidance_schedule = is_annealed ? ECHOES_GUIDANCE_ANNEALED : ECHOES_GUIDANCE_CONSTANT;
  const std::vector<double> interval = numbers(part, "guidance_interval");
  options.guidance_start = interval[0];
  options.guidance_stop = interval[1];
  if (interval[0] > interval[1]) {
    refuse_key("sampling.guidance_interval must be two rising numbers, got ",
               shown(yyjson_obj_get(part, "guidance_interval")));
  }
  manifest.is_folded = yyjson_equals_str(yyjson_obj_get(part, "guidance"), "folded");
  if (manifest.is_folded && options.guidance_scale != 1) {
    refuse_key("sampling.guidance_scale must be 1 where guidance is folded in, got ",
               options.guidance_scale);
  }
}

DataFile file_of(yyjson_val *part) {
  return {text(part, "file"), text(part, "sha256"),
          static_cast<int64_t>(number(part, "size_bytes"))};
}

GraphEntry graph_of(yyjson_val *part) {
  GraphEntry entry{file_of(part), {}};
  size_t index, count;
  yyjson_val *item;
  yyjson_arr_foreach(yyjson_obj_get(part, "external_data"), index, count, item) {
    entry.external_data.push_back(file_of(item));
  }
  return entry;
}

// Throws if two graphs give a file they share another size or checksum.
std::map<std::string, GraphEntry> graphs_of(yyjson_val *part) {
  std::map<std::string, GraphEntry> graphs;
  std::map<std::string, DataFile> known;
  const auto check = [&](std::string_view graph, const DataFile &file) {
    const DataFile &first = known.emplace(file.file, file).first->second;
    if (first.sha256 == file.sha256 && first.size_bytes == file.size_bytes) return;
    refuse_key("graphs.", graph, " must give file ", file.file, " the sha256 and size_bytes that ",
               "another graph gives it, got ", file.sha256, ", ", file.size_bytes);
  };
  size_t index, count;
  yyjson_val *name, *value;
  yyjson_obj_foreach(part, index, count, name, value) {
    const GraphEntry entry = graph_of(value);
    check(text_of(name), entry.file);
    for (const DataFile &file : entry.external_data) check(text_of(name), file);
    graphs.emplace(text_of(name), entry);
  }
  return graphs;
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
  yyjson_val *root = document.root();
  check_schema(root);
  Manifest manifest;
  manifest.name = text(root, "name");
  manifest.license = text(root, "license");
  manifest.image = image_of(yyjson_obj_get(root, "image"));
  yyjson_val *tokens = yyjson_obj_get(root, "tokens");
  manifest.grids = {grid_of(tokens, "image"), grid_of(tokens, "audio")};
  manifest.mel = mel_of(yyjson_obj_get(root, "mel"), manifest.grids.audio);
  read_sampling(yyjson_obj_get(root, "sampling"), manifest);
  manifest.graphs = graphs_of(yyjson_obj_get(root, "graphs"));
  return manifest;
}

}  // namespace echoes
