// Where ONNX Runtime runs graphs, and on how many of a machine's CPUs.
#pragma once

#include <memory>
#include <string>

#include "ort_library.h"

namespace echoes {

// "cpu" or "cuda:<index>", never "auto".
struct Device {
  std::shared_ptr<const OrtLibrary> library;
  std::string name = "cpu";
  std::string reason;
  int threads = 0;  // for one operator; 0 leaves it to ONNX Runtime
};

// Turns "auto", "cpu", "cuda" or "cuda:<index>" into a device that starts. Throws InputError, and
// BackendError if the requested device does not start; only "auto" falls back.
Device choose_device(std::shared_ptr<const OrtLibrary> library, const std::string &requested,
                     int threads);

// The index in "<kind>:<index>", 0 for "<kind>" alone; -1 for other texts.
int device_index(const std::string &device, const std::string &kind);

// Frees what ONNX Runtime made.
template <typename T>
using Owned = std::unique_ptr<T, void(ORT_API_CALL *)(T *)>;

// How a session on a GPU is started.
struct SessionDials {
  bool is_recording = false;  // what it runs is recorded as CUDA graphs, by number
  bool is_strict = false;     // a graph of which a node would run on the CPU is refused
};

// The options of every session on a device.
Owned<OrtSessionOptions> session_options(const Device &device, const SessionDials &dials);

// CPUs of the strictest control group around a process; 0 without a quota. `process` is a folder
// with its `cgroup` and `mountinfo`.
double cpu_quota(const std::string &process = "/proc/self");

// Threads for one operator; 0 where the process may use the whole machine.
int thread_limit();

}  // namespace echoes
