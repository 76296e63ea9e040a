// Which files an ONNX graph reads besides itself, found without ONNX.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace echoes {

// The `location` of every tensor whose data lie outside of the file. Throws BundleError if `graph`
// is no ONNX model, or has a node that reads files.
std::set<std::string> external_locations(std::string_view graph);

}  // namespace echoes
