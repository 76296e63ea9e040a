/* TensorRT's classes as far as we call them, for a library that stands in for TensorRT's in tests.
   Names and types are those of TensorRT 10; how they lie in memory is not. */
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#define NV_TENSORRT_MAJOR 10
#define NV_TENSORRT_VERSION 101602

namespace nvinfer1 {

enum class DataType : int32_t { kFLOAT = 0, kINT32 = 3, kBOOL = 4 };
enum class TensorIOMode : int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };
enum class OptProfileSelector : int32_t { kMIN = 0, kOPT = 1, kMAX = 2 };

struct Dims {
  int32_t nbDims;
  int64_t d[8];
};

class ILogger {
 public:
  enum class Severity : int32_t { kINTERNAL_ERROR = 0, kERROR, kWARNING, kINFO, kVERBOSE };
  virtual ~ILogger() = default;
  virtual void log(Severity severity, const char *text) noexcept = 0;
};

class IExecutionContext {
 public:
  virtual ~IExecutionContext() = default;
  virtual bool setInputShape(const char *name, const Dims &dims) = 0;
  virtual Dims getTensorShape(const char *name) const = 0;
  virtual bool setTensorAddress(const char *name, void *address) = 0;
  virtual bool enqueueV3(cudaStream_t stream) = 0;
};

class ICudaEngine {
 public:
  virtual ~ICudaEngine() = default;
  virtual int32_t getNbIOTensors() const = 0;
  virtual TensorIOMode getTensorIOMode(const char *name) const = 0;
  virtual DataType getTensorDataType(const char *name) const = 0;
  virtual Dims getTensorShape(const char *name) const = 0;
  virtual Dims getProfileShape(const char *name, int32_t profile, OptProfileSelector which) const = 0;
  virtual IExecutionContext *createExecutionContext() = 0;
};

class IRuntime {
 public:
  virtual ~IRuntime() = default;
  virtual ICudaEngine *deserializeCudaEngine(const void *data, size_t size) = 0;
};

}  // namespace nvinfer1
