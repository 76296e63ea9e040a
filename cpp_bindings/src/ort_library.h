// ONNX Runtime, found and opened at run time, so that one binary serves many of its releases.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

// Without this the header would want OrtGetApiBase to be linked.
#define ORT_API_MANUAL_INIT
#include "onnxruntime_c_api.h"

namespace echoes {

class OrtLibrary {
 public:
  // `path` is a file or folder; empty looks where echoes_rt.h says. A library that was opened
  // before is shared. Throws BackendError.
  static std::shared_ptr<const OrtLibrary> open(const std::string &path);

  const OrtApi &api() const { return *api_; }
  OrtEnv *environment() const { return environment_; }
  const std::string &version() const { return version_; }
  // The 20 of version 1.20.1.
  uint32_t release() const;
  // Throws BackendError with the first line of ONNX Runtime's reason behind `what`.
  void check(OrtStatus *status, const std::string &what) const;

 private:
  explicit OrtLibrary(const std::string &path);

  const OrtApi *api_ = nullptr;
  OrtEnv *environment_ = nullptr;  // never released, like the library
  std::string version_;
};

}  // namespace echoes
