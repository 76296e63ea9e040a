// The manifest of a bundle, read by the rules of docs/format.md.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
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
};

struct GraphEntry {
  DataFile file;
  std::vector<DataFile> external_data;
};

struct Manifest {
  std::string name;
  std::string license;
  ImageSpec image;
  MelSpec mel;
  Grids grids;
  Options options{};       // with seed 0 and no callback
  bool is_folded = false;  // guidance is in the weights: its scale is 1
  std::map<std::string, GraphEntry> graphs;

  // Every file but the manifest, once, by name.
  std::map<std::string, DataFile> files() const;
  bool has_graph(const std::string &graph) const { return graphs.count(graph) > 0; }
};

// Throws ManifestError naming the first key that breaks a rule.
Manifest parse_manifest(std::string_view json);

}  // namespace echoes
