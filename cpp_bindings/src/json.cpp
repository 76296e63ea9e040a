#include "json.h"

#include <cstdlib>
#include <new>
#include <unordered_set>

#include "errors.h"

namespace echoes {
namespace {

constexpr size_t kShownChars = 60;

// Objects and arrays within each other; a bundle's manifest has five.
constexpr int kMaxNesting = 64;

// Refuses repeated keys and what is nested too deeply.
void check_nesting(yyjson_val *value, int depth) {
  if (!yyjson_is_ctn(value)) return;
  if (depth == kMaxNesting) {
    throw ManifestError("the manifest is nested deeper than the ", kMaxNesting, " levels allowed");
  }
  size_t index, count;
  yyjson_val *key, *item;
  if (yyjson_is_arr(value)) {
    yyjson_arr_foreach(value, index, count, item) check_nesting(item, depth + 1);
    return;
  }
  std::unordered_set<std::string_view> seen;
  yyjson_obj_foreach(value, index, count, key, item) {
    if (!seen.insert(text_of(key)).second) {
      throw ManifestError("the manifest is not valid JSON: key ", shown(key), " appears twice in ",
                          "one object");
    }
    check_nesting(item, depth + 1);
  }
}

}  // namespace

std::string shown(yyjson_val *value) {
  char *written = yyjson_val_write(value, YYJSON_WRITE_ESCAPE_UNICODE, nullptr);
  if (written == nullptr) throw std::bad_alloc();
  const std::unique_ptr<char, void (*)(void *)> text(written, std::free);
  const std::string all(written);
  return all.size() <= kShownChars ? all : all.substr(0, kShownChars - 3) + "...";
}

JsonDocument::JsonDocument(std::string_view text) {
  yyjson_read_err error{};
  // Without YYJSON_READ_INSITU the text is copied, not changed.
  document_.reset(
      yyjson_read_opts(const_cast<char *>(text.data()), text.size(), 0, nullptr, &error));
  if (!document_) {
    if (error.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) throw std::bad_alloc();
    throw ManifestError("the manifest is not valid JSON: ", error.msg, " at byte ", error.pos);
  }
  check_nesting(root(), 0);
}

}  // namespace echoes
