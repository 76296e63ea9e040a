// Graphs run by ONNX Runtime.
#pragma once

#include <memory>
#include <string>

#include "bundle.h"
#include "ort_device.h"
#include "session.h"

namespace echoes {

// Loads a graph and checks that it is what the manifest says. Throws BackendError or BundleError.
std::unique_ptr<Session> open_session(const OrtDevice &device, const Bundle &bundle,
                                      const std::string &graph);

}  // namespace echoes
