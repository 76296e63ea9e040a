// Opening and verifying a bundle's folder.
#pragma once

#include <filesystem>
#include <string>

#include "manifest.h"

namespace echoes {

struct Bundle {
  std::filesystem::path folder;
  Manifest manifest;

  // Where the ONNX file of a graph lies; throws BundleError if there is no such graph.
  std::filesystem::path graph_path(const std::string &graph) const;
};

// Verifies every file that the manifest lists; throws BundleError.
Bundle open_bundle(const std::string &path);

}  // namespace echoes
