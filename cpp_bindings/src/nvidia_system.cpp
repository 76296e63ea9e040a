#include "nvidia_system.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "errors.h"

namespace echoes {

std::string driver_release(const std::string &text) {
  const size_t start = text.find("Kernel Module");
  if (start == std::string::npos) return "";
  std::istringstream words(text.substr(start, text.find('\n', start) - start));
  for (std::string word; words >> word;) {
    const auto dots = std::count(word.begin(), word.end(), '.');
    const bool is_release = word.find_first_not_of("0123456789.") == std::string::npos;
    if (is_release && (dots == 1 || dots == 2)) return word;
  }
  return "";
}

std::string l4t_release(const std::string &text) {
  unsigned major = 0, minor = 0, patch = 0;
  const size_t start = text.find('R');
  if (start == std::string::npos) return "";
  const int found = std::sscanf(text.c_str() + start, "R%u (release), REVISION: %u.%u", &major,
                                &minor, &patch);
  if (found < 2) return "";
  return found == 3 ? sentence(major, ".", minor, ".", patch) : sentence(major, ".", minor);
}

std::string text_of_file(const char *path) {
  std::ifstream file(path);
  std::string text(4096, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

}  // namespace echoes
