// The noise of a run, from its seed alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace echoes {

// Philox4x64-10 (Salmon et al., 2011): four words for a counter and a key.
std::array<uint64_t, 4> philox(std::array<uint64_t, 4> counter, std::array<uint64_t, 2> key);

// `count` uniforms strictly between 0 and 1, exact in float: the stream of numpy.random.Philox with
// the key (seed, window).
std::vector<float> uniforms(uint64_t seed, uint64_t window, size_t count);

}  // namespace echoes
