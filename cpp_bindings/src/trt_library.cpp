#include "trt_library.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <stdexcept>

#include "dynamic_library.h"
#include "errors.h"

namespace echoes {

#define ECHOES_TEXT_OF(number) #number
#define ECHOES_TEXT(number) ECHOES_TEXT_OF(number)
#ifdef _WIN32
constexpr char kTensorRtFile[] = "nvinfer_" ECHOES_TEXT(NV_TENSORRT_MAJOR) ".dll";
#else
constexpr char kTensorRtFile[] = "libnvinfer.so." ECHOES_TEXT(NV_TENSORRT_MAJOR);
#endif

void TrtLog::log(Severity severity, const char *text) noexcept {
  if (severity > Severity::kERROR) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  std::snprintf(text_, sizeof text_, "%s", text);
  std::replace(std::begin(text_), std::end(text_), '\n', ' ');
}

std::string TrtLog::last_error() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return text_[0] != '\0' ? sentence(" (", text_, ")") : "";
}

const TrtLibrary &TrtLibrary::open() {
  static const TrtLibrary library;  // stays open for ever
  return library;
}

TrtLibrary::TrtLibrary() {
  const char *given = std::getenv("ECHOES_RT_TENSORRT");
  const std::string path = given != nullptr && *given != '\0' ? given : kTensorRtFile;
  try {
    const DynamicLibrary library(std::filesystem::u8path(path));
    create_runtime_ = reinterpret_cast<decltype(create_runtime_)>(
        library.find("createInferRuntime_INTERNAL"));
    const auto get_version = reinterpret_cast<int32_t (*)()>(library.find("getInferLibVersion"));
    if (create_runtime_ == nullptr || get_version == nullptr) {
      throw std::runtime_error(path + " is another library");
    }
    const int32_t number = get_version();
    version_ = sentence(number / 10000, ".", number / 100 % 100, ".", number % 100);
    const auto get_build = reinterpret_cast<int32_t (*)()>(library.find("getInferLibBuildVersion"));
    if (get_build != nullptr) version_ += sentence(".", get_build());
    if (number / 10000 != NV_TENSORRT_MAJOR) {
      throw std::runtime_error(sentence(path, " is TensorRT ", version_, ", and this was built for ",
                                        NV_TENSORRT_MAJOR));
    }
  } catch (const std::runtime_error &error) {
    throw BackendError(sentence("TensorRT cannot be opened (", error.what(),
                                "); install it, or set ECHOES_RT_TENSORRT to the path of ",
                                kTensorRtFile));
  }
}

std::unique_ptr<nvinfer1::IRuntime> TrtLibrary::make_runtime() const {
  std::unique_ptr<nvinfer1::IRuntime> runtime(
      static_cast<nvinfer1::IRuntime *>(create_runtime_(&log_, NV_TENSORRT_VERSION)));
  if (runtime == nullptr) {
    throw BackendError(sentence("TensorRT ", version_, " does not start", last_error()));
  }
  return runtime;
}

}  // namespace echoes
