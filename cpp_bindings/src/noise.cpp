#include "noise.h"

namespace echoes {
namespace {

struct Wide {
  uint64_t high;
  uint64_t low;
};

Wide multiply(uint64_t a, uint64_t b) {
  const uint64_t low_a = a & 0xffffffff, high_a = a >> 32;
  const uint64_t low_b = b & 0xffffffff, high_b = b >> 32;
  const uint64_t cross = low_a * high_b + (low_a * low_b >> 32);
  const uint64_t middle = high_a * low_b + (cross & 0xffffffff);
  return {high_a * high_b + (cross >> 32) + (middle >> 32), a * b};
}

// The 23 high bits m of a word become (2 m + 1) / 2^24.
float uniform(uint64_t word) { return (static_cast<float>(word >> 41) + 0.5f) * 0x1p-23f; }

}  // namespace

std::array<uint64_t, 4> philox(std::array<uint64_t, 4> counter, std::array<uint64_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const Wide first = multiply(0xD2E7470EE14C6C93, counter[0]);
    const Wide second = multiply(0xCA5A826395121157, counter[2]);
    counter = {second.high ^ counter[1] ^ key[0], second.low, first.high ^ counter[3] ^ key[1],
               first.low};
    key[0] += 0x9E3779B97F4A7C15;
    key[1] += 0xBB67AE8584CAA73B;
  }
  return counter;
}

std::vector<float> uniforms(uint64_t seed, uint64_t window, size_t count) {
  std::vector<float> noise(count);
  std::array<uint64_t, 4> words{};
  for (size_t i = 0; i < count; ++i) {
    if (i % 4 == 0) words = philox({i / 4 + 1, 0, 0, 0}, {seed, window});
    noise[i] = uniform(words[i % 4]);
  }
  return noise;
}

}  // namespace echoes
