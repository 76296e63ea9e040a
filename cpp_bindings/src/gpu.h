// One NVIDIA GPU by its driver alone, which is opened at run time: its functions keep their
// signatures, and it is on every machine with a GPU. TensorRT and ONNX Runtime use the same context.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace echoes {

struct CudaDriver;

// Lives until the process ends; the driver's context, which takes memory of the GPU, is made when it
// is first entered.
class Gpu {
 public:
  // The same object for the same index. Throws BackendError if there is no driver or no such GPU.
  static const Gpu &open(int index);

  // Compute capability times ten, such as 89.
  int sm() const { return sm_; }
  int index() const { return index_; }
  // Makes it the calling thread's GPU.
  void enter() const;

 private:
  friend class GpuBuffer;
  friend class GpuStream;
  Gpu(const CudaDriver &driver, int index);
  int attribute(int number) const;

  const CudaDriver &driver_;
  int index_;
  int device_ = 0;
  int sm_ = 0;
  bool is_integrated_ = false;  // shares the CPU's memory, as a Jetson's does
  mutable std::once_flag once_;
  mutable void *context_ = nullptr;
};

class GpuStream {
 public:
  explicit GpuStream(const Gpu &gpu);
  ~GpuStream();
  GpuStream(const GpuStream &) = delete;
  GpuStream &operator=(const GpuStream &) = delete;

  void *handle() const { return handle_; }
  void synchronize() const;

 private:
  const Gpu &gpu_;
  void *handle_ = nullptr;
};

// A fixed piece of memory at one address of the host, pinned, and one of the device. On a GPU that
// shares the CPU's memory both are the same piece and nothing is ever copied.
class GpuBuffer {
 public:
  GpuBuffer(const Gpu &gpu, size_t num_bytes);
  ~GpuBuffer();
  GpuBuffer(const GpuBuffer &) = delete;
  GpuBuffer &operator=(const GpuBuffer &) = delete;

  uint8_t *host() const { return static_cast<uint8_t *>(host_); }
  void *device() const { return reinterpret_cast<void *>(static_cast<uintptr_t>(address_)); }
  // Copies that are put into the stream, where they are needed.
  void upload(size_t num_bytes, const GpuStream &stream) const;
  void download(size_t num_bytes, const GpuStream &stream) const;

 private:
  const Gpu &gpu_;
  void *host_ = nullptr;
  unsigned long long address_ = 0;
};

}  // namespace echoes
