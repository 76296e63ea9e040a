// SHA-256 of data that comes in pieces (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace echoes {

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

}  // namespace echoes
