// What every backend gives: a loaded graph that can be run.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace echoes {

enum class ElementType { kFloat, kInt32, kBool };

// A tensor that a graph takes in, valid as long as its values are. Flags are 0 or 1.
struct Input {
  Input(const char *input_name, const std::vector<float> &values, std::vector<int64_t> dims)
      : Input(input_name, ElementType::kFloat, values.data(), std::move(dims)) {}
  Input(const char *input_name, const std::vector<int32_t> &values, std::vector<int64_t> dims)
      : Input(input_name, ElementType::kInt32, values.data(), std::move(dims)) {}
  Input(const char *input_name, const std::vector<uint8_t> &flags, std::vector<int64_t> dims)
      : Input(input_name, ElementType::kBool, flags.data(), std::move(dims)) {}

  size_t num_bytes() const {
    size_t bytes = type == ElementType::kBool ? 1 : 4;
    for (const int64_t dim : shape) bytes *= static_cast<size_t>(dim);
    return bytes;
  }

  const char *name;
  ElementType type;
  const void *data;
  std::vector<int64_t> shape;

 private:
  Input(const char *input_name, ElementType of, const void *values, std::vector<int64_t> dims)
      : name(input_name), type(of), data(values), shape(std::move(dims)) {}
};

// A tensor that a graph put out, valid as long as this object.
class Output {
 public:
  Output(std::shared_ptr<const void> owner, const void *data, size_t size)
      : owner_(std::move(owner)), data_(data), size_(size) {}

  // T is what the graph's signature says.
  template <typename T>
  const T *data() const {
    return static_cast<const T *>(data_);
  }
  size_t size() const { return size_; }

 private:
  std::shared_ptr<const void> owner_;
  const void *data_;
  size_t size_;
};

// May be used by several threads at once.
class Session {
 public:
  virtual ~Session() = default;
  virtual Output run(const std::vector<Input> &inputs, const char *output) = 0;
};

}  // namespace echoes
