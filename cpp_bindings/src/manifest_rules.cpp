#include "manifest_rules.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace echoes {
namespace {

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

size_t code_points(const std::string &text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<uint8_t>(c) & 0xC0) != 0x80;  // not a continuation byte of UTF-8
  }));
}

// Unicode's white space, of which a line must not begin with any.
bool starts_with_space(const std::string &text) {
  constexpr std::string_view kSpaces[] = {
      " ",      "\t",     "\n",     "\v",     "\f",     "\r",     "\x1c",   "\x1d",
      "\x1e",   "\x1f",   "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002",
      "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
      "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  return std::any_of(std::begin(kSpaces), std::end(kSpaces), [&](std::string_view space) {
    return text.compare(0, space.size(), space) == 0;
  });
}

// Whether it has a code that a terminal would obey: of ASCII, or of Latin-1's second set.
bool has_control(const std::string &text, std::string_view but) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte < 0x20 && !is_one_of(text[i], but)) || byte == 0x7F) return true;
    // A string ends with a zero behind its size.
    if (byte == 0xC2 && static_cast<uint8_t>(text[i + 1]) < 0xA0) return true;
  }
  return false;
}

}  // namespace

bool is_bundle_name(const std::string &text) {
  return !text.empty() && text.size() <= 64 && (is_lower(text[0]) || is_digit(text[0])) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_lower(c) || is_digit(c) || is_one_of(c, "._-"); });
}

bool is_graph_name(const std::string &text) {
  return !text.empty() && text.size() <= 64 && is_lower(text[0]) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_lower(c) || is_digit(c) || c == '_'; });
}

bool is_line(const std::string &text) {
  return !text.empty() && !starts_with_space(text) && !has_control(text, "") &&
         code_points(text) <= 1000;
}

bool is_long_text(const std::string &text) {
  return !has_control(text, "\n") && code_points(text) <= 10'000;
}

bool is_sha256(const std::string &text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f');
         });
}

bool is_inner_path(const std::string &text) {
  const bool has_fair_letters =
      !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), [](char c) {
        return is_lower(c) || (c >= 'A' && c <= 'Z') || is_digit(c) || is_one_of(c, "._-/ ");
      });
  if (!has_fair_letters) return false;
  size_t start = 0;
  while (start <= text.size()) {
    const size_t end = std::min(text.find('/', start), text.size());
    const std::string_view step = std::string_view(text).substr(start, end - start);
    if (step.empty() || step == "." || step == "..") return false;
    start = end + 1;
  }
  return true;
}

}  // namespace echoes
