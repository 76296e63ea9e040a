// JSON without its traps, and the rules of manifest.schema.json for it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "errors.h"
#include "yyjson.h"

namespace echoes {

// Throws ManifestError for what is no JSON, NaN, Infinity and repeated keys.
class JsonDocument {
 public:
  explicit JsonDocument(std::string_view text);
  yyjson_val *root() const { return yyjson_doc_get_root(document_.get()); }

 private:
  struct Free {
    void operator()(yyjson_doc *document) const { yyjson_doc_free(document); }
  };
  std::unique_ptr<yyjson_doc, Free> document_;
};

// "" for what is no string.
inline std::string_view text_of(yyjson_val *value) {
  return {yyjson_get_str(value), yyjson_get_len(value)};
}

// Throws ManifestError that a key breaks a rule of the file's.
template <typename... Parts>
[[noreturn]] void refuse_key(const Parts &...parts) {
  throw ManifestError("manifest key ", parts...);
}

// A value as JSON, cut to fit a sentence.
std::string shown(yyjson_val *value);

struct Range {
  double low;
  double high;
};

// Of a number of the object `sampling`, or of the numbers of an array in it.
Range sampling_range(const char *name);

// Throws ManifestError with the first key that breaks a rule, its value and what is allowed. Keys
// that the schema does not know are allowed.
void check_schema(yyjson_val *manifest);

}  // namespace echoes
