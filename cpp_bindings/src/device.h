// What runs a bundle's graphs: ONNX Runtime, and TensorRT where the bundle has engines for it.
#pragma once

#include <memory>
#include <string>

#include "bundle.h"
#include "ort_device.h"
#include "session.h"

namespace echoes {

// Engines that fit this machine.
class Engines {
 public:
  virtual ~Engines() = default;
  virtual bool has(const std::string &graph) const = 0;
  // Throws BackendError if it does not load, and BundleError if it is not what the manifest says.
  virtual std::unique_ptr<Session> open(const std::string &graph, const GraphEntry &entry) const = 0;
  // What there is, for people.
  virtual std::string text() const = 0;
};

struct Device {
  OrtDevice ort;  // of the graphs without an engine
  std::shared_ptr<const Engines> engines;
  std::string name;    // "cpu", "cuda:<index>" or "tensorrt:<index>"
  std::string reason;  // why that one

  bool has_engine(const std::string &graph) const {
    return engines != nullptr && engines->has(graph);
  }
  std::unique_ptr<Session> open(const Bundle &bundle, const std::string &graph) const;
};

// Turns "auto", "cpu", "cuda[:<index>]" or "tensorrt[:<index>]" into a device that starts. Throws
// InputError, and BackendError if the requested device does not start; only "auto" falls back.
Device choose_device(std::shared_ptr<const OrtLibrary> library, const Bundle &bundle,
                     const std::string &requested, int threads);

}  // namespace echoes
