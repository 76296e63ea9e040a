// A loaded graph that can be run, by ONNX Runtime.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "device.h"
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

// A tensor that a graph put out, valid as long as this object.
class Output {
 public:
  Output(std::shared_ptr<OrtValue> value, void *data, std::vector<int64_t> shape)
      : value_(std::move(value)), data_(data), shape_(std::move(shape)) {}

  const OrtValue *value() const { return value_.get(); }
  // T is what the graph's spec says.
  template <typename T>
  const T *data() const {
    return static_cast<const T *>(data_);
  }
  template <typename T>
  std::vector<T> values() const {
    return {data<T>(), data<T>() + size()};
  }
  const std::vector<int64_t> &shape() const { return shape_; }
  size_t size() const;

 private:
  std::shared_ptr<OrtValue> value_;
  void *data_;
  std::vector<int64_t> shape_;
};

// A tensor that a graph takes in, valid as long as its values are.
struct Input {
  Input(const char *input_name, const std::vector<float> &values, std::vector<int64_t> dims)
      : name(input_name),
        type(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT),
        data(values.data()),
        num_bytes(values.size() * sizeof values[0]),
        shape(std::move(dims)) {}
  Input(const char *input_name, const std::vector<int32_t> &values, std::vector<int64_t> dims)
      : name(input_name),
        type(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32),
        data(values.data()),
        num_bytes(values.size() * sizeof values[0]),
        shape(std::move(dims)) {}
  Input(const char *input_name, const Output &output)
      : name(input_name), value(output.value()) {}

  const char *name;
  const OrtValue *value = nullptr;  // or, if null, what follows
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  const void *data = nullptr;
  size_t num_bytes = 0;
  std::vector<int64_t> shape;
};

// May be used by several threads at once.
class Session {
 public:
  // Loads a graph and checks its names, types and shapes. Throws BackendError or BundleError.
  Session(const Device &device, const std::filesystem::path &path, GraphSpec spec);

  // The graph's output.
  Output run(const std::vector<Input> &inputs) const;
  bool takes(const std::string &input) const;
  // Of so many rows of an input, all of whose other dimensions must be static: BundleError if not.
  std::vector<int64_t> shape_of(const std::string &input, int64_t rows) const;
  // An input with no rows.
  Output no_rows_of(const std::string &input) const;

 private:
  using Count = OrtStatus *(ORT_API_CALL *)(const OrtSession *, size_t *);
  using Name = OrtStatus *(ORT_API_CALL *)(const OrtSession *, size_t, OrtAllocator *, char **);
  using TypeInfo = OrtStatus *(ORT_API_CALL *)(const OrtSession *, size_t, OrtTypeInfo **);

  void check(OrtStatus *status) const;
  // Null if there is none of that name.
  const TensorSpec *find_input(const std::string &input) const;
  std::vector<TensorSpec> tensors(Count count_of, Name name_of, TypeInfo type_of) const;
  void check_tensors(const char *kind, const std::vector<TensorSpec> &tensors,
                     const std::vector<TensorSpec> &specs) const;
  Owned<OrtValue> tensor_of(const Input &input) const;
  Output output_of(OrtValue *value) const;

  std::shared_ptr<const OrtLibrary> library_;
  const OrtApi &api_;
  Owned<OrtSession> session_;
  Owned<OrtMemoryInfo> memory_;
  std::string name_, device_;
  std::string output_name_;
  std::vector<TensorSpec> inputs_;
};

}  // namespace echoes
