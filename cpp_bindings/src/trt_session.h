// Graphs run by TensorRT engines: fixed buffers, one enqueue.
#pragma once

#include <filesystem>
#include <memory>

#include "gpu.h"
#include "manifest.h"
#include "session.h"

namespace echoes {

// Loads an engine and checks that it takes and gives what the manifest says of its graph. Throws
// BackendError or BundleError.
std::unique_ptr<Session> open_engine(const std::filesystem::path &path, const GraphEntry &entry,
                                     const Gpu &gpu);

}  // namespace echoes
