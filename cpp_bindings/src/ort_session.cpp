#include "ort_session.h"

#include <algorithm>
#include <cstring>

#include "errors.h"

namespace echoes {
namespace {

// y = Identity(x) on one float, opset 13: the least that a device can be asked to start for.
constexpr uint8_t kProbeGraph[] = {0x08, 0x07, 0x3a, 0x37, 0x0a, 0x10, 0x0a, 0x01, 0x78, 0x12, 0x01,
                                   0x79, 0x22, 0x08, 0x49, 0x64, 0x65, 0x6e, 0x74, 0x69, 0x74, 0x79,
                                   0x12, 0x01, 0x70, 0x5a, 0x0f, 0x0a, 0x01, 0x78, 0x12, 0x0a, 0x0a,
                                   0x08, 0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x08, 0x01, 0x62, 0x0f,
                                   0x0a, 0x01, 0x79, 0x12, 0x0a, 0x0a, 0x08, 0x08, 0x01, 0x12, 0x04,
                                   0x0a, 0x02, 0x08, 0x01, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x0d};

// Release 1.20 gives two nodes one name when it fuses slices twice, and then refuses its own graph;
// 1.23 does not, those between were not tried.
constexpr uint32_t kFirstSoundSplitFusion = 23;

// Frees what ONNX Runtime made.
template <typename T>
using Owned = std::unique_ptr<T, void(ORT_API_CALL *)(T *)>;

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

Owned<OrtSessionOptions> session_options(const OrtDevice &device) {
  const OrtApi &api = device.library->api();
  const auto check = [&](OrtStatus *status) {
    device.library->check(status, "ONNX Runtime refuses the options of a session");
  };
  OrtSessionOptions *made = nullptr;
  check(api.CreateSessionOptions(&made));
  Owned<OrtSessionOptions> options(made, api.ReleaseSessionOptions);
  check(api.SetSessionLogSeverityLevel(options.get(), ORT_LOGGING_LEVEL_FATAL));
  if (device.threads > 0) check(api.SetIntraOpNumThreads(options.get(), device.threads));
  if (device.library->release() < kFirstSoundSplitFusion) {
    check(api.AddSessionConfigEntry(options.get(), "optimization.disable_specified_optimizers",
                                    "GatherSliceToSplitFusion"));
  }
  if (device.name == "cpu") return options;
  OrtCUDAProviderOptionsV2 *cuda = nullptr;
  check(api.CreateCUDAProviderOptions(&cuda));
  const Owned<OrtCUDAProviderOptionsV2> owned(cuda, api.ReleaseCUDAProviderOptions);
  const char *key = "device_id";
  const std::string index = device.name.substr(std::strlen("cuda:"));
  const char *value = index.c_str();
  check(api.UpdateCUDAProviderOptions(cuda, &key, &value, 1));
  check(api.SessionOptionsAppendExecutionProvider_CUDA_V2(options.get(), cuda));
  return options;
}

// The index in "cuda:<index>", 0 for "cuda"; -1 for other texts.
int cuda_index(const std::string &device) {
  if (device == "cuda") return 0;
  if (device.rfind("cuda:", 0) != 0) return -1;
  const std::string digits = device.substr(5);
  const bool is_number = !digits.empty() && digits.size() <= 3 &&
                         digits.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? std::stoi(digits) : -1;
}

// Only a session that was made says that a device starts.
void try_device(const OrtDevice &device) {
  const OrtApi &api = device.library->api();
  const Owned<OrtSessionOptions> options = session_options(device);
  OrtSession *session = nullptr;
  device.library->check(
      api.CreateSessionFromArray(device.library->environment(), kProbeGraph, sizeof kProbeGraph,
                                 options.get(), &session),
      sentence("ONNX Runtime ", device.library->version(), " does not start on ", device.name));
  api.ReleaseSession(session);
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
    input_name_ = entry.inputs.begin()->first;
    output_name_ = entry.outputs.begin()->first;
  }

  Output<int32_t> run_to_codes(const std::vector<float> &input,
                               const std::vector<int64_t> &shape) override {
    return run<int32_t>(input.data(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, shape);
  }

  Output<float> run_to_floats(const std::vector<int32_t> &input,
                              const std::vector<int64_t> &shape) override {
    return run<float>(input.data(), ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, shape);
  }

  Output<float> run_to_floats(const float *input, const std::vector<int64_t> &shape) override {
    return run<float>(input, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, shape);
  }

 private:
  void check(OrtStatus *status) const {
    library_->check(status, sentence(name_, " failed on ", device_));
  }

  // Inputs and outputs are of four bytes each; the constructor checked the types.
  template <typename T>
  Output<T> run(const void *input, ONNXTensorElementDataType type,
                const std::vector<int64_t> &shape) const {
    size_t num_bytes = 4;
    for (const int64_t dim : shape) num_bytes *= static_cast<size_t>(dim);
    OrtValue *made = nullptr;
    check(api_.CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<void *>(input), num_bytes,
                                              shape.data(), shape.size(), type, &made));
    const Owned<OrtValue> tensor(made, api_.ReleaseValue);
    const char *input_name = input_name_.c_str(), *output_name = output_name_.c_str();
    const OrtValue *inputs[] = {tensor.get()};
    OrtValue *output = nullptr;
    check(api_.Run(session_.get(), nullptr, &input_name, inputs, 1, &output_name, 1, &output));
    const std::shared_ptr<OrtValue> owner(output, api_.ReleaseValue);
    void *data = nullptr;
    check(api_.GetTensorMutableData(output, &data));
    return Output<T>(owner, static_cast<const T *>(data), shape_of(output));
  }

  std::vector<int64_t> shape_of(const OrtValue *value) const {
    OrtTensorTypeAndShapeInfo *made = nullptr;
    check(api_.GetTensorTypeAndShape(value, &made));
    const Owned<OrtTensorTypeAndShapeInfo> info(made, api_.ReleaseTensorTypeAndShapeInfo);
    return dimensions(info.get());
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
    OrtAllocator *allocator = nullptr;
    check(api_.GetAllocatorWithDefaultOptions(&allocator));
    for (size_t i = 0; i < count; ++i) {
      char *text = nullptr;
      check(name_of(session_.get(), i, allocator, &text));
      const std::string name = text;
      check(api_.AllocatorFree(allocator, text));
      const auto spec = expected.find(name);
      if (count != expected.size() || spec == expected.end()) {
        throw BundleError(sentence(name_, " has ", count, " ", kind, "s, one of them ", name,
                                   ", the manifest says ", expected.size(), ", one of them ",
                                   expected.begin()->first));
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
                                 " dimensions of other sizes than the manifest says"));
    }
  }

  std::shared_ptr<const OrtLibrary> library_;
  const OrtApi &api_;
  Owned<OrtSession> session_;
  Owned<OrtMemoryInfo> memory_;
  std::string name_, device_, input_name_, output_name_;
};

}  // namespace

OrtDevice choose_device(std::shared_ptr<const OrtLibrary> library, const std::string &requested,
                        int threads) {
  OrtDevice device{std::move(library), "cpu", "asked for", threads};
  if (requested == "cpu") return device;
  const int index = requested == "auto" ? 0 : cuda_index(requested);
  if (index < 0) {
    throw InputError(
        sentence("device must be auto, cpu, cuda or cuda:<index>, got '", requested, "'"));
  }
  OrtDevice cuda = device;
  cuda.name = sentence("cuda:", index);
  try {
    try_device(cuda);
  } catch (const BackendError &error) {
    if (requested != "auto") {
      throw BackendError(sentence("device ", requested, " cannot be used: ", error.what(),
                                  "; check the NVIDIA driver, CUDA and cuDNN, and that this ONNX ",
                                  "Runtime was built with CUDA"));
    }
    device.reason = error.what();
    return device;
  }
  if (requested == "auto") cuda.reason = "CUDA starts";
  return cuda;
}

std::unique_ptr<Session> open_session(const OrtDevice &device, const Bundle &bundle,
                                      const std::string &graph) {
  const std::filesystem::path path = bundle.graph_path(graph);
  return std::make_unique<OrtGraph>(device, path, bundle.manifest.graphs.at(graph));
}

}  // namespace echoes
