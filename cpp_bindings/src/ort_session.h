// Graphs run by ONNX Runtime.
#pragma once

#include <memory>
#include <string>

#include "bundle.h"
#include "ort_library.h"
#include "session.h"

namespace echoes {

// Where graphs run: "cpu" or "cuda:<index>", never "auto".
struct OrtDevice {
  std::shared_ptr<const OrtLibrary> library;
  std::string name = "cpu";
  std::string reason;
  int threads = 0;  // for one operator; 0 leaves it to ONNX Runtime
};

// Turns "auto", "cpu", "cuda" or "cuda:<index>" into a device that starts. Throws InputError, and
// BackendError if the requested device does not start; only "auto" falls back.
OrtDevice choose_device(std::shared_ptr<const OrtLibrary> library, const std::string &requested,
                        int threads);

// Loads a graph and checks that it is what the manifest says. Throws BackendError or BundleError.
std::unique_ptr<Session> open_session(const OrtDevice &device, const Bundle &bundle,
                                      const std::string &graph);

}  // namespace echoes
