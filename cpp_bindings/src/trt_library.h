// TensorRT, found and opened at run time.
#pragma once

#include <NvInfer.h>

#include <memory>
#include <mutex>
#include <string>

namespace echoes {

// TensorRT says why it failed in its log alone, and it keeps a pointer to the first log that it was
// given: there is one, which is never freed.
class TrtLog : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char *text) noexcept override;
  // " (<the last error>)" on one line, or nothing if there was none.
  std::string last_error() const;

 private:
  mutable std::mutex mutex_;
  char text_[400] = {};
};

class TrtLibrary {
 public:
  // The library is ECHOES_RT_TENSORRT of the environment, or libnvinfer of the version that this
  // was compiled for. Throws BackendError.
  static const TrtLibrary &open();

  // Such as 10.3.0.26.
  const std::string &version() const { return version_; }
  // Throws BackendError if TensorRT does not start.
  std::unique_ptr<nvinfer1::IRuntime> make_runtime() const;
  std::string last_error() const { return log_.last_error(); }

 private:
  TrtLibrary();

  TrtLog &log_ = *new TrtLog;
  void *(*create_runtime_)(void *logger, int32_t version) = nullptr;
  std::string version_;
};

}  // namespace echoes
