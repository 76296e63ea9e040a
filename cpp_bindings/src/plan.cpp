#include "plan.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "errors.h"

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

void check_dial(const char *name, double value, double limit) {
  if (!(value >= 0 && value <= limit)) {  // also refuses NaN
    throw std::invalid_argument(sentence(name, " must be in [0, ", limit, "], got ", value));
  }
}

}  // namespace

void check_sampling(const Sampling &sampling) {
  check_dial("guidance_scale", sampling.guidance_scale, 100);
  check_dial("temperature", sampling.temperature, 10);
  check_dial("choice_temperature", sampling.choice_temperature, 100);
  const double start = sampling.guidance_start, stop = sampling.guidance_stop;
  if (!(0 <= start && start <= stop && stop <= 1)) {
    throw std::invalid_argument(
        sentence("guidance_interval must be two rising shares in [0, 1], got ", start, ", ", stop));
  }
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

DecodePlan make_plan(int n_unknown, const Sampling &sampling) {
  const auto steps = static_cast<size_t>(sampling.steps);
  DecodePlan plan;
  plan.keep = num_masked(n_unknown, std::min(sampling.steps, n_unknown));
  plan.keep.resize(steps, 0);
  plan.temperature.assign(steps, static_cast<float>(sampling.temperature));
  for (int step = 1; step <= sampling.steps; ++step) {
    const double falling = 1.0 - static_cast<double>(step) / sampling.steps;
    plan.choice_temperature.push_back(static_cast<float>(sampling.choice_temperature * falling));
  }
  plan.guidance_scale = guidance_scales(sampling);
  return plan;
}

std::vector<uint8_t> known_media(const std::vector<uint8_t> &mask, const TokenLayout &layout) {
  std::vector<uint8_t> condition(mask.size(), 0);
  const auto is_unknown = [](uint8_t flag) { return flag != 0; };
  if (std::none_of(mask.begin(), mask.end(), is_unknown)) return condition;
  const auto split = static_cast<std::ptrdiff_t>(layout.image.n_tokens());
  const auto add_if_known = [&](std::ptrdiff_t from, std::ptrdiff_t to) {
    if (std::none_of(mask.begin() + from, mask.begin() + to, is_unknown)) {
      std::fill(condition.begin() + from, condition.begin() + to, uint8_t{1});
    }
  };
  add_if_known(0, split);
  add_if_known(split, static_cast<std::ptrdiff_t>(mask.size()));
  return condition;
}

}  // namespace echoes
