// TensorRT engine files: the record beside each, and whether it still fits. The rules are those of
// echoes_rt.spec.engine_file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "manifest.h"

namespace echoes {

// What an engine depends on; driver and l4t are empty where they had no part in it.
struct EngineKey {
  std::string graph;
  std::string flavour;  // "tensorrt", or "rtx", which only Python runs
  std::string version;
  std::string precision;
  std::string model_sha256;
  std::string driver;
  std::string l4t;
  int64_t sm = 0;
};

struct EngineFile {
  EngineKey key;
  std::string engine_sha256;
};

// The record of `engine`, from <engine>.json. Throws BackendError if it is none.
EngineFile read_engine_file(const std::filesystem::path &engine);

// Throws BackendError naming the first thing in which `file` differs from what this machine wants,
// or if the engine is damaged. Any graph and precision will do.
void check_engine(const std::filesystem::path &engine, const EngineFile &file,
                  const EngineKey &wanted);

// One hash for a bundle: of the names and hashes of all its files.
std::string model_sha256(const Manifest &manifest);

}  // namespace echoes
