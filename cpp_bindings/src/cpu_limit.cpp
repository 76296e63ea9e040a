#include "device.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

namespace echoes {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const std::string &text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + 1) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<std::string> lines_of(const fs::path &path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

bool has_cpu(const std::string &names) {
  const std::vector<std::string> parts = split(names, ',');
  return std::find(parts.begin(), parts.end(), "cpu") != parts.end();
}

// From `cpu.max` of version 2, or version 1's two files.
double quota_of(const fs::path &folder) {
  std::string text;
  for (const char *name : {"cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"}) {
    for (const std::string &line : lines_of(folder / name)) text += line + " ";
  }
  char *rest = nullptr;
  const double quota = std::strtod(text.c_str(), &rest);  // "max" and -1 stand for none
  const double period = std::strtod(rest, nullptr);
  return quota > 0 && period > 0 ? quota / period : 0;
}

}  // namespace

double cpu_quota(const std::string &process) {
  double strictest = 0;
  const std::vector<std::string> groups = lines_of(fs::path(process) / "cgroup");
  for (const std::string &mount : lines_of(fs::path(process) / "mountinfo")) {
    const size_t bar = mount.find(" - ");
    if (bar == std::string::npos) continue;
    const std::vector<std::string> place = split(mount.substr(0, bar), ' ');
    const std::vector<std::string> kind = split(mount.substr(bar + 3), ' ');
    if (place.size() < 5 || kind.size() < 3) continue;
    const bool is_cpu = kind[0] == "cgroup" && has_cpu(kind[2]);
    if (kind[0] != "cgroup2" && !is_cpu) continue;
    for (const std::string &line : groups) {
      const size_t first = line.find(':'), second = line.find(':', first + 1);
      if (second == std::string::npos) continue;
      const std::string controllers = line.substr(first + 1, second - first - 1);
      if (is_cpu ? !has_cpu(controllers) : line.rfind("0:", 0) != 0) continue;
      // A container without a namespace of its own sees its group as the mount's root.
      fs::path below = fs::path(line.substr(second + 1)).lexically_relative(place[3]);
      if (below.empty() || *below.begin() == "..") below = ".";
      fs::path folder = (place[4] / below).lexically_normal();
      for (;; folder = folder.parent_path()) {
        const double quota = quota_of(folder);
        if (quota > 0 && (strictest == 0 || quota < strictest)) strictest = quota;
        if (folder.native().size() <= place[4].size()) break;
      }
    }
  }
  return strictest;
}

int thread_limit() {
#if defined(__linux__)
  const int all = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  int usable = all;
  cpu_set_t bound;
  if (sched_getaffinity(0, sizeof bound, &bound) == 0) usable = CPU_COUNT(&bound);
  const double quota = cpu_quota();
  // A quota of 2.5 CPUs counts as 2, since a third thread would be throttled.
  if (quota > 0 && quota < usable) usable = static_cast<int>(quota);
  return usable < all ? std::max(usable, 1) : 0;
#else
  return 0;
#endif
}

}  // namespace echoes
