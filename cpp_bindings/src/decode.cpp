#include "decode.h"

#include "errors.h"

namespace echoes {

std::vector<std::vector<Input>> step_inputs(const Session &step_graph, const Plan &plan,
                                            const std::vector<float> &noise, bool has_context) {
  std::vector<std::vector<Input>> steps;
  for (size_t k = 0; k < static_cast<size_t>(plan.steps); ++k) {
    const size_t begin = k * static_cast<size_t>(plan.drawn);
    steps.push_back({{"positions", &plan.positions[begin], {1, plan.drawn}},
                     {"uniforms", &noise[begin], {1, plan.drawn}},
                     {"temperature", &plan.temperature[k], {1}}});
    if (!step_graph.takes("guidance_scale")) continue;
    // Without a context, the branch without it is the only one.
    const bool needs_alone = plan.guidance_scale[k] != 1 || !has_context;
    steps.back().push_back({"guidance_scale", &plan.guidance_scale[k], {needs_alone ? 1 : 0}});
  }
  return steps;
}

void report(const OnStep &on_step, int step, int steps) {
  if (on_step && !on_step(step, steps)) {
    throw CancelledError(sentence("cancelled after step ", step + 1, " of ", steps));
  }
}

Codes decode_by_steps(const Session &step_graph, Codes tokens, const Output &context,
                      const Plan &plan, const std::vector<float> &uniforms, const OnStep &on_step) {
  const std::vector<float> noise = plan.noise_of(uniforms);
  const auto n_tokens = static_cast<int64_t>(tokens.size());
  int step = 0;
  for (std::vector<Input> &inputs : step_inputs(step_graph, plan, noise, context.size() > 0)) {
    inputs.insert(inputs.end(), {{"tokens", tokens, {1, n_tokens}}, {"context", context}});
    tokens = step_graph.run(inputs).values<int32_t>();
    report(on_step, step++, plan.steps);
  }
  return tokens;
}

Codes decode_at_once(const Session &loop_graph, const Codes &tokens, const Output &context,
                     const Plan &plan, const std::vector<float> &uniforms) {
  const std::vector<float> noise = plan.noise_of(uniforms);
  std::vector<Input> inputs{
      {"tokens", tokens, {1, static_cast<int64_t>(tokens.size())}},
      {"context", context},
      {"positions", plan.positions, {plan.steps, 1, plan.drawn}},
      {"uniforms", noise, {plan.steps, 1, plan.drawn}},
      {"temperature", plan.temperature, {plan.steps}},
  };
  if (loop_graph.takes("guidance_scale")) {
    inputs.emplace_back("guidance_scale", plan.guidance_scale, std::vector<int64_t>{plan.steps});
  }
  return loop_graph.run(inputs).values<int32_t>();
}

}  // namespace echoes
