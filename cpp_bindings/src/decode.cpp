#include "decode.h"

#include <algorithm>
#include <cmath>

#include "errors.h"

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

// MaskGIT (arXiv 2202.04200), section 3.3: cosine, 1 at 0 and 0 at 1.
double mask_ratio(double progress) { return std::cos(0.5 * 3.141592653589793 * progress); }

std::vector<float> guidance_scales(const Options &options) {
  std::vector<float> scales(static_cast<size_t>(options.steps), 1.0f);
  for (int step = 0; step < options.steps; ++step) {
    const double progress = static_cast<double>(step) / options.steps;
    if (progress < options.guidance_start || progress >= options.guidance_stop) continue;
    double excess = options.guidance_scale - 1;
    if (options.guidance_schedule == ECHOES_GUIDANCE_ANNEALED) excess *= mask_ratio(progress);
    scales[static_cast<size_t>(step)] = static_cast<float>(1 + excess);
  }
  return scales;
}

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

Plan make_plan(const std::vector<int32_t> &tokens, const Grid &grid, const Options &options) {
  std::vector<int32_t> unknown;
  for (const int32_t position : grid.order) {
    if (tokens[static_cast<size_t>(position)] == grid.mask_token()) unknown.push_back(position);
  }
  const auto n_unknown = static_cast<int>(unknown.size());
  const std::vector<int> left = num_masked(n_unknown, std::min(options.steps, n_unknown));
  Plan plan;
  plan.steps = options.steps;
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
  for (const auto &[name, value] : kDrawing) {
    plan.drawing[name].assign(n_steps, static_cast<float>(options.*value));
  }
  plan.guidance_scale = guidance_scales(options);
  return plan;
}

std::vector<std::vector<Input>> step_inputs(const Session &step_graph, const Plan &plan,
                                            const std::vector<float> &noise, bool has_context) {
  std::vector<std::vector<Input>> steps;
  for (size_t k = 0; k < static_cast<size_t>(plan.steps); ++k) {
    const size_t begin = k * static_cast<size_t>(plan.drawn);
    steps.push_back({{"positions", &plan.positions[begin], {1, plan.drawn}},
                     {"uniforms", &noise[begin], {1, plan.drawn}}});
    for (const Drawing &setting : kDrawing) {
      steps.back().push_back({setting.name, &plan.drawing.at(setting.name)[k], {1}});
    }
    if (!step_graph.takes("guidance_scale")) continue;
    // Without a context, the branch without it is the only one.
    const bool needs_alone = plan.guidance_scale[k] != 1 || !has_context;
    steps.back().push_back({"guidance_scale", &plan.guidance_scale[k], {needs_alone ? 1 : 0}});
  }
  return steps;
}

void report(const Options &options, int step, int steps) {
  if (options.on_step != nullptr && options.on_step(step, steps, options.user_data) == 0) {
    throw CancelledError("cancelled after step ", step + 1, " of ", steps);
  }
}

Codes decode_by_steps(const Session &step_graph, Codes tokens, const Output &context,
                      const Plan &plan, const std::vector<float> &uniforms, const Options &options) {
  const std::vector<float> noise = plan.noise_of(uniforms);
  int step = 0;
  for (std::vector<Input> &inputs : step_inputs(step_graph, plan, noise, context.size() > 0)) {
    inputs.insert(inputs.end(), {{"tokens", tokens}, {"context", context}});
    tokens = step_graph.run(inputs, "decoded").values<int32_t>();
    report(options, step++, plan.steps);
  }
  return tokens;
}

Codes decode_at_once(const Session &loop_graph, const Codes &tokens, const Output &context,
                     const Plan &plan, const std::vector<float> &uniforms) {
  const std::vector<float> noise = plan.noise_of(uniforms);
  std::vector<Input> inputs{
      {"tokens", tokens},
      {"context", context},
      {"positions", plan.positions, {plan.steps, 1, plan.drawn}},
      {"uniforms", noise, {plan.steps, 1, plan.drawn}},
  };
  const std::vector<int64_t> by_step{plan.steps};
  for (const Drawing &setting : kDrawing) {
    inputs.emplace_back(setting.name, plan.drawing.at(setting.name), by_step);
  }
  if (loop_graph.takes("guidance_scale")) {
    inputs.emplace_back("guidance_scale", plan.guidance_scale, by_step);
  }
  return loop_graph.run(inputs, "decoded").values<int32_t>();
}

}  // namespace echoes
