// The decoding loop: noise and schedule as data; the graphs draw, the host counts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "session.h"
#include "spec.h"

namespace echoes {

// Philox4x64-10 (Salmon et al., 2011): four words for a counter and a key.
std::array<uint64_t, 4> philox(std::array<uint64_t, 4> counter, std::array<uint64_t, 2> key);

// `count` uniforms strictly between 0 and 1, exact in float: the stream of numpy.random.Philox with
// the key (seed, window).
std::vector<float> uniforms(uint64_t seed, uint64_t window, size_t count);

// Everything that may change from step to step.
struct Plan {
  int steps = 0;
  int drawn = 0;                   // the most tokens of any step
  std::vector<int32_t> positions;  // (steps, drawn): which each step draws, filled up with n_tokens
  std::vector<float> guidance_scale;                  // (steps)
  std::map<std::string, std::vector<float>> drawing;  // (steps) of each setting in kDrawing

  // (steps, drawn) of (n_tokens): the noise of each token that is drawn.
  std::vector<float> noise_of(const std::vector<float> &uniforms) const;
};

// Number of tokens left masked after each of `steps` in [1, n_tokens]; strictly falling to 0.
std::vector<int> num_masked(int n_tokens, int steps);

// The plan for filling in the mask tokens of `tokens`, of which there is at least one.
Plan make_plan(const std::vector<int32_t> &tokens, const Grid &grid, const Options &options);

using Codes = std::vector<int32_t>;

// What each step takes besides its tokens and the context; valid as long as the plan and `noise`,
// which is what the plan makes of the uniforms.
std::vector<std::vector<Input>> step_inputs(const Session &step_graph, const Plan &plan,
                                            const std::vector<float> &noise, bool has_context);

// Calls back after a step. Throws CancelledError if that says so.
void report(const Options &options, int step, int steps);

// Graph `decode_*_step`, as often as the plan has steps. `context` has one row or none; `uniforms`
// are (n_tokens). Throws as report does.
Codes decode_by_steps(const Session &step_graph, Codes tokens, const Output &context,
                      const Plan &plan, const std::vector<float> &uniforms, const Options &options);

// Graph `decode_*`, once: the same tokens.
Codes decode_at_once(const Session &loop_graph, const Codes &tokens, const Output &context,
                     const Plan &plan, const std::vector<float> &uniforms);

}  // namespace echoes
