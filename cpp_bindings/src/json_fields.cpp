#include "json_fields.h"

#include <cmath>
#include <unordered_set>

#include "errors.h"
#include "yyjson.h"

namespace echoes {
namespace {

constexpr size_t kShownChars = 60;

// Objects and arrays within each other; a bundle's manifest has seven.
constexpr int kMaxNesting = 64;

std::string_view text_of(yyjson_val *value) {
  return {yyjson_get_str(value), yyjson_get_len(value)};
}

// Writes until `text` is longer than a sentence shows, so that no nesting is too deep.
void show(yyjson_val *value, std::string &text) {
  if (text.size() > kShownChars) return;
  const bool is_object = yyjson_is_obj(value);
  if (!is_object && !yyjson_is_arr(value)) {
    size_t length = 0;
    char *written = yyjson_val_write(value, YYJSON_WRITE_ESCAPE_UNICODE, &length);
    if (written == nullptr) throw std::bad_alloc();
    text.append(written, std::min(length, kShownChars + 1));
    std::free(written);
    return;
  }
  text += is_object ? '{' : '[';
  size_t index, count;
  yyjson_val *key, *item;
  if (is_object) {
    yyjson_obj_foreach(value, index, count, key, item) {
      if (text.size() > kShownChars) return;
      if (index > 0) text += ", ";
      show(key, text);
      text += ": ";
      show(item, text);
    }
  } else {
    yyjson_arr_foreach(value, index, count, item) {
      if (text.size() > kShownChars) return;
      if (index > 0) text += ", ";
      show(item, text);
    }
  }
  text += is_object ? '}' : ']';
}

// Refuses repeated keys and what is nested too deeply.
void check_nesting(yyjson_val *root) {
  struct Open {
    yyjson_val *value;
    int depth;
  };
  std::vector<Open> open{{root, 0}};  // a stack of ours: nesting may be as deep as the file
  std::unordered_set<std::string_view> seen;
  size_t index, count;
  yyjson_val *key, *item;
  while (!open.empty()) {
    const auto [value, depth] = open.back();
    open.pop_back();
    if (depth == kMaxNesting) {
      throw ManifestError(
          sentence("the manifest is nested deeper than the ", kMaxNesting, " levels allowed"));
    }
    if (yyjson_is_arr(value)) {
      yyjson_arr_foreach(value, index, count, item) {
        if (yyjson_is_ctn(item)) open.push_back({item, depth + 1});
      }
      continue;
    }
    seen.clear();
    yyjson_obj_foreach(value, index, count, key, item) {
      if (!seen.insert(text_of(key)).second) {
        std::string shown;
        show(key, shown);
        throw ManifestError(sentence("the manifest is not valid JSON: key ", shown,
                                     " appears twice in one object"));
      }
      if (yyjson_is_ctn(item)) open.push_back({item, depth + 1});
    }
  }
}

}  // namespace

std::string Field::shown() const {
  std::string text;
  show(value_, text);
  return text.size() <= kShownChars ? text : text.substr(0, kShownChars - 3) + "...";
}

ManifestError Field::wrong(const std::string &allowed) const {
  return ManifestError(sentence("manifest key ", key_, " must be ", allowed, ", got ", shown()));
}

bool Field::is_string() const { return yyjson_is_str(value_); }

int64_t Field::integer(int64_t low, int64_t high) const {
  // A number beyond int64 is above every limit; as a cast it would be below.
  const bool fits = yyjson_is_sint(value_) ||
                    (yyjson_is_uint(value_) && yyjson_get_uint(value_) <= uint64_t{INT64_MAX});
  const int64_t value = fits ? yyjson_get_sint(value_) : 0;
  if (!fits || value < low || value > high) {
    throw wrong(sentence("a whole number in [", low, ", ", high, "]"));
  }
  return value;
}

double Field::number(double low, double high) const {
  const double value = yyjson_is_num(value_) ? yyjson_get_num(value_) : NAN;
  if (!(low <= value && value <= high)) {  // also refuses NaN
    throw wrong(sentence("a number in [", low, ", ", high, "]"));
  }
  return value;
}

std::optional<std::string> Field::text_or_none() const {
  if (!is_string()) return std::nullopt;
  return std::string(text_of(value_));
}

std::vector<Field> Field::array(size_t low, size_t high, const std::string &of) const {
  const size_t size = yyjson_arr_size(value_);
  if (!yyjson_is_arr(value_) || size < low || size > high) {
    const std::string count = low == high ? sentence(low) : sentence(low, " to ", high);
    throw wrong(sentence("an array of ", count, " ", of));
  }
  std::vector<Field> items;
  size_t index, count;
  yyjson_val *item;
  yyjson_arr_foreach(value_, index, count, item) {
    items.emplace_back(sentence(key_, "[", index, "]"), item);
  }
  return items;
}

Object Field::object() const {
  if (!yyjson_is_obj(value_)) throw wrong("an object");
  return Object(key_, value_);
}

Field Object::operator[](const std::string &name) const {
  std::optional<Field> field = find(name);
  if (!field) throw ManifestError(sentence("manifest key ", path(name), " is missing"));
  return *field;
}

std::optional<Field> Object::find(const std::string &name) const {
  yyjson_val *value = yyjson_obj_getn(value_, name.data(), name.size());
  if (value == nullptr) return std::nullopt;
  return Field(path(name), value);
}

std::vector<std::pair<std::string, Field>> Object::items() const {
  std::vector<std::pair<std::string, Field>> items;
  size_t index, count;
  yyjson_val *key, *item;
  yyjson_obj_foreach(value_, index, count, key, item) {
    const std::string name(text_of(key));
    items.emplace_back(name, Field(path(name), item));
  }
  return items;
}

std::string Object::path(const std::string &name) const {
  return key_.empty() ? name : key_ + "." + name;
}

void JsonDocument::Free::operator()(yyjson_doc *document) const { yyjson_doc_free(document); }

JsonDocument::JsonDocument(std::string_view text) {
  yyjson_read_err error{};
  // Without YYJSON_READ_INSITU the text is copied, not changed.
  document_.reset(
      yyjson_read_opts(const_cast<char *>(text.data()), text.size(), 0, nullptr, &error));
  if (!document_) {
    if (error.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) throw std::bad_alloc();
    throw ManifestError(
        sentence("the manifest is not valid JSON: ", error.msg, " at byte ", error.pos));
  }
  yyjson_val *root = yyjson_doc_get_root(document_.get());
  if (yyjson_is_ctn(root)) check_nesting(root);
}

Field JsonDocument::root() const { return Field("", yyjson_doc_get_root(document_.get())); }

}  // namespace echoes
