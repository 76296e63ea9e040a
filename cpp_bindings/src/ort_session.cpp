#include "ort_session.h"

#include <algorithm>

#include "errors.h"

namespace echoes {
namespace {

const char *dtype_name(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return "float32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return "float16";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return "int32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return "int64";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return "uint8";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      return "bool";
    default:
      return "another type";
  }
}

ONNXTensorElementDataType element_type(ElementType type) {
  switch (type) {
    case ElementType::kFloat:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case ElementType::kInt32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    default:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
  }
}

class OrtGraph : public Session {
 public:
  OrtGraph(const OrtDevice &device, const std::filesystem::path &path, const GraphEntry &entry)
      : library_(device.library),
        api_(library_->api()),
        session_(nullptr, api_.ReleaseSession),
        memory_(nullptr, api_.ReleaseMemoryInfo),
        name_(path.filename().u8string()),
        device_(device.name) {
    const Owned<OrtSessionOptions> options = session_options(device);
    OrtSession *session = nullptr;
    library_->check(
        api_.CreateSession(library_->environment(), path.c_str(), options.get(), &session),
        sentence("ONNX Runtime ", library_->version(), " cannot load ", path.u8string()));
    session_.reset(session);
    OrtMemoryInfo *memory = nullptr;
    check(api_.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    memory_.reset(memory);
    check_tensors("input", entry.inputs, api_.SessionGetInputCount, api_.SessionGetInputName,
                  api_.SessionGetInputTypeInfo);
    check_tensors("output", entry.outputs, api_.SessionGetOutputCount, api_.SessionGetOutputName,
                  api_.SessionGetOutputTypeInfo);
  }

  Output run(const std::vector<Input> &inputs, const char *output_name) override {
    std::vector<Owned<OrtValue>> tensors;
    std::vector<const char *> names;
    std::vector<const OrtValue *> values;
    for (const Input &input : inputs) {
      tensors.push_back(tensor_of(input));
      names.push_back(input.name);
      values.push_back(tensors.back().get());
    }
    OrtValue *output = nullptr;
    check(api_.Run(session_.get(), nullptr, names.data(), values.data(), values.size(),
                   &output_name, 1, &output));
    const std::shared_ptr<OrtValue> owner(output, api_.ReleaseValue);
    void *data = nullptr;
    check(api_.GetTensorMutableData(output, &data));
    return Output(owner, data, size_of(output));
  }

 private:
  void check(OrtStatus *status) const {
    library_->check(status, sentence(name_, " failed on ", device_));
  }

  // Copies nothing.
  Owned<OrtValue> tensor_of(const Input &input) const {
    OrtValue *made = nullptr;
    check(api_.CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<void *>(input.data),
                                              input.num_bytes(), input.shape.data(),
                                              input.shape.size(), element_type(input.type), &made));
    return Owned<OrtValue>(made, api_.ReleaseValue);
  }

  size_t size_of(const OrtValue *value) const {
    OrtTensorTypeAndShapeInfo *made = nullptr;
    check(api_.GetTensorTypeAndShape(value, &made));
    const Owned<OrtTensorTypeAndShapeInfo> info(made, api_.ReleaseTensorTypeAndShapeInfo);
    size_t size = 0;
    check(api_.GetTensorShapeElementCount(info.get(), &size));
    return size;
  }

  std::vector<int64_t> dimensions(const OrtTensorTypeAndShapeInfo *info) const {
    size_t rank = 0;
    check(api_.GetDimensionsCount(info, &rank));
    std::vector<int64_t> shape(rank);
    check(api_.GetDimensions(info, shape.data(), rank));
    return shape;
  }

  using Count = OrtStatus *(ORT_API_CALL *)(const OrtSession *, size_t *);
  using Name = OrtStatus *(ORT_API_CALL *)(const OrtSession *, size_t, OrtAllocator *, char **);
  using TypeInfo = OrtStatus *(ORT_API_CALL *)(const OrtSession *, size_t, OrtTypeInfo **);

  void check_tensors(const char *kind, const TensorSpecs &expected, Count count_of, Name name_of,
                     TypeInfo type_of) const {
    size_t count = 0;
    check(count_of(session_.get(), &count));
    if (count != expected.size()) {
      throw BundleError(
          sentence(name_, " has ", count, " ", kind, "s, the manifest says ", expected.size()));
    }
    OrtAllocator *allocator = nullptr;
    check(api_.GetAllocatorWithDefaultOptions(&allocator));
    for (size_t i = 0; i < count; ++i) {
      char *text = nullptr;
      check(name_of(session_.get(), i, allocator, &text));
      const std::string name = text;
      check(api_.AllocatorFree(allocator, text));
      const auto spec = std::find_if(expected.begin(), expected.end(),
                                     [&](const auto &tensor) { return tensor.first == name; });
      if (spec == expected.end()) {
        throw BundleError(
            sentence(name_, " has the ", kind, " ", name, ", which the manifest does not name"));
      }
      OrtTypeInfo *type = nullptr;
      check(type_of(session_.get(), i, &type));
      check_tensor(kind, name, spec->second, Owned<OrtTypeInfo>(type, api_.ReleaseTypeInfo).get());
    }
  }

  void check_tensor(const char *kind, const std::string &name, const TensorSpec &spec,
                    const OrtTypeInfo *type) const {
    const OrtTensorTypeAndShapeInfo *info = nullptr;
    check(api_.CastTypeInfoToTensorInfo(type, &info));
    if (info == nullptr)
      throw BundleError(sentence(kind, " ", name, " of ", name_, " is no tensor"));
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    check(api_.GetTensorElementType(info, &element));
    const std::vector<int64_t> shape = dimensions(info);
    bool is_same = dtype_name(element) == spec.dtype && shape.size() == spec.shape.size();
    for (size_t i = 0; is_same && i < shape.size(); ++i) {
      // A free dimension is -1 in the graph and 0 in the manifest.
      is_same = shape[i] < 0 || spec.shape[i].size == 0 || shape[i] == spec.shape[i].size;
    }
    if (!is_same) {
      throw BundleError(sentence(kind, " ", name, " of ", name_, " is ", dtype_name(element),
                                 " with ", shape.size(),
                                 " dimensions, which is not what the manifest says"));
    }
  }

  std::shared_ptr<const OrtLibrary> library_;
  const OrtApi &api_;
  Owned<OrtSession> session_;
  Owned<OrtMemoryInfo> memory_;
  std::string name_, device_;
};

}  // namespace

std::unique_ptr<Session> open_session(const OrtDevice &device, const std::filesystem::path &path,
                                      const GraphEntry &entry) {
  return std::make_unique<OrtGraph>(device, path, entry);
}

}  // namespace echoes
