// One call of a task: what was asked for besides the media.
#pragma once

#include <cstdint>

#include "model.h"

namespace echoes {

struct Call {
  Model &model;
  Sampling sampling;
  uint64_t seed = 0;
  OnStep on_step;

  const Manifest &manifest() const { return model.manifest(); }

  // Tokens of a target of which nothing is known.
  Codes unknown(Medium target) const {
    const Grid &grid = manifest().grids.of(target);
    return Codes(static_cast<size_t>(grid.n_tokens()), grid.mask_token());
  }

  // Model::decode_tokens with this call's seed and sampling.
  Codes decode(Medium target, const Codes &tokens, const Codes *context,
               uint64_t window = 0) const {
    return model.decode_tokens(target, tokens, context, sampling, {seed, window}, on_step);
  }
};

}  // namespace echoes
