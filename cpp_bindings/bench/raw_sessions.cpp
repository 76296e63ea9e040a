// Nothing but ONNX Runtime's Run, on inputs that were made before: what every runtime around it is
// held against. overhead.py calls it; each function gives 0, or 1 after printing why not.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "bundle.h"
#include "device.h"

namespace {

using namespace echoes;

struct Graph {
  Owned<OrtSession> session;
  std::vector<std::string> names;
  std::vector<Owned<OrtValue>> inputs;
  std::string output;
};

struct Runs {
  Bundle bundle;
  Device device;
  std::vector<Graph> graphs;  // in the order in which they run

  const OrtApi &api() const { return device.library->api(); }
  void check(OrtStatus *status) const { device.library->check(status, "raw run"); }
};

template <typename Body>
int guarded(Body &&body) {
  try {
    body();
    return 0;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "raw_sessions: %s\n", error.what());
    return 1;
  }
}

void run(const Runs &runs, const Graph &graph) {
  std::vector<const char *> names;
  std::vector<const OrtValue *> inputs;
  for (size_t i = 0; i < graph.names.size(); ++i) {
    names.push_back(graph.names[i].c_str());
    inputs.push_back(graph.inputs[i].get());
  }
  const char *output_name = graph.output.c_str();
  OrtValue *output = nullptr;
  runs.check(runs.api().Run(graph.session.get(), nullptr, names.data(), inputs.data(),
                            inputs.size(), &output_name, 1, &output));
  runs.api().ReleaseValue(output);
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int raw_open(const char *bundle, int threads, Runs **runs) {
  return guarded([&] {
    Device device = choose_device(OrtLibrary::open(""), "cpu", threads);
    *runs = new Runs{open_bundle(bundle), std::move(device), {}};
  });
}

EXPORTED int raw_add_graph(Runs *runs, const char *graph, const char *output) {
  return guarded([&] {
    const Owned<OrtSessionOptions> options = session_options(runs->device);
    const std::filesystem::path path = runs->bundle.graph_path(graph);
    OrtSession *session = nullptr;
    runs->check(runs->api().CreateSession(runs->device.library->environment(), path.c_str(),
                                          options.get(), &session));
    runs->graphs.push_back({{session, runs->api().ReleaseSession}, {}, {}, output});
  });
}

// An input of the graph that was added last; the values stay the caller's, and must live on.
EXPORTED int raw_add_input(Runs *runs, const char *name, const char *dtype, void *values,
                           size_t num_bytes, const int64_t *shape, size_t rank) {
  return guarded([&] {
    const auto element = std::string(dtype) == "float32" ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                                                         : ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    OrtMemoryInfo *made = nullptr;
    runs->check(runs->api().CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &made));
    const Owned<OrtMemoryInfo> memory(made, runs->api().ReleaseMemoryInfo);
    OrtValue *value = nullptr;
    runs->check(runs->api().CreateTensorWithDataAsOrtValue(memory.get(), values, num_bytes, shape,
                                                           rank, element, &value));
    Graph &graph = runs->graphs.back();
    graph.names.push_back(name);
    graph.inputs.emplace_back(value, runs->api().ReleaseValue);
  });
}

EXPORTED int raw_run(const Runs *runs) {
  return guarded([&] {
    for (const Graph &graph : runs->graphs) run(*runs, graph);
  });
}

EXPORTED void raw_close(Runs *runs) { delete runs; }
