// Opening and verifying a bundle's folder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "manifest.h"

namespace echoes {

struct Bundle {
  std::filesystem::path folder;
  Manifest manifest;

  // Where a graph's ONNX file lies. Throws BundleError if there is none, or it has changed.
  std::filesystem::path graph_path(const std::string &name) const;
};

// Verifies every file that the manifest lists; throws BundleError.
Bundle open_bundle(const std::string &path);

// SHA-256 of data that comes in pieces (FIPS 180-4).
class Sha256 {
 public:
  void update(const void *data, size_t size);
  // 64 lower-case hexadecimal digits; ends the computation.
  std::string hex_digest();

 private:
  void add_block(const uint8_t *block);

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> pending_{};
  size_t num_pending_ = 0;
  uint64_t num_bytes_ = 0;
};

// Of a whole file; throws BundleError if it cannot be read.
std::string sha256_of_file(const std::filesystem::path &path);

// The `location` of every tensor whose data lie outside of the file. Throws BundleError if `graph`
// is no ONNX model, or has a node that reads files.
std::set<std::string> external_locations(std::string_view graph);

}  // namespace echoes
