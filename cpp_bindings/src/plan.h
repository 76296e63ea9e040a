// The schedule of a run, as data.
#pragma once

#include <cstdint>
#include <vector>

#include "spec.h"

namespace echoes {

// Everything that may change from step to step, one value a step.
struct DecodePlan {
  std::vector<int32_t> keep;  // how many tokens stay masked after the step
  std::vector<float> temperature;
  std::vector<float> choice_temperature;
  std::vector<float> guidance_scale;

  int steps() const { return static_cast<int>(keep.size()); }
};

// Number of tokens left masked after each of `steps` in [1, n_tokens]; strictly falling to 0.
std::vector<int> num_masked(int n_tokens, int steps);

DecodePlan make_plan(int n_unknown, const Sampling &sampling);

// The condition to guide by: every medium that is known in full, if another token is unknown.
// Not 0 where the unconditional branch sees a mask token instead.
std::vector<uint8_t> known_media(const std::vector<uint8_t> &mask, const TokenLayout &layout);

}  // namespace echoes
