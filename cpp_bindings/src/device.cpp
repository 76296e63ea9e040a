#include "device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

#include "errors.h"
#include "session.h"

namespace echoes {
namespace {

namespace fs = std::filesystem;

// y = MatMul(Conv(x, x), x) + x for x of shape (1, 1, 1, 1), opset 13: a kernel of ONNX Runtime's own,
// one of cuBLAS and one of cuDNN, each of which may be what is missing.
constexpr uint8_t kProbeGraph[] = {
    0x08, 0x07, 0x3a, 0x71, 0x0a, 0x0f, 0x0a, 0x01, 0x78, 0x0a, 0x01, 0x78, 0x12, 0x01,
    0x63, 0x22, 0x04, 0x43, 0x6f, 0x6e, 0x76, 0x0a, 0x11, 0x0a, 0x01, 0x63, 0x0a, 0x01,
    0x78, 0x12, 0x01, 0x6d, 0x22, 0x06, 0x4d, 0x61, 0x74, 0x4d, 0x75, 0x6c, 0x0a, 0x0e,
    0x0a, 0x01, 0x6d, 0x0a, 0x01, 0x78, 0x12, 0x01, 0x79, 0x22, 0x03, 0x41, 0x64, 0x64,
    0x12, 0x01, 0x70, 0x5a, 0x1b, 0x0a, 0x01, 0x78, 0x12, 0x16, 0x0a, 0x14, 0x08, 0x01,
    0x12, 0x10, 0x0a, 0x02, 0x08, 0x01, 0x0a, 0x02, 0x08, 0x01, 0x0a, 0x02, 0x08, 0x01,
    0x0a, 0x02, 0x08, 0x01, 0x62, 0x1b, 0x0a, 0x01, 0x79, 0x12, 0x16, 0x0a, 0x14, 0x08,
    0x01, 0x12, 0x10, 0x0a, 0x02, 0x08, 0x01, 0x0a, 0x02, 0x08, 0x01, 0x0a, 0x02, 0x08,
    0x01, 0x0a, 0x02, 0x08, 0x01, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x0d};

// Release 1.20 gives two nodes one name when it fuses slices twice, and then refuses its own graph;
// 1.23 does not, those between were not tried.
constexpr uint32_t kFirstSoundSplitFusion = 23;

constexpr const char *kConfig[][2] = {
    // A bundle's graphs run one after another, each with threads of its own: those of the last one
    // would spin for a while and take the cores from the next.
    {"session.force_spinning_stop", "1"},
    // The arena grows in powers of two, which is for what comes and goes, not for weights.
    {"session.use_device_allocator_for_initializers", "1"},
};

// Convolutions are searched for by a rule, not by trying all, which takes seconds at each start.
// Products stay float32: with TF32 tokens would differ from the CPU's. Memory grows by what is used.
constexpr const char *kCudaKeys[] = {"cudnn_conv_algo_search", "use_tf32", "arena_extend_strategy",
                                     "device_id", "enable_cuda_graph"};
constexpr const char *kCudaValues[] = {"HEURISTIC", "0", "kSameAsRequested"};  // of the first

// Only a session that computes without the CPU's help says that a device can be used.
void try_device(const Device &device) {
  SessionDials dials;
  dials.is_strict = true;
  const Session probe(device, "a graph that tries it",
                      {std::begin(kProbeGraph), std::end(kProbeGraph)}, dials);
  const float two = 2;
  if (probe.run({{"x", &two, {1, 1, 1, 1}}}, "y").values<float>() != std::vector<float>{10}) {
    throw BackendError(device.name, " computes wrong values");
  }
}

std::vector<std::string> split(const std::string &text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + 1) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<std::string> lines_of(const fs::path &path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

bool has_cpu(const std::string &names) {
  const std::vector<std::string> parts = split(names, ',');
  return std::find(parts.begin(), parts.end(), "cpu") != parts.end();
}

// From `cpu.max` of version 2, or version 1's two files.
double quota_of(const fs::path &folder) {
  std::string text;
  for (const char *name : {"cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"}) {
    for (const std::string &line : lines_of(folder / name)) text += line + " ";
  }
  char *rest = nullptr;
  const double quota = std::strtod(text.c_str(), &rest);  // "max" and -1 stand for none
  const double period = std::strtod(rest, nullptr);
  return quota > 0 && period > 0 ? quota / period : 0;
}

}  // namespace

int device_index(const std::string &device, const std::string &kind) {
  if (device == kind) return 0;
  if (device.rfind(kind + ":", 0) != 0) return -1;
  const std::string digits = device.substr(kind.size() + 1);
  const bool is_number = !digits.empty() && digits.size() <= 3 &&
                         digits.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? std::stoi(digits) : -1;
}

Owned<OrtSessionOptions> session_options(const Device &device, const SessionDials &dials) {
  const OrtApi &api = device.library->api();
  const auto check = [&](OrtStatus *status) {
    device.library->check(status, "ONNX Runtime refuses the options of a session");
  };
  OrtSessionOptions *made = nullptr;
  check(api.CreateSessionOptions(&made));
  Owned<OrtSessionOptions> options(made, api.ReleaseSessionOptions);
  check(api.SetSessionLogSeverityLevel(options.get(), ORT_LOGGING_LEVEL_FATAL));
  for (const auto &[key, value] : kConfig) {
    check(api.AddSessionConfigEntry(options.get(), key, value));
  }
  // Left to itself it starts a thread for each core of the machine, whatever the quota.
  const int threads = device.threads > 0 ? device.threads : thread_limit();
  if (threads > 0) check(api.SetIntraOpNumThreads(options.get(), threads));
  if (device.library->release() < kFirstSoundSplitFusion) {
    check(api.AddSessionConfigEntry(options.get(), "optimization.disable_specified_optimizers",
                                    "GatherSliceToSplitFusion"));
  }
  if (device.name == "cpu") return options;
  if (dials.is_strict) {
    check(api.AddSessionConfigEntry(options.get(), "session.disable_cpu_ep_fallback", "1"));
  }
  OrtCUDAProviderOptionsV2 *cuda = nullptr;
  check(api.CreateCUDAProviderOptions(&cuda));
  const Owned<OrtCUDAProviderOptionsV2> owned(cuda, api.ReleaseCUDAProviderOptions);
  const std::string index = device.name.substr(std::strlen("cuda:"));
  std::vector<const char *> values(std::begin(kCudaValues), std::end(kCudaValues));
  values.insert(values.end(), {index.c_str(), dials.is_recording ? "1" : "0"});
  check(api.UpdateCUDAProviderOptions(cuda, kCudaKeys, values.data(), values.size()));
  check(api.SessionOptionsAppendExecutionProvider_CUDA_V2(options.get(), cuda));
  return options;
}

Device choose_device(std::shared_ptr<const OrtLibrary> library, const std::string &requested,
                     int threads) {
  Device device{std::move(library), "cpu", "asked for", threads};
  if (requested == "cpu") return device;
  const int index = requested == "auto" ? 0 : device_index(requested, "cuda");
  if (index < 0) {
    throw InputError("device must be auto, cpu or cuda[:<index>], got '", requested, "'");
  }
  Device cuda = device;
  cuda.name = sentence("cuda:", index);
  try {
    try_device(cuda);
  } catch (const BackendError &error) {
    if (requested != "auto") {
      throw BackendError("device ", requested, " cannot be used: ", error.what(), "; check the ",
                         "NVIDIA driver, CUDA and cuDNN, and that this ONNX Runtime was built ",
                         "with CUDA");
    }
    device.reason = error.what();
    return device;
  }
  if (requested == "auto") cuda.reason = "CUDA starts";
  return cuda;
}

double cpu_quota(const std::string &process) {
  double strictest = 0;
  const std::vector<std::string> groups = lines_of(fs::path(process) / "cgroup");
  for (const std::string &mount : lines_of(fs::path(process) / "mountinfo")) {
    const size_t bar = mount.find(" - ");
    if (bar == std::string::npos) continue;
    const std::vector<std::string> place = split(mount.substr(0, bar), ' ');
    const std::vector<std::string> kind = split(mount.substr(bar + 3), ' ');
    if (place.size() < 5 || kind.size() < 3) continue;
    const bool is_cpu = kind[0] == "cgroup" && has_cpu(kind[2]);
    if (kind[0] != "cgroup2" && !is_cpu) continue;
    for (const std::string &line : groups) {
      const size_t first = line.find(':'), second = line.find(':', first + 1);
      if (second == std::string::npos) continue;
      const std::string controllers = line.substr(first + 1, second - first - 1);
      if (is_cpu ? !has_cpu(controllers) : line.rfind("0:", 0) != 0) continue;
      // A container without a namespace of its own sees its group as the mount's root.
      fs::path below = fs::path(line.substr(second + 1)).lexically_relative(place[3]);
      if (below.empty() || *below.begin() == "..") below = ".";
      fs::path folder = (place[4] / below).lexically_normal();
      for (;; folder = folder.parent_path()) {
        const double quota = quota_of(folder);
        if (quota > 0 && (strictest == 0 || quota < strictest)) strictest = quota;
        if (folder.native().size() <= place[4].size()) break;
      }
    }
  }
  return strictest;
}

int thread_limit() {
#if defined(__linux__)
  const int all = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  int usable = all;
  cpu_set_t bound;
  if (sched_getaffinity(0, sizeof bound, &bound) == 0) usable = CPU_COUNT(&bound);
  const double quota = cpu_quota();
  // A quota of 2.5 CPUs counts as 2, since a third thread would be throttled.
  if (quota > 0 && quota < usable) usable = static_cast<int>(quota);
  return usable < all ? std::max(usable, 1) : 0;
#else
  return 0;
#endif
}

}  // namespace echoes
