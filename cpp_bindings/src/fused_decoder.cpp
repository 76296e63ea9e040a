#include "fused_decoder.h"

namespace echoes {
namespace {

// A caller's flags may be any number but 0, a graph's are 1.
std::vector<uint8_t> as_flags(const std::vector<uint8_t> &marks) {
  std::vector<uint8_t> flags;
  flags.reserve(marks.size());
  for (const uint8_t mark : marks) flags.push_back(mark != 0);
  return flags;
}

}  // namespace

std::vector<int32_t> decode_fused(Session &graph, const DecodeQuestion &question,
                                  const DecodePlan &plan, const std::vector<float> &uniforms) {
  const int64_t steps = plan.steps();
  const auto n_tokens = static_cast<int64_t>(question.tokens.size());
  const std::vector<uint8_t> mask = as_flags(question.mask);
  const std::vector<uint8_t> condition = as_flags(question.condition);
  const Output decoded = graph.run(
      {
          {"tokens", question.tokens, {1, n_tokens}},
          {"mask", mask, {1, n_tokens}},
          {"condition", condition, {1, n_tokens}},
          {"keep", plan.keep, {steps, 1}},
          {"temperature", plan.temperature, {steps}},
          {"choice_temperature", plan.choice_temperature, {steps}},
          {"guidance_scale", plan.guidance_scale, {steps}},
          {"uniforms", uniforms, {steps, 2, 1, n_tokens}},
      },
      "decoded");
  return {decoded.data<int32_t>(), decoded.data<int32_t>() + decoded.size()};
}

}  // namespace echoes
