#include "trt_engines.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine_file.h"
#include "errors.h"
#include "gpu.h"
#include "nvidia_system.h"
#include "trt_library.h"
#include "trt_session.h"

namespace echoes {
namespace {

namespace fs = std::filesystem;

// What this library runs; an engine of another graph is for Python alone.
constexpr const char *kGraphs[] = {"decode",        "step",       "image_encoder", "image_decoder",
                                   "mel_encoder", "mel_decoder", "vocoder"};

bool is_run(const std::string &graph) {
  return std::find(std::begin(kGraphs), std::end(kGraphs), graph) != std::end(kGraphs);
}

// int8 changes what is heard, so it is taken only where there is nothing else.
constexpr const char *kPreference[] = {".fp16.", ".fp32.", ".int8."};

size_t rank_of(const fs::path &path) {
  const std::string name = path.filename().u8string();
  size_t rank = 0;
  for (const char *precision : kPreference) {
    if (name.find(precision) != std::string::npos) break;
    ++rank;
  }
  return rank;
}

std::vector<fs::path> engine_paths(const fs::path &folder) {
  std::vector<fs::path> paths;
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
    if (entry->path().extension() == ".engine") paths.push_back(entry->path());
  }
  const auto order = [](const fs::path &path) {
    const bool is_other = path.filename().u8string().find(".tensorrt.") == std::string::npos;
    return std::make_tuple(rank_of(path), is_other, path);
  };
  std::sort(paths.begin(), paths.end(),
            [&](const fs::path &a, const fs::path &b) { return order(a) < order(b); });
  return paths;
}

struct Found {
  fs::path path;
  std::string precision;
};

class TrtEngines : public Engines {
 public:
  TrtEngines(const Gpu &gpu, std::map<std::string, Found> found)
      : gpu_(gpu), found_(std::move(found)) {}

  bool has(const std::string &graph) const override { return found_.count(graph) > 0; }

  std::unique_ptr<Session> open(const std::string &graph, const GraphEntry &entry) const override {
    return open_engine(found_.at(graph).path, entry, gpu_);
  }

  std::string text() const override {
    std::string names;
    for (const auto &[graph, found] : found_) {
      names += sentence(names.empty() ? "" : ", ", graph, " ", found.precision);
    }
    return sentence(names, " by TensorRT ", TrtLibrary::open().version());
  }

 private:
  const Gpu &gpu_;
  std::map<std::string, Found> found_;
};

}  // namespace

std::shared_ptr<const Engines> find_engines(const Bundle &bundle, const fs::path &folder,
                                            int index) {
  const Gpu &gpu = Gpu::open(index);
  EngineKey wanted;
  wanted.flavour = "tensorrt";
  wanted.version = TrtLibrary::open().version();
  wanted.sm = gpu.sm();
  wanted.model_sha256 = model_sha256(bundle.manifest);
  wanted.driver = driver_release(text_of_file("/proc/driver/nvidia/version"));
  wanted.l4t = l4t_release(text_of_file("/etc/nv_tegra_release"));
  std::map<std::string, Found> found;
  std::string refusal;
  for (const fs::path &path : engine_paths(folder)) {
    try {
      const EngineFile file = read_engine_file(path);
      const std::string &graph = file.key.graph;
      // Checking a large file takes a while: only the preferred one of each graph is.
      const bool is_wanted = is_run(graph) && bundle.manifest.has_graph(graph);
      if (!is_wanted || found.count(graph) > 0) continue;
      check_engine(path, file, wanted);
      found.emplace(graph, Found{path, file.key.precision});
    } catch (const Error &error) {
      if (refusal.empty()) refusal = error.what();
    }
  }
  // Without an engine of either loop, TensorRT has nothing to do that is worth it.
  if (found.count("decode") == 0 && found.count("step") == 0) {
    throw BackendError(
        !refusal.empty()
            ? refusal
            : sentence("bundle ", bundle.manifest.name, " has no TensorRT engine of decode in ",
                       folder.u8string(),
                       "; build one with echoes-export engine --backend tensorrt"));
  }
  return std::make_shared<TrtEngines>(gpu, std::move(found));
}

}  // namespace echoes
