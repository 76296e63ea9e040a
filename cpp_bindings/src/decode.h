// The decoding loop: the graphs draw, the host counts.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "plan.h"
#include "session.h"

namespace echoes {

using Codes = std::vector<int32_t>;

// Called after each step with its 0-based index and the number of steps; false cancels.
using OnStep = std::function<bool(int step, int steps)>;

// Graph `decode_*_step`, as often as the plan has steps. `context` has one row or none; `uniforms`
// are (n_tokens). Throws CancelledError if `on_step` gave false.
Codes decode_by_steps(const Session &step_graph, Codes tokens, const Output &context,
                      const Plan &plan, const std::vector<float> &uniforms, const OnStep &on_step);

// Graph `decode_*`, once: the same tokens.
Codes decode_at_once(const Session &loop_graph, const Codes &tokens, const Output &context,
                     const Plan &plan, const std::vector<float> &uniforms);

}  // namespace echoes
