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

// What each step takes besides its tokens and the context; valid as long as the plan and `noise`,
// which is what the plan makes of the uniforms.
std::vector<std::vector<Input>> step_inputs(const Session &step_graph, const Plan &plan,
                                            const std::vector<float> &noise, bool has_context);

// Throws CancelledError if `on_step` gives false.
void report(const OnStep &on_step, int step, int steps);

// Graph `decode_*_step`, as often as the plan has steps. `context` has one row or none; `uniforms`
// are (n_tokens). Throws CancelledError if `on_step` gave false.
Codes decode_by_steps(const Session &step_graph, Codes tokens, const Output &context,
                      const Plan &plan, const std::vector<float> &uniforms, const OnStep &on_step);

// Graph `decode_*`, once: the same tokens.
Codes decode_at_once(const Session &loop_graph, const Codes &tokens, const Output &context,
                     const Plan &plan, const std::vector<float> &uniforms);

}  // namespace echoes
