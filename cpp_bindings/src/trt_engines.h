// The TensorRT engines of a bundle. Compiled only where NvInfer.h is found; TensorRT's library and
// the driver are opened at run time.
#pragma once

#include <filesystem>
#include <memory>

#include "bundle.h"
#include "device.h"

namespace echoes {

// Throws BackendError naming the first thing that is missing: driver, GPU, library or engine.
std::shared_ptr<const Engines> find_engines(const Bundle &bundle,
                                            const std::filesystem::path &folder, int index);

}  // namespace echoes
