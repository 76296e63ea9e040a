#include "bundle.h"

#include <cstdint>

#include "errors.h"

namespace echoes {
namespace {

// As deep as protobuf itself reads.
constexpr int kMaxMessageDepth = 100;

enum class Kind {
  kOther,
  kModel,
  kTraining,
  kFunction,
  kGraph,
  kNode,
  kOperator,
  kAttribute,
  kSparse,
  kTensor,
  kEntry
};

// Of onnx.proto: the fields of each message that lead to a tensor, and what they are.
struct Field {
  Kind message;
  uint64_t number;
  Kind inner;
};
constexpr Field kFields[] = {
    {Kind::kModel, 7, Kind::kGraph},          {Kind::kModel, 20, Kind::kTraining},
    {Kind::kModel, 25, Kind::kFunction},      {Kind::kTraining, 1, Kind::kGraph},
    {Kind::kTraining, 2, Kind::kGraph},       {Kind::kFunction, 7, Kind::kNode},
    {Kind::kFunction, 11, Kind::kAttribute},  {Kind::kGraph, 1, Kind::kNode},
    {Kind::kGraph, 5, Kind::kTensor},         {Kind::kGraph, 15, Kind::kSparse},
    {Kind::kNode, 4, Kind::kOperator},        {Kind::kNode, 5, Kind::kAttribute},
    {Kind::kAttribute, 5, Kind::kTensor},     {Kind::kAttribute, 6, Kind::kGraph},
    {Kind::kAttribute, 10, Kind::kTensor},    {Kind::kAttribute, 11, Kind::kGraph},
    {Kind::kAttribute, 22, Kind::kSparse},    {Kind::kAttribute, 23, Kind::kSparse},
    {Kind::kSparse, 1, Kind::kTensor},        {Kind::kSparse, 2, Kind::kTensor},
    {Kind::kTensor, 13, Kind::kEntry},
};

Kind inner(Kind message, uint64_t number) {
  for (const Field &field : kFields) {
    if (field.message == message && field.number == number) return field.inner;
  }
  return Kind::kOther;
}

[[noreturn]] void refuse(const char *reason) { throw BundleError(reason); }

// Reads a message of protobuf field by field.
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  // The next field that has bytes: a message, a string or raw data; false at the end.
  bool next(uint64_t &number, std::string_view &part) {
    while (!rest_.empty()) {
      const uint64_t tag = varint();
      switch (tag & 7) {
        case 0:
          varint();
          break;
        case 1:
          take(8);
          break;
        case 2:
          part = take(varint());
          number = tag >> 3;
          return true;
        case 5:
          take(4);
          break;
        default:
          refuse("a field has an unknown wire type");
      }
    }
    return false;
  }

 private:
  std::string_view take(uint64_t size) {
    if (size > rest_.size()) refuse("a field is longer than the file");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift < 64) value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    refuse("a number is cut off");
  }

  std::string_view rest_;
};

void add_location(std::string_view entry, std::set<std::string> &locations) {
  std::string_view key, value, part;
  uint64_t number = 0;
  // Of a field that is given twice the last one counts.
  for (Fields fields(entry); fields.next(number, part);) {
    if (number == 1) key = part;
    if (number == 2) value = part;
  }
  if (key == "location") locations.emplace(value);
}

void visit(std::string_view message, Kind kind, std::set<std::string> &locations, int depth) {
  if (depth > kMaxMessageDepth) refuse("it is nested too deeply");
  uint64_t number = 0;
  std::string_view part;
  for (Fields fields(message); fields.next(number, part);) {
    const Kind below = inner(kind, number);
    if (below == Kind::kEntry) {
      add_location(part, locations);
    } else if (below == Kind::kOperator) {
      if (part == "EPContext") refuse("it has a node EPContext, which may read any file");
    } else if (below != Kind::kOther) {
      visit(part, below, locations, depth + 1);
    }
  }
}

}  // namespace

std::set<std::string> external_locations(std::string_view graph) {
  std::set<std::string> locations;
  visit(graph, Kind::kModel, locations, 0);
  return locations;
}

}  // namespace echoes
