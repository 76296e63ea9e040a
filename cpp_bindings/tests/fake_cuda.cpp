// ONNX Runtime with a CUDA that is not there: that of the environment's FAKE_CUDA_ORT, whose CUDA
// sessions start and run on the CPU, and whose memory is the host's. FAKE_CUDA_REFUSES, where it is
// set, is the number of the CUDA graph that cannot be recorded; 0: no session that records starts.
#include <dlfcn.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#define ORT_API_MANUAL_INIT
#include "onnxruntime_c_api.h"

namespace {

const OrtApiBase *true_base() {
  static void *library = dlopen(std::getenv("FAKE_CUDA_ORT"), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  using GetApiBase = const OrtApiBase *(*)();
  return reinterpret_cast<GetApiBase>(dlsym(library, "OrtGetApiBase"))();
}

bool refuses(const char *number) {
  const char *refused = std::getenv("FAKE_CUDA_REFUSES");
  return refused != nullptr && std::strcmp(refused, number) == 0;
}

const OrtApi *ORT_API_CALL get_api(uint32_t version) noexcept {
  const OrtApi *api = true_base()->GetApi(version);
  if (api == nullptr) return nullptr;
  static OrtApi fake;
  static const OrtApi *true_api = api;
  // What came with 1.18 begins here; an older library's table may end before it.
  std::memcpy(&fake, api, offsetof(OrtApi, SessionOptionsAppendExecutionProvider_VitisAI));
  fake.CreateCUDAProviderOptions = [](OrtCUDAProviderOptionsV2 **made) noexcept -> OrtStatus * {
    *made = reinterpret_cast<OrtCUDAProviderOptionsV2 *>(&fake);
    return nullptr;
  };
  fake.UpdateCUDAProviderOptions = [](OrtCUDAProviderOptionsV2 *, const char *const *keys,
                                      const char *const *values,
                                      size_t count) noexcept -> OrtStatus * {
    bool is_exact = false;
    for (size_t i = 0; i < count; ++i) {
      is_exact |= std::strcmp(keys[i], "use_tf32") == 0 && std::strcmp(values[i], "0") == 0;
      const bool records =
          std::strcmp(keys[i], "enable_cuda_graph") == 0 && std::strcmp(values[i], "1") == 0;
      if (records && refuses("0")) return fake.CreateStatus(ORT_FAIL, "no session records");
    }
    if (is_exact) return nullptr;
    return fake.CreateStatus(ORT_FAIL, "TF32 is on, tokens would differ from the CPU's");
  };
  fake.AddRunConfigEntry = [](OrtRunOptions *options, const char *key,
                              const char *value) noexcept -> OrtStatus * {
    const bool numbers = std::strcmp(key, "gpu_graph_id") == 0;
    if (numbers && refuses(value)) return fake.CreateStatus(ORT_FAIL, "no graph is recorded");
    return true_api->AddRunConfigEntry(options, key, value);
  };
  fake.CreateMemoryInfo = [](const char *, OrtAllocatorType type, int, OrtMemType memory,
                             OrtMemoryInfo **made) noexcept -> OrtStatus * {
    return true_api->CreateMemoryInfo("Cpu", type, 0, memory, made);
  };
  fake.SessionOptionsAppendExecutionProvider_CUDA_V2 =
      [](OrtSessionOptions *, const OrtCUDAProviderOptionsV2 *) noexcept -> OrtStatus * {
    return nullptr;
  };
  // The fallback to the CPU is all that this CUDA has.
  fake.AddSessionConfigEntry = [](OrtSessionOptions *options, const char *key,
                                  const char *value) noexcept -> OrtStatus * {
    if (std::strcmp(key, "session.disable_cpu_ep_fallback") == 0) return nullptr;
    return true_api->AddSessionConfigEntry(options, key, value);
  };
  fake.ReleaseCUDAProviderOptions = [](OrtCUDAProviderOptionsV2 *) noexcept {};
  return &fake;
}

const char *ORT_API_CALL version_string() noexcept { return true_base()->GetVersionString(); }

}  // namespace

extern "C" __attribute__((visibility("default"))) const OrtApiBase *OrtGetApiBase() noexcept {
  static const OrtApiBase base{get_api, version_string};
  return true_base() != nullptr ? &base : nullptr;
}
