// Opening a library at run time.
#pragma once

#include <filesystem>
#include <string>

namespace echoes {

// Stays open for ever: ONNX Runtime's threads do not outlive being unloaded.
class DynamicLibrary {
 public:
  // Throws std::runtime_error with the system's reason. A bare file name is looked for as the
  // system does.
  explicit DynamicLibrary(const std::filesystem::path &path);

  // Null if there is no such function.
  void *find(const char *name) const;

 private:
  void *handle_;
};

// The folder of the library (or program) that this code is in; empty if the system does not say.
std::filesystem::path own_folder();

}  // namespace echoes
