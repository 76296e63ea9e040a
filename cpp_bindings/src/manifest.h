// The manifest of a bundle, read by the rules of docs/format.md.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spec.h"

namespace echoes {

inline constexpr char kManifestName[] = "manifest.json";
inline constexpr size_t kMaxManifestBytes = 1 << 20;

// A file of the bundle; `file` is relative to the manifest, with forward slashes.
struct DataFile {
  std::string file;
  std::string sha256;
  int64_t size_bytes = 0;

  bool operator==(const DataFile &other) const {
    return file == other.file && sha256 == other.sha256 && size_bytes == other.size_bytes;
  }
};

// A dimension given by name is free at run time; then `size` is 0.
struct Dim {
  int64_t size = 0;
  std::string name;

  bool operator==(const Dim &other) const { return size == other.size && name == other.name; }
};

struct TensorSpec {
  std::string dtype;
  std::vector<Dim> shape;

  bool operator==(const TensorSpec &other) const {
    return dtype == other.dtype && shape == other.shape;
  }
};

// By name, in the order in which the graph has them.
using TensorSpecs = std::vector<std::pair<std::string, TensorSpec>>;

struct GraphEntry {
  DataFile file;
  std::string precision;
  TensorSpecs inputs;
  TensorSpecs outputs;
  std::vector<DataFile> external_data;
};

struct Manifest {
  std::string name;
  std::string license;
  ImageSpec image;
  MelSpec mel;
  TokenLayout tokens;
  Sampling sampling;
  std::map<std::string, GraphEntry> graphs;

  // Every file but the manifest, once, by name.
  std::map<std::string, DataFile> files() const;
  bool has_graph(const std::string &graph) const { return graphs.count(graph) > 0; }
};

// Throws ManifestError naming the first key that breaks a rule.
Manifest parse_manifest(std::string_view json);

}  // namespace echoes
