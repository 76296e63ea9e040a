// A TensorRT that is not there: "engine of FOLDER/GRAPH.onnx" is that graph of the bundle FOLDER,
// run by ONNX Runtime. It takes plans of 5 and 6 steps, and batches of 1 or as many as the
// environment's FAKE_MAX_BATCH says.
#include <NvInfer.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "bundle.h"
#include "ort_session.h"

namespace {

using namespace nvinfer1;

struct Limits {
  int64_t least, most;
};

Limits limits_of(const echoes::Dim &dim) {
  if (dim.name.empty()) return {dim.size, dim.size};
  if (dim.name == "steps") return {5, 6};
  const char *most = std::getenv("FAKE_MAX_BATCH");
  if (dim.name == "batch") return {1, most != nullptr ? std::atoi(most) : 1};
  return {1, 100000};
}

Dims dims_of(const echoes::TensorSpec &spec, OptProfileSelector which) {
  Dims dims{static_cast<int32_t>(spec.shape.size()), {}};
  for (size_t i = 0; i < spec.shape.size(); ++i) {
    const Limits limits = limits_of(spec.shape[i]);
    dims.d[i] = which == OptProfileSelector::kMIN ? limits.least : limits.most;
  }
  return dims;
}

struct Graph {
  echoes::Bundle bundle;
  std::string name;
  std::unique_ptr<echoes::Session> session;

  const echoes::GraphEntry &entry() const { return bundle.manifest.graphs.at(name); }

  const echoes::TensorSpec *find(const std::string &tensor, bool is_input) const {
    for (const auto &[key, spec] : is_input ? entry().inputs : entry().outputs) {
      if (key == tensor) return &spec;
    }
    return nullptr;
  }
};

class Context : public IExecutionContext {
 public:
  explicit Context(std::shared_ptr<Graph> graph) : graph_(std::move(graph)) {}

  bool setInputShape(const char *name, const Dims &dims) override {
    const echoes::TensorSpec *spec = graph_->find(name, true);
    if (spec == nullptr || dims.nbDims != static_cast<int32_t>(spec->shape.size())) return false;
    for (size_t i = 0; i < spec->shape.size(); ++i) {
      const Limits limits = limits_of(spec->shape[i]);
      if (dims.d[i] < limits.least || dims.d[i] > limits.most) return false;
      if (!spec->shape[i].name.empty()) free_[spec->shape[i].name] = dims.d[i];
    }
    shapes_[name] = dims;
    return true;
  }

  Dims getTensorShape(const char *name) const override {
    if (const auto found = shapes_.find(name); found != shapes_.end()) return found->second;
    Dims dims = dims_of(*graph_->find(name, false), OptProfileSelector::kMAX);
    const echoes::TensorSpec &spec = *graph_->find(name, false);
    const int hop = graph_->bundle.manifest.mel.hop_length;
    for (size_t i = 0; i < spec.shape.size(); ++i) {
      const std::string &free = spec.shape[i].name;
      if (free == "samples") dims.d[i] = hop * free_.at("frames");
      if (const auto size = free_.find(free); size != free_.end()) dims.d[i] = size->second;
    }
    return dims;
  }

  bool setTensorAddress(const char *name, void *address) override {
    addresses_[name] = address;
    return true;
  }

  bool enqueueV3(cudaStream_t) override {
    std::vector<std::vector<float>> floats;
    std::vector<std::vector<int32_t>> integers;
    std::vector<std::vector<uint8_t>> flags;
    std::vector<echoes::Input> inputs;
    floats.reserve(16), integers.reserve(16), flags.reserve(16);
    for (const auto &[name, spec] : graph_->entry().inputs) {
      const Dims &dims = shapes_.at(name);
      const std::vector<int64_t> shape(dims.d, dims.d + dims.nbDims);
      const auto read = [&](auto &arrays, auto zero) {
        size_t count = 1;
        for (const int64_t size : shape) count *= static_cast<size_t>(size);
        const auto *from = static_cast<const decltype(zero) *>(addresses_.at(name));
        arrays.emplace_back(from, from + count);
        inputs.emplace_back(name.c_str(), arrays.back(), shape);
      };
      if (spec.dtype == "float32") read(floats, float{});
      if (spec.dtype == "int32") read(integers, int32_t{});
      if (spec.dtype == "bool") read(flags, uint8_t{});
    }
    for (const auto &[name, spec] : graph_->entry().outputs) {
      const echoes::Output made = graph_->session->run(inputs, name.c_str());
      std::memcpy(addresses_.at(name), made.data<uint8_t>(), 4 * made.size());
    }
    return true;
  }

 private:
  std::shared_ptr<Graph> graph_;
  std::map<std::string, Dims> shapes_;
  std::map<std::string, int64_t> free_;
  std::map<std::string, void *> addresses_;
};

class Engine : public ICudaEngine {
 public:
  explicit Engine(std::shared_ptr<Graph> graph) : graph_(std::move(graph)) {}

  int32_t getNbIOTensors() const override {
    return static_cast<int32_t>(graph_->entry().inputs.size() + graph_->entry().outputs.size());
  }
  TensorIOMode getTensorIOMode(const char *name) const override {
    if (graph_->find(name, true) != nullptr) return TensorIOMode::kINPUT;
    return graph_->find(name, false) != nullptr ? TensorIOMode::kOUTPUT : TensorIOMode::kNONE;
  }
  DataType getTensorDataType(const char *name) const override {
    const std::string &dtype = spec(name).dtype;
    return dtype == "bool"    ? DataType::kBOOL
           : dtype == "int32" ? DataType::kINT32
                              : DataType::kFLOAT;
  }
  Dims getTensorShape(const char *name) const override {
    Dims dims = dims_of(spec(name), OptProfileSelector::kMAX);
    for (size_t i = 0; i < spec(name).shape.size(); ++i) {
      if (!spec(name).shape[i].name.empty()) dims.d[i] = -1;
    }
    return dims;
  }
  Dims getProfileShape(const char *name, int32_t, OptProfileSelector which) const override {
    return dims_of(spec(name), which);
  }
  IExecutionContext *createExecutionContext() override { return new Context(graph_); }

 private:
  const echoes::TensorSpec &spec(const char *name) const {
    const echoes::TensorSpec *input = graph_->find(name, true);
    return input != nullptr ? *input : *graph_->find(name, false);
  }

  std::shared_ptr<Graph> graph_;
};

class Runtime : public IRuntime {
 public:
  explicit Runtime(ILogger &log) : log_(log) {}

  ICudaEngine *deserializeCudaEngine(const void *data, size_t size) override {
    const std::string text(static_cast<const char *>(data), size), magic = "engine of ";
    if (text.rfind(magic, 0) != 0) {
      log_.log(ILogger::Severity::kERROR, "Error Code 1: bad\nmagic");
      return nullptr;
    }
    const std::filesystem::path path = text.substr(magic.size());
    const auto graph = std::make_shared<Graph>();
    graph->bundle = echoes::open_bundle(path.parent_path().string());
    graph->name = path.stem().string();
    const echoes::OrtDevice cpu =
        echoes::choose_ort_device(echoes::OrtLibrary::open(""), "cpu", 1);
    graph->session =
        echoes::open_session(cpu, graph->bundle.graph_path(graph->name), graph->entry());
    return new Engine(graph);
  }

 private:
  ILogger &log_;
};

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int32_t getInferLibVersion() { return NV_TENSORRT_VERSION; }

__attribute__((visibility("default"))) int32_t getInferLibBuildVersion() { return 10; }

__attribute__((visibility("default"))) void *createInferRuntime_INTERNAL(void *log, int32_t) {
  return new Runtime(*static_cast<ILogger *>(log));
}
}
