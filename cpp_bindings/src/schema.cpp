#include "json.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_set>

#include "errors.h"
#include "schema_text.h"

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
  return text.size() == 64 &&
         is_of(text, 64, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
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

// Whether a pattern of manifest.schema.json allows a text.
// Throws std::logic_error for a pattern that the schema did not have when this was written: no
// model for regular expressions is as small as these few rules.
bool matches(Text pattern, Text text) {
  for (const TextRule &rule : kTextRules) {
    if (rule.pattern == pattern) return rule.is_allowed(text);
  }
  throw std::logic_error("manifest.schema.json has a new pattern: " + std::string(pattern));
}

yyjson_val *schema() {
  static const JsonDocument document(kManifestSchema);
  return document.root();
}

// The rule itself, or that of "$defs" to which it refers.
yyjson_val *resolved(yyjson_val *rule) {
  constexpr std::string_view kPrefix = "#/$defs/";
  const std::string_view reference = text_of(yyjson_obj_get(rule, "$ref"));
  if (reference.empty()) return rule;
  const std::string_view name = reference.substr(kPrefix.size());
  return yyjson_obj_getn(yyjson_obj_get(schema(), "$defs"), name.data(), name.size());
}

double limit(yyjson_val *rule, const char *name) {
  return yyjson_get_num(yyjson_obj_get(rule, name));
}

[[noreturn]] void refuse(const std::string &key, yyjson_val *value, const std::string &allowed) {
  const std::string subject = key.empty() ? "the manifest" : "manifest key " + key;
  throw ManifestError(subject, " must be ", allowed, ", got ", shown(value));
}

std::string path(const std::string &key, std::string_view name) {
  return (key.empty() ? "" : key + ".") + std::string(name);
}

void check(yyjson_val *value, yyjson_val *rule, const std::string &key);

void check_choice(yyjson_val *value, yyjson_val *choices, const std::string &key) {
  std::string allowed = "one of ";
  size_t index, count;
  yyjson_val *choice;
  yyjson_arr_foreach(choices, index, count, choice) {
    if (yyjson_equals(value, choice)) return;
    allowed += (index == 0 ? "" : ", ") + std::string(text_of(choice));
  }
  refuse(key, value, allowed);
}

void check_number(yyjson_val *value, yyjson_val *rule, bool is_whole, const std::string &key) {
  const double low = limit(rule, "minimum"), high = limit(rule, "maximum");
  const double number = yyjson_is_num(value) ? yyjson_get_num(value) : NAN;
  if (low <= number && number <= high && (!is_whole || number == std::floor(number))) return;
  if (!is_whole) refuse(key, value, sentence("a number in [", low, ", ", high, "]"));
  refuse(key, value, sentence("a whole number in [", static_cast<int64_t>(low), ", ",
                              static_cast<int64_t>(high), "]"));
}

void check_text(yyjson_val *value, yyjson_val *rule, const std::string &key) {
  if (yyjson_is_str(value) && matches(text_of(yyjson_obj_get(rule, "pattern")), text_of(value))) {
    return;
  }
  refuse(key, value, std::string(text_of(yyjson_obj_get(rule, "description"))));
}

void check_array(yyjson_val *value, yyjson_val *rule, const std::string &key) {
  const double low = limit(rule, "minItems"), high = limit(rule, "maxItems");
  const auto size = static_cast<double>(yyjson_arr_size(value));
  if (!yyjson_is_arr(value) || size < low || size > high) {
    refuse(key, value, sentence("an array of ", low, " to ", high, " items"));
  }
  const bool is_unique = yyjson_is_true(yyjson_obj_get(rule, "uniqueItems"));
  std::unordered_set<std::string> seen;
  size_t index, count;
  yyjson_val *item;
  yyjson_arr_foreach(value, index, count, item) {
    check(item, yyjson_obj_get(rule, "items"), sentence(key, "[", index, "]"));
    if (!is_unique) continue;
    const std::string text = yyjson_is_str(item) ? std::string(text_of(item))
                                                 : sentence(yyjson_get_num(item));
    if (!seen.insert(text).second) refuse(key, value, "an array without repeats");
  }
}

void check_object(yyjson_val *value, yyjson_val *rule, const std::string &key) {
  if (!yyjson_is_obj(value)) refuse(key, value, "an object");
  size_t index, count;
  yyjson_val *name, *part;
  yyjson_arr_foreach(yyjson_obj_get(rule, "required"), index, count, name) {
    if (yyjson_obj_getn(value, yyjson_get_str(name), yyjson_get_len(name)) == nullptr) {
      refuse_key(path(key, text_of(name)), " is missing");
    }
  }
  if (yyjson_val *rule_of_all = yyjson_obj_get(rule, "additionalProperties")) {
    yyjson_obj_foreach(value, index, count, name, part) {
      check(name, yyjson_obj_get(rule, "propertyNames"), key);
    }
    yyjson_obj_foreach(value, index, count, name, part) {
      check(part, rule_of_all, path(key, text_of(name)));
    }
    return;
  }
  yyjson_val *rule_of_part;
  yyjson_obj_foreach(yyjson_obj_get(rule, "properties"), index, count, name, rule_of_part) {
    part = yyjson_obj_getn(value, yyjson_get_str(name), yyjson_get_len(name));
    if (part != nullptr) check(part, rule_of_part, path(key, text_of(name)));
  }
}

// Understands the part of JSON Schema that the file uses.
void check(yyjson_val *value, yyjson_val *rule, const std::string &key) {
  rule = resolved(rule);
  if (yyjson_val *only = yyjson_obj_get(rule, "const")) {
    if (!yyjson_is_num(value) || yyjson_get_num(value) != yyjson_get_num(only)) {
      refuse(key, value, shown(only));
    }
    return;
  }
  if (yyjson_val *choices = yyjson_obj_get(rule, "enum")) return check_choice(value, choices, key);
  const std::string_view type = text_of(yyjson_obj_get(rule, "type"));
  if (type == "object") return check_object(value, rule, key);
  if (type == "array") return check_array(value, rule, key);
  if (type == "string") return check_text(value, rule, key);
  check_number(value, rule, type == "integer", key);
}

}  // namespace

Range sampling_range(const char *name) {
  yyjson_val *properties = yyjson_obj_get(schema(), "properties");
  properties = yyjson_obj_get(yyjson_obj_get(properties, "sampling"), "properties");
  yyjson_val *rule = yyjson_obj_get(properties, name);
  if (yyjson_val *items = yyjson_obj_get(rule, "items")) rule = items;
  return {limit(rule, "minimum"), limit(rule, "maximum")};
}

void check_schema(yyjson_val *manifest) { check(manifest, schema(), ""); }

}  // namespace echoes
