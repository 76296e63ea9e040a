#include "session.h"

#include <algorithm>

#include "errors.h"

namespace echoes {

size_t Output::size() const {
  size_t size = 1;
  for (const int64_t dim : shape_) size *= static_cast<size_t>(dim);
  return size;
}

size_t Output::num_bytes() const {
  switch (type_) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return 4 * size();
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return 2 * size();
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return 8 * size();
    default:  // no more is read than is there; of what is larger, ONNX Runtime refuses so little
      return size();
  }
}

Session::Session(const Device &device, const std::filesystem::path &path, const SessionDials &dials)
    : Session(device, path, dials, [&](const OrtSessionOptions *options, OrtSession **made) {
        const OrtLibrary &library = *device.library;
        return library.api().CreateSession(library.environment(), path.c_str(), options, made);
      }) {}

Session::Session(const Device &device, const char *name, const std::vector<uint8_t> &graph,
                 const SessionDials &dials)
    : Session(device, name, dials, [&](const OrtSessionOptions *options, OrtSession **made) {
        const OrtLibrary &library = *device.library;
        return library.api().CreateSessionFromArray(library.environment(), graph.data(),
                                                    graph.size(), options, made);
      }) {}

Session::Session(const Device &device, const std::filesystem::path &place,
                 const SessionDials &dials, const Create &create)
    : library_(device.library),
      api_(library_->api()),
      session_(nullptr, api_.ReleaseSession),
      memory_(nullptr, api_.ReleaseMemoryInfo),
      device_memory_(nullptr, api_.ReleaseMemoryInfo),
      allocator_(nullptr, api_.ReleaseAllocator),
      name_(place.filename().u8string()),
      device_(device.name) {
  OrtMemoryInfo *memory = nullptr;
  check(api_.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  memory_.reset(memory);
  const Owned<OrtSessionOptions> options = session_options(device, dials);
  OrtSession *session = nullptr;
  library_->check(create(options.get(), &session), sentence("ONNX Runtime ", library_->version(),
                                                            " cannot load ", place.u8string()));
  session_.reset(session);
  size_t count = 0;
  check(api_.SessionGetInputCount(session, &count));
  for (size_t i = 0; i < count; ++i) inputs_.push_back(input_at(i));
  const int index = device_index(device.name, "cuda");
  if (index < 0) return;
  check(api_.CreateMemoryInfo("Cuda", OrtDeviceAllocator, index, OrtMemTypeDefault, &memory));
  device_memory_.reset(memory);
  OrtAllocator *allocator = nullptr;
  check(api_.CreateAllocator(session, memory, &allocator));
  allocator_.reset(allocator);
  worker_ = std::make_unique<Worker>();
}

Output Session::run(const std::vector<Input> &inputs, const char *output) const {
  OrtValue *value = nullptr;
  compute(inputs, output, &value, kNotRecorded);
  return output_of(value);
}

void Session::run_into(const std::vector<Input> &inputs, const char *output, OrtValue *value,
                       int number) const {
  compute(inputs, output, &value, number);
}

void Session::compute(const std::vector<Input> &inputs, const char *output, OrtValue **value,
                      int number) const {
  OrtRunOptions *own = nullptr;
  check(api_.CreateRunOptions(&own));
  const Owned<OrtRunOptions> options(own, api_.ReleaseRunOptions);
  check(api_.AddRunConfigEntry(own, "gpu_graph_id", std::to_string(number).c_str()));
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
  const auto run = [&] {
    OrtStatus *const status = api_.Run(session_.get(), own, names.data(), values.data(),
                                       values.size(), &output, 1, value);
    // Names, types and shapes are the graph's to say, and the manifest's to follow.
    const bool is_other = status != nullptr && api_.GetErrorCode(status) == ORT_INVALID_ARGUMENT;
    try {
      check(status);
    } catch (const BackendError &error) {
      if (!is_other) throw;
      throw BundleError(error.what(), "; get the bundle again");
    }
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
  const TensorSpec *const spec = find_input(input);
  std::vector<int64_t> shape = spec != nullptr ? spec->shape : std::vector<int64_t>();
  const auto is_free = [](int64_t dim) { return dim < 1; };
  if (shape.empty() || std::any_of(shape.begin() + 1, shape.end(), is_free)) {
    throw BundleError(name_, " needs an input ", input, " with a static shape behind its first ",
                      "dimension; get the bundle again");
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
  return Output(name_, owner, data, type, std::move(shape));
}

TensorSpec Session::input_at(size_t index) const {
  OrtAllocator *allocator = nullptr;
  check(api_.GetAllocatorWithDefaultOptions(&allocator));
  char *text = nullptr;
  check(api_.SessionGetInputName(session_.get(), index, allocator, &text));
  TensorSpec input;
  input.name = text;
  check(api_.AllocatorFree(allocator, text));
  OrtTypeInfo *made = nullptr;
  check(api_.SessionGetInputTypeInfo(session_.get(), index, &made));
  const Owned<OrtTypeInfo> type(made, api_.ReleaseTypeInfo);
  const OrtTensorTypeAndShapeInfo *info = nullptr;
  check(api_.CastTypeInfoToTensorInfo(type.get(), &info));
  if (info == nullptr) return input;  // no tensor: it takes nothing that we have
  check(api_.GetTensorElementType(info, &input.type));
  size_t rank = 0;
  check(api_.GetDimensionsCount(info, &rank));
  input.shape.resize(rank);
  check(api_.GetDimensions(info, input.shape.data(), rank));
  return input;
}

}  // namespace echoes
