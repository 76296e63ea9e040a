#include "gpu.h"

#include <map>
#include <stdexcept>

#include "dynamic_library.h"
#include "errors.h"

namespace echoes {

#ifdef _WIN32
constexpr char kDriverFile[] = "nvcuda.dll";
#else
constexpr char kDriverFile[] = "libcuda.so.1";
#endif

// Of cuda.h.
constexpr int kIntegrated = 18, kMajor = 75, kMinor = 76;
constexpr unsigned kHostMapped = 2, kNonBlocking = 1;

// Functions of the driver; each gives 0 for success.
struct CudaDriver {
  using Address = unsigned long long;

  CudaDriver() : library_(opened()) {
    load(init, "cuInit");
    load(error_string, "cuGetErrorString");
    load(device_count, "cuDeviceGetCount");
    load(device, "cuDeviceGet");
    load(attribute, "cuDeviceGetAttribute");
    load(retain_context, "cuDevicePrimaryCtxRetain");
    load(set_context, "cuCtxSetCurrent");
    load(allocate, "cuMemAlloc_v2");
    load(free, "cuMemFree_v2");
    load(allocate_host, "cuMemHostAlloc");
    load(free_host, "cuMemFreeHost");
    load(device_pointer, "cuMemHostGetDevicePointer_v2");
    load(to_device, "cuMemcpyHtoDAsync_v2");
    load(to_host, "cuMemcpyDtoHAsync_v2");
    load(create_stream, "cuStreamCreate");
    load(synchronize, "cuStreamSynchronize");
    load(destroy_stream, "cuStreamDestroy_v2");
    check(init(0), "the NVIDIA driver does not start");
  }

  void check(int code, const char *what) const {
    if (code == 0) return;
    const char *text = nullptr;
    error_string(code, &text);
    throw BackendError(sentence(what, ": ", text != nullptr ? text : "unknown error",
                                " (CUDA error ", code, ")"));
  }

  int (*init)(unsigned);
  int (*error_string)(int, const char **);
  int (*device_count)(int *);
  int (*device)(int *, int);
  int (*attribute)(int *, int, int);
  int (*retain_context)(void **, int);
  int (*set_context)(void *);
  int (*allocate)(Address *, size_t);
  int (*free)(Address);
  int (*allocate_host)(void **, size_t, unsigned);
  int (*free_host)(void *);
  int (*device_pointer)(Address *, void *, unsigned);
  int (*to_device)(Address, const void *, size_t, void *);
  int (*to_host)(void *, Address, size_t, void *);
  int (*create_stream)(void **, unsigned);
  int (*synchronize)(void *);
  int (*destroy_stream)(void *);

 private:
  static DynamicLibrary opened() {
    try {
      return DynamicLibrary(kDriverFile);
    } catch (const std::runtime_error &error) {
      throw BackendError(sentence("there is no NVIDIA driver (", error.what(),
                                  "); install one, or use device cpu"));
    }
  }

  template <typename Function>
  void load(Function *&function, const char *name) const {
    function = reinterpret_cast<Function *>(library_.find(name));
    if (function == nullptr) {
      throw BackendError(sentence("the NVIDIA driver is too old (it has no ", name,
                                  "); install one for CUDA 12 or newer"));
    }
  }

  DynamicLibrary library_;
};

const Gpu &Gpu::open(int index) {
  static std::mutex mutex;
  // Never freed: at the process's end the driver may be gone before.
  static const CudaDriver *driver = nullptr;
  static auto &opened = *new std::map<int, std::unique_ptr<const Gpu>>;
  const std::lock_guard<std::mutex> lock(mutex);
  if (driver == nullptr) driver = new CudaDriver;
  std::unique_ptr<const Gpu> &gpu = opened[index];
  if (gpu == nullptr) gpu.reset(new Gpu(*driver, index));
  return *gpu;
}

Gpu::Gpu(const CudaDriver &driver, int index) : driver_(driver), index_(index) {
  int count = 0;
  driver_.check(driver_.device_count(&count), "the GPUs cannot be counted");
  if (index >= count) {
    throw BackendError(sentence("there is no GPU ", index, ": the driver lists ", count,
                                "; see CUDA_VISIBLE_DEVICES"));
  }
  driver_.check(driver_.device(&device_, index), "the GPU cannot be opened");
  sm_ = 10 * attribute(kMajor) + attribute(kMinor);
  is_integrated_ = attribute(kIntegrated) != 0;
}

int Gpu::attribute(int number) const {
  int value = 0;
  driver_.check(driver_.attribute(&value, number, device_), "the GPU does not say what it is");
  return value;
}

void Gpu::enter() const {
  std::call_once(once_, [this] {
    driver_.check(driver_.retain_context(&context_, device_), "the GPU gives no context");
  });
  driver_.check(driver_.set_context(context_), "the GPU cannot be used by this thread");
}

GpuStream::GpuStream(const Gpu &gpu) : gpu_(gpu) {
  gpu.enter();
  gpu.driver_.check(gpu.driver_.create_stream(&handle_, kNonBlocking), "the GPU gives no stream");
}

GpuStream::~GpuStream() {
  gpu_.driver_.set_context(gpu_.context_);
  gpu_.driver_.destroy_stream(handle_);
}

void GpuStream::synchronize() const {
  gpu_.driver_.check(gpu_.driver_.synchronize(handle_), "the GPU failed");
}

GpuBuffer::GpuBuffer(const Gpu &gpu, size_t num_bytes) : gpu_(gpu) {
  const CudaDriver &driver = gpu.driver_;
  gpu.enter();
  const unsigned flags = gpu.is_integrated_ ? kHostMapped : 0;
  driver.check(driver.allocate_host(&host_, num_bytes, flags), "there is no memory to pin");
  const int code = gpu.is_integrated_ ? driver.device_pointer(&address_, host_, 0)
                                      : driver.allocate(&address_, num_bytes);
  if (code != 0) driver.free_host(host_);
  driver.check(code, "the GPU has no memory left");
}

GpuBuffer::~GpuBuffer() {
  const CudaDriver &driver = gpu_.driver_;
  driver.set_context(gpu_.context_);
  if (!gpu_.is_integrated_) driver.free(address_);
  driver.free_host(host_);
}

void GpuBuffer::upload(size_t num_bytes, const GpuStream &stream) const {
  if (gpu_.is_integrated_) return;
  const CudaDriver &driver = gpu_.driver_;
  driver.check(driver.to_device(address_, host_, num_bytes, stream.handle()),
               "a copy to the GPU failed");
}

void GpuBuffer::download(size_t num_bytes, const GpuStream &stream) const {
  if (gpu_.is_integrated_) return;
  const CudaDriver &driver = gpu_.driver_;
  driver.check(driver.to_host(host_, address_, num_bytes, stream.handle()),
               "a copy from the GPU failed");
}

}  // namespace echoes
