#include "session.h"

#include <algorithm>

#include "errors.h"

namespace echoes {
namespace {

std::string type_name(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return "float32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return "float16";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return "int32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return "int64";
    default:
      return sentence("of type ", static_cast<int>(type));
  }
}

// Such as "float32 (free, 16, 32)".
std::string described(const TensorSpec &tensor) {
  std::string dims;
  for (const int64_t dim : tensor.shape) {
    dims += (dims.empty() ? "" : ", ") + (dim < 0 ? "free" : sentence(dim));
  }
  return type_name(tensor.type) + " (" + dims + ")";
}

bool fits(const TensorSpec &tensor, const TensorSpec &spec) {
  const bool is_type = spec.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED ||
                       tensor.type == spec.type;
  const bool is_shape = spec.shape.empty() ||
                        std::equal(tensor.shape.begin(), tensor.shape.end(), spec.shape.begin(),
                                   spec.shape.end(), [](int64_t dim, int64_t wanted) {
                                     return dim < 0 || wanted < 0 || dim == wanted;
                                   });
  return is_type && is_shape;
}

}  // namespace

size_t Output::size() const {
  size_t size = 1;
  for (const int64_t dim : shape_) size *= static_cast<size_t>(dim);
  return size;
}

size_t Output::num_bytes() const {
  switch (type_) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return size();
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return 2 * size();
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return 8 * size();
    default:
      return 4 * size();
  }
}

Session::Session(const Device &device, std::string name)
    : library_(device.library),
      api_(library_->api()),
      session_(nullptr, api_.ReleaseSession),
      memory_(nullptr, api_.ReleaseMemoryInfo),
      device_memory_(nullptr, api_.ReleaseMemoryInfo),
      allocator_(nullptr, api_.ReleaseAllocator),
      name_(std::move(name)),
      device_(device.name) {
  OrtMemoryInfo *memory = nullptr;
  check(api_.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  memory_.reset(memory);
  const int index = device_index(device.name, "cuda");
  if (index < 0) return;
  check(api_.CreateMemoryInfo("Cuda", OrtDeviceAllocator, index, OrtMemTypeDefault, &memory));
  device_memory_.reset(memory);
  worker_ = std::make_unique<Worker>();
}

Session::Session(const Device &device, const std::filesystem::path &path, const GraphSpec &spec,
                 const SessionDials &dials)
    : Session(device, path.filename().u8string()) {
  open(device, path.u8string(), spec, dials,
       [&](const OrtSessionOptions *options, OrtSession **made) {
         return api_.CreateSession(library_->environment(), path.c_str(), options, made);
       });
}

Session::Session(const Device &device, const char *name, const std::vector<uint8_t> &graph,
                 const GraphSpec &spec, const SessionDials &dials)
    : Session(device, name) {
  open(device, name, spec, dials, [&](const OrtSessionOptions *options, OrtSession **made) {
    return api_.CreateSessionFromArray(library_->environment(), graph.data(), graph.size(), options,
                                       made);
  });
}

void Session::open(const Device &device, const std::string &place, const GraphSpec &spec,
                   const SessionDials &dials, const Create &create) {
  const Owned<OrtSessionOptions> options = session_options(device, dials);
  OrtSession *session = nullptr;
  library_->check(create(options.get(), &session),
                  sentence("ONNX Runtime ", library_->version(), " cannot load ", place));
  session_.reset(session);
  output_name_ = spec.output.name;
  inputs_ = tensors(api_.SessionGetInputCount, api_.SessionGetInputName,
                    api_.SessionGetInputTypeInfo);
  check_tensors("input", inputs_, spec.inputs);
  check_tensors("output",
                tensors(api_.SessionGetOutputCount, api_.SessionGetOutputName,
                        api_.SessionGetOutputTypeInfo),
                {spec.output});
  if (worker_ == nullptr) return;
  OrtAllocator *allocator = nullptr;
  check(api_.CreateAllocator(session, device_memory_.get(), &allocator));
  allocator_.reset(allocator);
}

Output Session::run(const std::vector<Input> &inputs) const {
  OrtValue *output = nullptr;
  compute(inputs, nullptr, &output);
  return output_of(output);
}

void Session::run_into(const std::vector<Input> &inputs, OrtValue *output, int number) const {
  OrtRunOptions *made = nullptr;
  check(api_.CreateRunOptions(&made));
  const Owned<OrtRunOptions> options(made, api_.ReleaseRunOptions);
  check(api_.AddRunConfigEntry(made, "gpu_graph_id", std::to_string(number).c_str()));
  compute(inputs, made, &output);
}

void Session::compute(const std::vector<Input> &inputs, const OrtRunOptions *options,
                      OrtValue **output) const {
  std::vector<Owned<OrtValue>> made;
  std::vector<const char *> names;
  std::vector<const OrtValue *> values;
  for (const Input &input : inputs) {
    names.push_back(input.name);
    if (input.value == nullptr) {
      made.push_back(tensor_at(memory_, const_cast<void *>(input.data), input));
    }
    values.push_back(input.value != nullptr ? input.value : made.back().get());
  }
  const char *output_name = output_name_.c_str();
  const auto run = [&] {
    check(api_.Run(session_.get(), options, names.data(), values.data(), values.size(),
                   &output_name, 1, output));
  };
  worker_ != nullptr ? worker_->run(run) : run();
}

Owned<OrtValue> Session::allocate(size_t num_bytes) const {
  const auto size = static_cast<int64_t>(num_bytes);
  OrtValue *value = nullptr;
  check(api_.CreateTensorAsOrtValue(allocator_.get(), &size, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
                                    &value));
  return Owned<OrtValue>(value, api_.ReleaseValue);
}

Owned<OrtValue> Session::part_of(OrtValue *bytes, size_t begin, const Input &like) const {
  void *start = nullptr;
  check(api_.GetTensorMutableData(bytes, &start));
  return tensor_at(device_memory_, static_cast<uint8_t *>(start) + begin, like);
}

bool Session::takes(const std::string &input) const { return find_input(input) != nullptr; }

std::vector<int64_t> Session::shape_of(const std::string &input, int64_t rows) const {
  const TensorSpec &spec = *find_input(input);
  std::vector<int64_t> shape = spec.shape;
  const auto is_free = [](int64_t dim) { return dim < 1; };
  if (shape.empty() || std::any_of(shape.begin() + 1, shape.end(), is_free)) {
    throw BundleError(sentence("input ", input, " of ", name_, " must have a static shape behind ",
                               "its first dimension, got ", described(spec),
                               "; get the bundle again"));
  }
  shape[0] = rows;
  return shape;
}

Output Session::no_rows_of(const std::string &input) const {
  const std::vector<int64_t> shape = shape_of(input, 0);
  OrtAllocator *allocator = nullptr;
  check(api_.GetAllocatorWithDefaultOptions(&allocator));
  OrtValue *value = nullptr;
  check(api_.CreateTensorAsOrtValue(allocator, shape.data(), shape.size(), find_input(input)->type,
                                    &value));
  return output_of(value);
}

const TensorSpec *Session::find_input(const std::string &input) const {
  const auto found = std::find_if(inputs_.begin(), inputs_.end(),
                                  [&](const TensorSpec &spec) { return spec.name == input; });
  return found == inputs_.end() ? nullptr : &*found;
}

void Session::check(OrtStatus *status) const {
  library_->check(status, sentence(name_, " failed on ", device_));
}

// Copies nothing.
Owned<OrtValue> Session::tensor_at(const Owned<OrtMemoryInfo> &memory, void *data,
                                   const Input &like) const {
  OrtValue *made = nullptr;
  check(api_.CreateTensorWithDataAsOrtValue(memory.get(), data, like.num_bytes, like.shape.data(),
                                            like.shape.size(), like.type, &made));
  return Owned<OrtValue>(made, api_.ReleaseValue);
}

Output Session::output_of(OrtValue *value) const {
  const std::shared_ptr<OrtValue> owner(value, api_.ReleaseValue);
  OrtTensorTypeAndShapeInfo *made = nullptr;
  check(api_.GetTensorTypeAndShape(value, &made));
  const Owned<OrtTensorTypeAndShapeInfo> info(made, api_.ReleaseTensorTypeAndShapeInfo);
  size_t rank = 0;
  check(api_.GetDimensionsCount(info.get(), &rank));
  std::vector<int64_t> shape(rank);
  check(api_.GetDimensions(info.get(), shape.data(), rank));
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  check(api_.GetTensorElementType(info.get(), &type));
  void *data = nullptr;
  check(api_.GetTensorMutableData(value, &data));
  return Output(owner, data, type, std::move(shape));
}

std::vector<TensorSpec> Session::tensors(Count count_of, Name name_of, TypeInfo type_of) const {
  size_t count = 0;
  check(count_of(session_.get(), &count));
  OrtAllocator *allocator = nullptr;
  check(api_.GetAllocatorWithDefaultOptions(&allocator));
  std::vector<TensorSpec> tensors;
  for (size_t i = 0; i < count; ++i) {
    char *text = nullptr;
    check(name_of(session_.get(), i, allocator, &text));
    tensors.emplace_back().name = text;
    check(api_.AllocatorFree(allocator, text));
    OrtTypeInfo *made = nullptr;
    check(type_of(session_.get(), i, &made));
    const Owned<OrtTypeInfo> type(made, api_.ReleaseTypeInfo);
    const OrtTensorTypeAndShapeInfo *info = nullptr;
    check(api_.CastTypeInfoToTensorInfo(type.get(), &info));
    if (info == nullptr) continue;  // no tensor: of no type that is wanted
    TensorSpec &tensor = tensors.back();
    check(api_.GetTensorElementType(info, &tensor.type));
    size_t rank = 0;
    check(api_.GetDimensionsCount(info, &rank));
    tensor.shape.resize(rank);
    check(api_.GetDimensions(info, tensor.shape.data(), rank));
  }
  return tensors;
}

void Session::check_tensors(const char *kind, const std::vector<TensorSpec> &tensors,
                            const std::vector<TensorSpec> &specs) const {
  for (const TensorSpec &tensor : tensors) {
    const bool is_known =
        std::any_of(specs.begin(), specs.end(),
                    [&](const TensorSpec &spec) { return spec.name == tensor.name; });
    if (!is_known) {
      throw BundleError(sentence(name_, " has the ", kind, " ", tensor.name,
                                 ", which this version of echoes-rt does not know; get the bundle ",
                                 "again or update the library"));
    }
  }
  for (const TensorSpec &spec : specs) {
    const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const TensorSpec &tensor) {
      return tensor.name == spec.name;
    });
    if (found == tensors.end()) {
      if (spec.is_optional) continue;
      throw BundleError(
          sentence(name_, " has no ", kind, " ", spec.name, "; get the bundle again"));
    }
    if (fits(*found, spec)) continue;
    throw BundleError(sentence(kind, " ", spec.name, " of ", name_, " must be ",
                               described(spec), " by the manifest's sizes, got ",
                               described(*found), "; get the bundle again"));
  }
}

}  // namespace echoes
