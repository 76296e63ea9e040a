// The names, types and shapes of a bundle's graphs.
#pragma once

#include "manifest.h"

namespace echoes {

// Throws ManifestError if a graph of a known name has another signature than the sizes say.
void check_signatures(const Manifest &manifest);

}  // namespace echoes
