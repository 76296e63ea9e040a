#include "device.h"

#include <filesystem>

#include "errors.h"
#include "ort_session.h"
#ifdef ECHOES_TENSORRT
#include "trt_engines.h"
#endif

namespace echoes {
namespace {

constexpr char kEnginesFolder[] = "engines";

std::shared_ptr<const Engines> found_engines(const Bundle &bundle, int index) {
#ifdef ECHOES_TENSORRT
  return find_engines(bundle, bundle.folder / kEnginesFolder, index);
#else
  (void)bundle, (void)index;
  throw BackendError("this library was built without TensorRT; build it where NvInfer.h is found");
#endif
}

// CUDA, or else the CPU, runs the graphs between the engines.
Device with_engines(const std::shared_ptr<const OrtLibrary> &library, const Bundle &bundle,
                    int index, int threads) {
  Device device;
  device.engines = found_engines(bundle, index);
  try {
    device.ort = choose_ort_device(library, sentence("cuda:", index), threads);
  } catch (const BackendError &) {
    device.ort = choose_ort_device(library, "cpu", threads);
  }
  device.name = sentence("tensorrt:", index);
  device.reason = sentence("engines: ", device.engines->text(), "; other graphs run on ",
                           device.ort.name);
  return device;
}

}  // namespace

std::unique_ptr<Session> Device::open(const Bundle &bundle, const std::string &graph) const {
  // What is read of the outputs goes by this entry, whichever file runs.
  const GraphEntry &signature = bundle.graph(graph);
  if (has_engine(graph)) return engines->open(graph, signature);
  const std::string half = graph + "_half";  // the same, computing in float16
  const bool is_half = ort.name != "cpu" && bundle.manifest.has_graph(half);
  return open_session(ort, bundle.graph_path(is_half ? half : graph), signature);
}

Device choose_device(std::shared_ptr<const OrtLibrary> library, const Bundle &bundle,
                     const std::string &requested, int threads) {
  const int index = device_index(requested, "tensorrt");
  std::string no_engines;
  if (index >= 0) {
    try {
      return with_engines(library, bundle, index, threads);
    } catch (const BackendError &error) {
      throw BackendError(sentence("device ", requested, " cannot be used: ", error.what()));
    }
  }
  std::error_code ignored;
  if (requested == "auto" && std::filesystem::is_directory(bundle.folder / kEnginesFolder, ignored)) {
    try {
      return with_engines(library, bundle, 0, threads);
    } catch (const BackendError &error) {
      no_engines = sentence("no TensorRT: ", error.what(), "; ");
    }
  }
  Device device;
  device.ort = choose_ort_device(std::move(library), requested, threads);
  device.name = device.ort.name;
  device.reason = no_engines + device.ort.reason;
  return device;
}

}  // namespace echoes
