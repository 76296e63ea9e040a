// A loaded graph that can be run, by ONNX Runtime.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device.h"
#include "errors.h"
#include "onnxruntime_c_api.h"
#include "worker.h"

namespace echoes {

// A tensor that a graph says it takes in; a dimension below 1 is free.
struct TensorSpec {
  std::string name;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<int64_t> shape;
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

// A tensor that a graph put out, valid as long as this object.
class Output {
 public:
  Output(std::string graph, std::shared_ptr<OrtValue> value, void *data,
         ONNXTensorElementDataType type, std::vector<int64_t> shape)
      : graph_(std::move(graph)), value_(std::move(value)), data_(data), type_(type),
        shape_(std::move(shape)) {}

  const OrtValue *value() const { return value_.get(); }
  // Throws BundleError if they are of another type.
  template <typename T>
  std::vector<T> values() const {
    const T *first = static_cast<const T *>(data_);
    if (type_ != type_of(first)) {
      throw BundleError(graph_, " gave numbers of type ", static_cast<int>(type_), " of ONNX, ",
                        "not of ", static_cast<int>(type_of(first)), "; get the bundle again");
    }
    return {first, first + size()};
  }
  const void *bytes() const { return data_; }
  ONNXTensorElementDataType type() const { return type_; }
  const std::vector<int64_t> &shape() const { return shape_; }
  size_t size() const;
  size_t num_bytes() const;

 private:
  std::string graph_;
  std::shared_ptr<OrtValue> value_;
  void *data_;
  ONNXTensorElementDataType type_;
  std::vector<int64_t> shape_;
};

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
  // All values as one row.
  template <typename T>
  Input(const char *input_name, const std::vector<T> &values)
      : Input(input_name, values, {1, static_cast<int64_t>(values.size())}) {}
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
  // Loads a graph. Throws BackendError.
  Session(const Device &device, const std::filesystem::path &path, const SessionDials &dials = {});
  // The same of a graph in memory.
  Session(const Device &device, const char *name, const std::vector<uint8_t> &graph,
          const SessionDials &dials = {});

  // An output of the graph, on the host. Throws BundleError if the graph does not take these inputs
  // or give this output.
  Output run(const std::vector<Input> &inputs, const char *output) const;
  // Puts it where `value` lies. `number`, from 1, is that of a CUDA graph, whose addresses are the
  // same in every run.
  void run_into(const std::vector<Input> &inputs, const char *output, OrtValue *value,
                int number) const;
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
  using Create = std::function<OrtStatus *(const OrtSessionOptions *, OrtSession **)>;

  Session(const Device &device, const std::filesystem::path &place, const SessionDials &dials,
          const Create &create);
  void compute(const std::vector<Input> &inputs, const char *output, OrtValue **value,
               int number) const;
  void check(OrtStatus *status) const;
  // Null if there is none of that name.
  const TensorSpec *find_input(const std::string &input) const;
  TensorSpec input_at(size_t index) const;
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
  std::vector<TensorSpec> inputs_;
};

}  // namespace echoes
