#include "device.h"

#include <cstring>
#include <iterator>
#include <vector>

#include "errors.h"
#include "session.h"

namespace echoes {
namespace {

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
  const auto number = [](const char *name) {
    return TensorSpec{name, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, 1, 1, 1}, false};
  };
  SessionDials dials;
  dials.is_strict = true;
  const Session probe(device, "a graph that tries it",
                      {std::begin(kProbeGraph), std::end(kProbeGraph)}, {{number("x")}, number("y")},
                      dials);
  const float two = 2;
  if (*probe.run({{"x", &two, {1, 1, 1, 1}}}).data<float>() != 10) {
    throw BackendError(sentence(device.name, " computes wrong values"));
  }
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

Device choose_device(std::shared_ptr<const OrtLibrary> library,
                            const std::string &requested, int threads) {
  Device device{std::move(library), "cpu", "asked for", threads};
  if (requested == "cpu") return device;
  const int index = requested == "auto" ? 0 : device_index(requested, "cuda");
  if (index < 0) {
    throw InputError(
        sentence("device must be auto, cpu or cuda[:<index>], got '", requested,
                 "'"));
  }
  Device cuda = device;
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

}  // namespace echoes
