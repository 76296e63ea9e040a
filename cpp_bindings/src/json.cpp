#include "json.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <unordered_set>
#include <vector>

#include "errors.h"

namespace echoes {
namespace {

constexpr size_t kShownChars = 60;

// Objects and arrays within each other; a bundle's manifest has five.
constexpr int kMaxNesting = 64;

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
        std::string name;
        show(key, name);
        throw ManifestError(sentence("the manifest is not valid JSON: key ", name,
                                     " appears twice in one object"));
      }
      if (yyjson_is_ctn(item)) open.push_back({item, depth + 1});
    }
  }
}

}  // namespace

std::string shown(yyjson_val *value) {
  std::string text;
  show(value, text);
  return text.size() <= kShownChars ? text : text.substr(0, kShownChars - 3) + "...";
}

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

}  // namespace echoes
