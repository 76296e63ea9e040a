// Opening and verifying a bundle's folder.
#pragma once

#include <filesystem>
#include <string>

#include "manifest.h"

namespace echoes {

struct Bundle {
  std::filesystem::path folder;
  Manifest manifest;

  // Throws BundleError if there is no such graph; also below.
  const GraphEntry &graph(const std::string &name) const;
  // Where its ONNX file lies.
  std::filesystem::path graph_path(const std::string &name) const;
};

// Verifies every file that the manifest lists; throws BundleError.
Bundle open_bundle(const std::string &path);

}  // namespace echoes
