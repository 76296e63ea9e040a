// A loaded graph that can be run, by ONNX Runtime.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device.h"
#include "manifest.h"
#include "onnxruntime_c_api.h"
#include "worker.h"

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
  Output(std::shared_ptr<OrtValue> value, void *data, ONNXTensorElementDataType type,
         std::vector<int64_t> shape)
      : value_(std::move(value)), data_(data), type_(type), shape_(std::move(shape)) {}

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
  const void *bytes() const { return data_; }
  ONNXTensorElementDataType type() const { return type_; }
  const std::vector<int64_t> &shape() const { return shape_; }
  size_t size() const;
  size_t num_bytes() const;

 private:
  std::shared_ptr<OrtValue> value_;
  void *data_;
  ONNXTensorElementDataType type_;
  std::vector<int64_t> shape_;
};

inline ONNXTensorElementDataType type_of(const float *) {
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}
inline ONNXTensorElementDataType type_of(const int32_t *) {
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
}
inline ONNXTensorElementDataType type_of(const uint8_t *) {
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
}

// A tensor that a graph takes in, valid as long as its values are.
struct Input {
  template <typename T>
  Input(const char *input_name, const T *values, std::vector<int64_t> dims)
      : name(input_name), type(type_of(values)), data(values), num_bytes(sizeof(T)),
        shape(std::move(dims)) {
    for (const int64_t dim : shape) num_bytes *= static_cast<size_t>(dim);
  }
  template <typename T>
  Input(const char *input_name, const std::vector<T> &values, std::vector<int64_t> dims)
      : Input(input_name, values.data(), std::move(dims)) {}
  Input(const char *input_name, const OrtValue *tensor) : name(input_name), value(tensor) {}
  Input(const char *input_name, const Output &output)
      : name(input_name), value(output.value()), type(output.type()), data(output.bytes()),
        num_bytes(output.num_bytes()), shape(output.shape()) {}

  const char *name;
  const OrtValue *value = nullptr;  // if null, what follows
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  const void *data = nullptr;
  size_t num_bytes = 0;
  std::vector<int64_t> shape;
};

// As the number of a CUDA graph: ONNX Runtime neither records nor replays.
inline constexpr int kNotRecorded = -1;

// May be used by several threads at once.
class Session {
 public:
  // Loads a graph and checks its names, types and shapes. Throws BackendError or BundleError.
  Session(const Device &device, const std::filesystem::path &path, const GraphSpec &spec,
          const SessionDials &dials = {});
  // The same of a graph in memory.
  Session(const Device &device, const char *name, const std::vector<uint8_t> &graph,
          const GraphSpec &spec, const SessionDials &dials = {});

  // The graph's output, on the host.
  Output run(const std::vector<Input> &inputs) const;
  // Puts the output where `output` lies. `number`, from 1, is that of a CUDA graph, whose addresses
  // are the same in every run.
  void run_into(const std::vector<Input> &inputs, OrtValue *output, int number) const;
  // A tensor of so many bytes on the GPU where the session runs, valid as long as that.
  Owned<OrtValue> allocate(size_t num_bytes) const;
  // A part of such a tensor, valid as long as that; of the type and shape of `like`.
  Owned<OrtValue> part_of(OrtValue *bytes, size_t begin, const Input &like) const;
  bool takes(const std::string &input) const;
  // Of so many rows of an input, all of whose other dimensions must be static: BundleError if not.
  std::vector<int64_t> shape_of(const std::string &input, int64_t rows) const;
  // An input with no rows.
  Output no_rows_of(const std::string &input) const;

 private:
  using Count = OrtStatus *(ORT_API_CALL *)(const OrtSession *, size_t *);
  using Name = OrtStatus *(ORT_API_CALL *)(const OrtSession *, size_t, OrtAllocator *, char **);
  using TypeInfo = OrtStatus *(ORT_API_CALL *)(const OrtSession *, size_t, OrtTypeInfo **);

  using Create = std::function<OrtStatus *(const OrtSessionOptions *, OrtSession **)>;

  Session(const Device &device, std::string name);
  void open(const Device &device, const std::string &place, const GraphSpec &spec,
            const SessionDials &dials, const Create &create);
  void compute(const std::vector<Input> &inputs, const OrtRunOptions *options,
               OrtValue **output) const;
  void check(OrtStatus *status) const;
  // Null if there is none of that name.
  const TensorSpec *find_input(const std::string &input) const;
  std::vector<TensorSpec> tensors(Count count_of, Name name_of, TypeInfo type_of) const;
  void check_tensors(const char *kind, const std::vector<TensorSpec> &tensors,
                     const std::vector<TensorSpec> &specs) const;
  Owned<OrtValue> tensor_at(const Owned<OrtMemoryInfo> &memory, void *data,
                            const Input &like) const;
  Output output_of(OrtValue *value) const;

  std::shared_ptr<const OrtLibrary> library_;
  const OrtApi &api_;
  Owned<OrtSession> session_;
  Owned<OrtMemoryInfo> memory_;         // the host's
  Owned<OrtMemoryInfo> device_memory_;  // a GPU's, like the two that follow
  Owned<OrtAllocator> allocator_;
  std::unique_ptr<Worker> worker_;
  std::string name_, device_;
  std::string output_name_;
  std::vector<TensorSpec> inputs_;
};

}  // namespace echoes
