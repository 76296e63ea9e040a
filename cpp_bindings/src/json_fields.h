// Strict reading of JSON objects: every refusal names the key, its value and what is allowed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "errors.h"

struct yyjson_doc;
struct yyjson_val;

namespace echoes {

class Object;

// A value and the key under which it stands, such as graphs.step.file; throws ManifestError.
class Field {
 public:
  Field(std::string key, yyjson_val *value) : key_(std::move(key)), value_(value) {}

  const std::string &key() const { return key_; }
  ManifestError wrong(const std::string &allowed) const;
  // The value as JSON, cut to fit a sentence.
  std::string shown() const;

  bool is_string() const;
  int64_t integer(int64_t low, int64_t high) const;
  double number(double low, double high) const;
  // `is_allowed` sees the text in UTF-8.
  template <typename Predicate>
  std::string string(Predicate is_allowed, const std::string &allowed) const {
    std::optional<std::string> text = text_or_none();
    if (!text || !is_allowed(*text)) throw wrong(allowed);
    return *text;
  }
  std::vector<Field> array(size_t low, size_t high, const std::string &of) const;
  Object object() const;

 private:
  std::optional<std::string> text_or_none() const;

  std::string key_;
  yyjson_val *value_;
};

// A JSON object; keys that nobody asks for are allowed and ignored.
class Object {
 public:
  Object(std::string key, yyjson_val *value) : key_(std::move(key)), value_(value) {}

  Field operator[](const std::string &name) const;
  std::optional<Field> find(const std::string &name) const;
  std::vector<std::pair<std::string, Field>> items() const;

 private:
  std::string path(const std::string &name) const;

  std::string key_;
  yyjson_val *value_;
};

// JSON without its traps: NaN, Infinity and repeated keys are refused.
class JsonDocument {
 public:
  explicit JsonDocument(std::string_view text);
  Field root() const;

 private:
  struct Free {
    void operator()(yyjson_doc *document) const;
  };
  std::unique_ptr<yyjson_doc, Free> document_;
};

}  // namespace echoes
