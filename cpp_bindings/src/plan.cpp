#include "plan.h"

#include <algorithm>
#include <cmath>

namespace echoes {
namespace {

// MaskGIT (arXiv 2202.04200), section 3.3: cosine, 1 at 0 and 0 at 1.
double mask_ratio(double progress) { return std::cos(0.5 * 3.141592653589793 * progress); }

std::vector<float> guidance_scales(const Sampling &sampling) {
  std::vector<float> scales(static_cast<size_t>(sampling.steps), 1.0f);
  for (int step = 0; step < sampling.steps; ++step) {
    const double progress = static_cast<double>(step) / sampling.steps;
    if (progress < sampling.guidance_start || progress >= sampling.guidance_stop) continue;
    double excess = sampling.guidance_scale - 1;
    if (sampling.guidance_schedule == GuidanceSchedule::kAnnealed) excess *= mask_ratio(progress);
    scales[static_cast<size_t>(step)] = static_cast<float>(1 + excess);
  }
  return scales;
}

}  // namespace

std::vector<float> Plan::noise_of(const std::vector<float> &uniforms) const {
  std::vector<float> noise;
  noise.reserve(positions.size());
  for (const int32_t position : positions) {
    noise.push_back(uniforms[std::min(static_cast<size_t>(position), uniforms.size() - 1)]);
  }
  return noise;
}

std::vector<int> num_masked(int n_tokens, int steps) {
  std::vector<int> counts;
  int left = n_tokens;
  for (int step = 1; step <= steps; ++step) {
    const double progress = static_cast<double>(step) / steps;
    const int wanted = static_cast<int>(std::floor(n_tokens * mask_ratio(progress)));
    left = std::max(steps - step, std::min(left - 1, wanted));
    counts.push_back(left);
  }
  return counts;
}

Plan make_plan(const std::vector<int32_t> &tokens, const Grid &grid, const Sampling &sampling) {
  std::vector<int32_t> unknown;
  for (const int32_t position : grid.order) {
    if (tokens[static_cast<size_t>(position)] == grid.mask_token()) unknown.push_back(position);
  }
  const auto n_unknown = static_cast<int>(unknown.size());
  const std::vector<int> left = num_masked(n_unknown, std::min(sampling.steps, n_unknown));
  Plan plan;
  plan.steps = sampling.steps;
  plan.drawn = 1;
  int before = n_unknown;
  for (const int after : left) {
    plan.drawn = std::max(plan.drawn, before - after);
    before = after;
  }
  const auto n_steps = static_cast<size_t>(plan.steps), drawn = static_cast<size_t>(plan.drawn);
  plan.positions.assign(n_steps * drawn, grid.n_tokens());
  auto next = unknown.begin();
  for (size_t step = 0; step < left.size(); ++step) {
    const auto end = unknown.end() - left[step];
    std::copy(next, end, plan.positions.begin() + static_cast<std::ptrdiff_t>(step * drawn));
    next = end;
  }
  plan.temperature.assign(n_steps, static_cast<float>(sampling.temperature));
  plan.guidance_scale = guidance_scales(sampling);
  return plan;
}

}  // namespace echoes
