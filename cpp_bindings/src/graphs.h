// What the graphs of docs/format.md take and give.
#pragma once

#include <string>
#include <vector>

#include "manifest.h"
#include "onnxruntime_c_api.h"

namespace echoes {

// A dimension that is free at run time.
inline constexpr int64_t kFree = -1;

// An undefined type and an empty shape are the bundle's affair.
struct TensorSpec {
  std::string name;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<int64_t> shape;
  bool is_optional = false;  // a graph may do without it
};

struct GraphSpec {
  std::vector<TensorSpec> inputs;
  TensorSpec output;
};

// Of a graph of a known name, by the sizes in the manifest.
GraphSpec graph_spec(const Manifest &manifest, const std::string &graph);

}  // namespace echoes
