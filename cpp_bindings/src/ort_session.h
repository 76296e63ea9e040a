// Graphs run by ONNX Runtime.
#pragma once

#include <filesystem>
#include <memory>

#include "manifest.h"
#include "ort_device.h"
#include "session.h"

namespace echoes {

// Loads a graph and checks that it has the signature of the entry, which is the manifest's. Throws
// BackendError or BundleError.
std::unique_ptr<Session> open_session(const OrtDevice &device, const std::filesystem::path &path,
                                      const GraphEntry &entry);

}  // namespace echoes
