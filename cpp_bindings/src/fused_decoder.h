// The decoding loop in one call: all steps run inside graph `decode`.
#pragma once

#include <cstdint>
#include <vector>

#include "mask_decoder.h"
#include "plan.h"
#include "session.h"

namespace echoes {

// Gives token for token what `decode` of mask_decoder.h gives; `uniforms` are (steps, 2, N).
std::vector<int32_t> decode_fused(Session &graph, const DecodeQuestion &question,
                                  const DecodePlan &plan, const std::vector<float> &uniforms);

}  // namespace echoes
