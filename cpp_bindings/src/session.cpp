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

Session::Session(const Device &device, const std::filesystem::path &path, GraphSpec spec)
    : library_(device.library),
      api_(library_->api()),
      session_(nullptr, api_.ReleaseSession),
      memory_(nullptr, api_.ReleaseMemoryInfo),
      name_(path.filename().u8string()),
      device_(device.name),
      output_name_(spec.output.name) {
  const Owned<OrtSessionOptions> options = session_options(device);
  OrtSession *session = nullptr;
  library_->check(
      api_.CreateSession(library_->environment(), path.c_str(), options.get(), &session),
      sentence("ONNX Runtime ", library_->version(), " cannot load ", path.u8string()));
  session_.reset(session);
  OrtMemoryInfo *memory = nullptr;
  check(api_.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  memory_.reset(memory);
  inputs_ = tensors(api_.SessionGetInputCount, api_.SessionGetInputName,
                    api_.SessionGetInputTypeInfo);
  check_tensors("input", inputs_, spec.inputs);
  check_tensors("output",
                tensors(api_.SessionGetOutputCount, api_.SessionGetOutputName,
                        api_.SessionGetOutputTypeInfo),
                {spec.output});
}

Output Session::run(const std::vector<Input> &inputs) const {
  std::vector<Owned<OrtValue>> made;
  std::vector<const char *> names;
  std::vector<const OrtValue *> values;
  for (const Input &input : inputs) {
    names.push_back(input.name);
    if (input.value == nullptr) made.push_back(tensor_of(input));
    values.push_back(input.value != nullptr ? input.value : made.back().get());
  }
  const char *output_name = output_name_.c_str();
  OrtValue *output = nullptr;
  check(api_.Run(session_.get(), nullptr, names.data(), values.data(), values.size(), &output_name,
                 1, &output));
  return output_of(output);
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
Owned<OrtValue> Session::tensor_of(const Input &input) const {
  OrtValue *made = nullptr;
  check(api_.CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<void *>(input.data),
                                            input.num_bytes, input.shape.data(),
                                            input.shape.size(), input.type, &made));
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
  void *data = nullptr;
  check(api_.GetTensorMutableData(value, &data));
  return Output(owner, data, std::move(shape));
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
