// The decoding loop: fills in masked tokens, keeps the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "plan.h"

namespace echoes {

// Gives the logits of `tokens`, one or two sequences of n_tokens, as (sequences, n_tokens,
// vocab_size) floats that stay valid until the next call.
using LogitsFn = std::function<const float *(const std::vector<int32_t> &tokens)>;

// Called after each step with its 0-based index and the number of steps; false cancels.
using OnStep = std::function<bool(int step, int steps)>;

struct DecodeQuestion {
  std::vector<int32_t> tokens;     // (N)
  std::vector<uint8_t> mask;       // (N), not 0 where unknown
  std::vector<uint8_t> condition;  // (N), not 0 where the unconditional branch sees a mask token
  int vocab_size = 0;              // also the id of the mask token
};

// The tokens with no mask left. `uniforms` are (steps, 2, N): the first draws, the second ranks.
// Throws CancelledError, and BundleError if logits are not numbers.
std::vector<int32_t> decode(const LogitsFn &logits, DecodeQuestion question, const DecodePlan &plan,
                            const std::vector<float> &uniforms, const OnStep &on_step);

}  // namespace echoes
