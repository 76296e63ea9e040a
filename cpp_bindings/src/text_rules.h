// Which texts the patterns of manifest.schema.json allow.
#pragma once

#include <string_view>

namespace echoes {

// Throws std::logic_error for a pattern that the schema did not have when this was written: no
// model for regular expressions is as small as these few rules.
bool matches(std::string_view pattern, std::string_view text);

}  // namespace echoes
