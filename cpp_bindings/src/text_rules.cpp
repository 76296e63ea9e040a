#include "json.h"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

namespace echoes {
namespace {

using Text = std::string_view;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_one_of(char c, Text set) { return set.find(c) != Text::npos; }

// Whether it has a code that a terminal would obey: of ASCII, or of Latin-1's second set.
bool has_control(Text text, Text but) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && !is_one_of(text[i], but)) || byte == 0x7F) return true;
    // UTF-8 never ends with this byte.
    if (byte == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) return true;
  }
  return false;
}

size_t code_points(Text text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // not a continuation byte of UTF-8
  }));
}

template <typename Allowed>
bool is_of(Text text, size_t most, Allowed allowed) {
  return !text.empty() && text.size() <= most && std::all_of(text.begin(), text.end(), allowed);
}

bool is_bundle_name(Text text) {
  const auto is_allowed = [](char c) { return is_lower(c) || is_digit(c) || is_one_of(c, "._-"); };
  return is_of(text, 64, is_allowed) && !is_one_of(text[0], "._-");
}

bool is_graph_name(Text text) {
  const auto is_allowed = [](char c) { return is_lower(c) || is_digit(c) || c == '_'; };
  return is_of(text, 64, is_allowed) && is_lower(text[0]);
}

bool is_line(Text text) {
  return !text.empty() && text[0] != ' ' && !has_control(text, "") && code_points(text) <= 1000;
}

bool is_long_text(Text text) {
  return !has_control(text, "\n") && code_points(text) <= 10'000;
}

bool is_sha256(Text text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f');
         });
}

// A path inside the bundle's folder, of letters that mean the same on every file system.
bool is_inner_path(Text text) {
  const auto is_allowed = [](char c) {
    return is_lower(c) || (c >= 'A' && c <= 'Z') || is_digit(c) || is_one_of(c, "._-/ ");
  };
  if (!is_of(text, 255, is_allowed) || text == "manifest.json") return false;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find('/', start), text.size());
    const Text step = text.substr(start, end - start);
    if (step.empty() || step == "." || step == "..") return false;
    start = end + 1;
  }
  return true;
}

struct TextRule {
  Text pattern;
  bool (*is_allowed)(Text text);
};

constexpr TextRule kTextRules[] = {
    {R"(^[a-z0-9][a-z0-9._-]{0,63}$)", is_bundle_name},
    {R"(^[a-z][a-z0-9_]{0,63}$)", is_graph_name},
    {R"(^[^\u0000-\u0020\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]{0,999}$)", is_line},
    {R"(^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]{0,10000}$)", is_long_text},
    {R"(^[0-9a-f]{64}$)", is_sha256},
    {R"(^(?!manifest\.json$)(?!(.*/)?\.{0,2}(/|$))[A-Za-z0-9._\-/ ]{1,255}$)", is_inner_path},
};

}  // namespace

bool matches(Text pattern, Text text) {
  for (const TextRule &rule : kTextRules) {
    if (rule.pattern == pattern) return rule.is_allowed(text);
  }
  throw std::logic_error("manifest.schema.json has a new pattern: " + std::string(pattern));
}

}  // namespace echoes
