#include "trt_session.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "errors.h"
#include "trt_library.h"

namespace echoes {
namespace {

constexpr char kBuildAgain[] =
    "; build it again with echoes-export engine --backend tensorrt, or use another device";

// What pads a plan to the steps of an engine: with nothing kept masked such a step changes nothing.
uint32_t idle_value(const std::string &input) {
  float value = 0;  // choice_temperature, and the bits of keep's whole number
  if (input == "temperature" || input == "guidance_scale") value = 1;
  if (input == "uniforms") value = 0.5F;
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

const char *dtype_of(nvinfer1::DataType type) {
  switch (type) {
    case nvinfer1::DataType::kFLOAT:
      return "float32";
    case nvinfer1::DataType::kINT32:
      return "int32";
    case nvinfer1::DataType::kBOOL:
      return "bool";
    default:
      return "another type";
  }
}

// Throws BackendError if a size is not known.
size_t elements_of(const nvinfer1::Dims &dims) {
  size_t count = 1;
  for (int32_t i = 0; i < dims.nbDims; ++i) {
    if (dims.d[i] < 0) throw BackendError("an engine does not say how large a tensor is");
    count *= static_cast<size_t>(dims.d[i]);
  }
  return count;
}

// One member of a batch.
Input row_of(const Input &input, int64_t row) {
  Input part = input;
  part.shape[0] = 1;
  part.data = static_cast<const uint8_t *>(input.data) +
              static_cast<size_t>(row) * part.num_bytes();
  return part;
}

class TrtGraph : public Session {
 public:
  TrtGraph(const std::filesystem::path &path, const GraphEntry &entry, const Gpu &gpu)
      : name_(path.filename().u8string()), gpu_(gpu), stream_(gpu) {
    runtime_ = TrtLibrary::open().make_runtime();
    load(path);
    check_tensors(entry.inputs, nvinfer1::TensorIOMode::kINPUT);
    check_tensors(entry.outputs, nvinfer1::TensorIOMode::kOUTPUT);
    if (engine_->getNbIOTensors() != static_cast<int32_t>(dtypes_.size())) {
      throw BundleError(sentence("engine ", name_, " has ", engine_->getNbIOTensors(),
                                 " tensors, the manifest says ", dtypes_.size(), kBuildAgain));
    }
    for (const auto &[input, spec] : entry.inputs) read_range(input, spec);
    make_buffers();
  }

  Output run(const std::vector<Input> &inputs, const char *output) override {
    const std::lock_guard<std::mutex> lock(mutex_);  // the buffers are its own
    const auto made = std::make_shared<std::vector<uint8_t>>();
    gpu_.enter();
    // The guided branches of graph `step` are a batch of two, which an engine for one takes in turns.
    const int64_t batch = inputs[0].shape[0];
    if (inputs.size() == 1 && batch > ranges_.at(inputs[0].name).most.d[0]) {
      for (int64_t row = 0; row < batch; ++row) add({row_of(inputs[0], row)}, output, *made);
    } else {
      add(inputs, output, *made);
    }
    return Output(made, made->data(), made->size() / element_bytes(output));
  }

 private:
  struct Range {
    nvinfer1::Dims least, most;
    bool has_steps = false;  // along the first axis
  };

  // Runs it and puts the output behind what is in `made`.
  void add(const std::vector<Input> &inputs, const char *output, std::vector<uint8_t> &made) {
    for (const Input &input : inputs) put(input);
    if (!context_->enqueueV3(static_cast<cudaStream_t>(stream_.handle()))) {
      throw failed("did not run");
    }
    const size_t num_bytes =
        elements_of(context_->getTensorShape(output)) * element_bytes(output);
    const GpuBuffer &buffer = *buffers_.at(output);
    buffer.download(num_bytes, stream_);
    stream_.synchronize();
    made.insert(made.end(), buffer.host(), buffer.host() + num_bytes);
  }

  void load(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    std::vector<char> data(file ? static_cast<size_t>(file.tellg()) : 0);
    file.seekg(0).read(data.data(), static_cast<std::streamsize>(data.size()));
    if (!file) throw BackendError(sentence(path.u8string(), " cannot be read"));
    gpu_.enter();
    engine_.reset(runtime_->deserializeCudaEngine(data.data(), data.size()));
    if (engine_ == nullptr) throw failed("does not load");
    context_.reset(engine_->createExecutionContext());
    if (context_ == nullptr) throw failed("gets no memory to run in");
  }

  void check_tensors(const TensorSpecs &expected, nvinfer1::TensorIOMode mode) {
    for (const auto &[tensor, spec] : expected) {
      const char *name = tensor.c_str();
      if (engine_->getTensorIOMode(name) != mode) {
        throw BundleError(sentence("engine ", name_, " lacks ", tensor, kBuildAgain));
      }
      const char *dtype = dtype_of(engine_->getTensorDataType(name));
      if (dtype != spec.dtype || engine_->getTensorShape(name).nbDims !=
                                     static_cast<int32_t>(spec.shape.size())) {
        throw BundleError(sentence(tensor, " of engine ", name_, " is ", dtype, " with ",
                                   engine_->getTensorShape(name).nbDims,
                                   " dimensions, which is not what the manifest says",
                                   kBuildAgain));
      }
      dtypes_[tensor] = dtype;
    }
  }

  void read_range(const std::string &input, const TensorSpec &spec) {
    using Selector = nvinfer1::OptProfileSelector;
    Range range;
    range.least = range.most = engine_->getTensorShape(input.c_str());
    for (int32_t i = 0; i < range.least.nbDims; ++i) {
      if (range.least.d[i] >= 0) continue;
      range.least = engine_->getProfileShape(input.c_str(), 0, Selector::kMIN);
      range.most = engine_->getProfileShape(input.c_str(), 0, Selector::kMAX);
      break;
    }
    range.has_steps = !spec.shape.empty() && spec.shape[0].name == "steps";
    ranges_[input] = range;
  }

  // For the largest question that the engine takes.
  void make_buffers() {
    for (const auto &[input, range] : ranges_) {
      if (!context_->setInputShape(input.c_str(), range.most)) throw failed("refuses its own sizes");
    }
    for (const auto &[tensor, dtype] : dtypes_) {
      const size_t count = elements_of(context_->getTensorShape(tensor.c_str()));
      auto &buffer = buffers_[tensor];
      buffer = std::make_unique<GpuBuffer>(gpu_, std::max<size_t>(1, count * element_bytes(tensor)));
      if (!context_->setTensorAddress(tensor.c_str(), buffer->device())) {
        throw failed(sentence("refuses the memory for ", tensor));
      }
    }
  }

  void put(const Input &input) {
    const Range &range = ranges_.at(input.name);
    nvinfer1::Dims dims = range.most;
    for (size_t i = 0; i < input.shape.size(); ++i) {
      const int64_t size = input.shape[i], least = range.least.d[i], most = range.most.d[i];
      const bool is_steps = range.has_steps && i == 0;
      if (is_steps && size > most) {
        throw InputError(sentence("steps must be at most ", most, " with this TensorRT engine, got ",
                                  size, "; build one for more with echoes-export engine, or use ",
                                  "another device"));
      }
      if (size > most || (size < least && !is_steps)) {
        throw BackendError(sentence("dimension ", i, " of ", input.name, " must be in [", least,
                                    ", ", most, "] with engine ", name_, ", got ", size));
      }
      dims.d[i] = std::max(size, least);
    }
    const GpuBuffer &buffer = *buffers_.at(input.name);
    const size_t given = input.num_bytes();
    const size_t wanted = elements_of(dims) * element_bytes(input.name);
    std::memcpy(buffer.host(), input.data, given);
    const uint32_t idle = idle_value(input.name);
    for (size_t at = given; at < wanted; at += sizeof idle) {
      std::memcpy(buffer.host() + at, &idle, sizeof idle);
    }
    if (!context_->setInputShape(input.name, dims)) {
      throw failed(sentence("refused the shape of ", input.name));
    }
    buffer.upload(wanted, stream_);
  }

  size_t element_bytes(const std::string &tensor) const {
    return dtypes_.at(tensor) == "bool" ? 1 : 4;
  }

  BackendError failed(const std::string &what) const {
    return BackendError(sentence("engine ", name_, " ", what, TrtLibrary::open().last_error(), kBuildAgain));
  }

  std::string name_;
  const Gpu &gpu_;
  GpuStream stream_;
  // An engine needs its runtime, and a context its engine: each is freed before what it needs.
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
  std::map<std::string, std::string> dtypes_;
  std::map<std::string, Range> ranges_;
  std::map<std::string, std::unique_ptr<GpuBuffer>> buffers_;
  std::mutex mutex_;
};

}  // namespace

std::unique_ptr<Session> open_engine(const std::filesystem::path &path, const GraphEntry &entry,
                                     const Gpu &gpu) {
  return std::make_unique<TrtGraph>(path, entry, gpu);
}

}  // namespace echoes
