// What every backend gives: a loaded graph with one input and one output that can be run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace echoes {

// A tensor that a graph put out, valid as long as this object.
template <typename T>
class Output {
 public:
  Output(std::shared_ptr<const void> owner, const T *data, std::vector<int64_t> shape)
      : owner_(std::move(owner)), data_(data), shape_(std::move(shape)) {}

  const T *data() const { return data_; }
  const std::vector<int64_t> &shape() const { return shape_; }
  size_t size() const {
    size_t size = 1;
    for (const int64_t dim : shape_) size *= static_cast<size_t>(dim);
    return size;
  }

 private:
  std::shared_ptr<const void> owner_;
  const T *data_;
  std::vector<int64_t> shape_;
};

// May be used by several threads at once. Which function fits, the graph's signature says.
class Session {
 public:
  virtual ~Session() = default;
  virtual Output<int32_t> run_to_codes(const std::vector<float> &input,
                                       const std::vector<int64_t> &shape) = 0;
  virtual Output<float> run_to_floats(const std::vector<int32_t> &input,
                                      const std::vector<int64_t> &shape) = 0;
  virtual Output<float> run_to_floats(const float *input, const std::vector<int64_t> &shape) = 0;
};

}  // namespace echoes
