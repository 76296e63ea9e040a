// The CPUs that this process may use, where that is less than the machine has.
#pragma once

#include <string>

namespace echoes {

// CPUs of the strictest control group around a process; 0 without a quota. `process` is a folder
// with its `cgroup` and `mountinfo`.
double cpu_quota(const std::string &process = "/proc/self");

// Threads for one operator; 0 where the process may use the whole machine.
int thread_limit();

}  // namespace echoes
