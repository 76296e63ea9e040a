#include "decode.h"

#include "errors.h"

namespace echoes {

Codes decode_by_steps(const Session &step_graph, Codes tokens, const Output &context,
                      const Plan &plan, const std::vector<float> &uniforms, const OnStep &on_step) {
  const std::vector<float> noise = plan.noise_of(uniforms);
  const auto n_tokens = static_cast<int64_t>(tokens.size());
  const bool has_context = context.size() > 0;
  for (int step = 0; step < plan.steps; ++step) {
    const auto k = static_cast<size_t>(step);
    const auto begin = static_cast<std::ptrdiff_t>(step) * plan.drawn, end = begin + plan.drawn;
    const std::vector<int32_t> positions(plan.positions.begin() + begin,
                                         plan.positions.begin() + end);
    const std::vector<float> drawn(noise.begin() + begin, noise.begin() + end);
    const std::vector<float> temperature{plan.temperature[k]};
    // Without a context, the branch without it is the only one.
    const bool needs_alone = plan.guidance_scale[k] != 1 || !has_context;
    const std::vector<float> scale(needs_alone ? 1 : 0, plan.guidance_scale[k]);
    std::vector<Input> inputs{
        {"tokens", tokens, {1, n_tokens}},
        {"context", context},
        {"positions", positions, {1, plan.drawn}},
        {"uniforms", drawn, {1, plan.drawn}},
        {"temperature", temperature, {1}},
    };
    if (step_graph.takes("guidance_scale")) {
      inputs.emplace_back("guidance_scale", scale,
                          std::vector<int64_t>{static_cast<int64_t>(scale.size())});
    }
    tokens = step_graph.run(inputs).values<int32_t>();
    if (on_step && !on_step(step, plan.steps)) {
      throw CancelledError(sentence("cancelled after step ", step + 1, " of ", plan.steps));
    }
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
