// What the system's files say of NVIDIA's driver and of a Jetson.
#pragma once

#include <string>

namespace echoes {

// Of the driver, such as 580.95.05, in the text of /proc/driver/nvidia/version; or "".
std::string driver_release(const std::string &text);
// Of Jetson Linux, such as 36.4.3, in the text of /etc/nv_tegra_release; or "".
std::string l4t_release(const std::string &text);
// The beginning of a small file; "" if it cannot be read.
std::string text_of_file(const char *path);

}  // namespace echoes
