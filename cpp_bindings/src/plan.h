// The schedule of a run, as data.
#pragma once

#include <cstdint>
#include <vector>

#include "spec.h"

namespace echoes {

// Everything that may change from step to step.
struct Plan {
  int steps = 0;
  int drawn = 0;                   // the most tokens of any step
  std::vector<int32_t> positions;  // (steps, drawn): which each step draws, filled up with n_tokens
  std::vector<float> temperature;  // (steps)
  std::vector<float> guidance_scale;  // (steps)

  // (steps, drawn) of (n_tokens): the noise of each token that is drawn.
  std::vector<float> noise_of(const std::vector<float> &uniforms) const;
};

// Number of tokens left masked after each of `steps` in [1, n_tokens]; strictly falling to 0.
std::vector<int> num_masked(int n_tokens, int steps);

// The plan for filling in the mask tokens of `tokens`, of which there is at least one.
Plan make_plan(const std::vector<int32_t> &tokens, const Grid &grid, const Sampling &sampling);

}  // namespace echoes
