// ONNX Runtime with a CUDA that is not there: that of the environment's FAKE_CUDA_ORT, whose CUDA
// sessions start and run on the CPU.
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
    for (size_t i = 0; i < count; ++i) {
      if (std::strcmp(keys[i], "use_tf32") == 0 && std::strcmp(values[i], "0") == 0) return nullptr;
    }
    return fake.CreateStatus(ORT_FAIL, "TF32 is on, tokens would differ from the CPU's");
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
