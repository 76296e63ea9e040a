// Which texts a manifest may hold.
#pragma once

#include <string>

namespace echoes {

bool is_bundle_name(const std::string &text);
bool is_graph_name(const std::string &text);
bool is_line(const std::string &text);
bool is_long_text(const std::string &text);
bool is_sha256(const std::string &text);
// A path inside the bundle's folder, of letters that mean the same on every file system.
bool is_inner_path(const std::string &text);

}  // namespace echoes
