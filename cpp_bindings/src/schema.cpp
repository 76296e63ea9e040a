#include "json.h"

#include <cmath>
#include <string>
#include <string_view>
#include <unordered_set>

#include "errors.h"
#include "schema_text.h"

namespace echoes {
namespace {

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
  throw ManifestError(sentence(subject, " must be ", allowed, ", got ", shown(value)));
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
      throw ManifestError(sentence("manifest key ", path(key, text_of(name)), " is missing"));
    }
  }
  if (yyjson_val *rule_of_all = yyjson_obj_get(rule, "additionalProperties")) {
    yyjson_obj_foreach(value, index, count, name, part) {
      check_text(name, yyjson_obj_get(rule, "propertyNames"), key);
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
