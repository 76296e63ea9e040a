// One call of a task: what was asked for besides the media.
#pragma once

#include <cstdint>

#include "engine.h"

namespace echoes {

struct Call {
  Engine &engine;
  Sampling sampling;
  uint64_t seed = 0;
  OnStep on_step;

  const Manifest &manifest() const { return engine.manifest(); }

  // A sequence of which the codes are known that are not null, but for mask tokens in them.
  Question question(const Codes *image, const Codes *audio) const;
  // The tokens with nothing unknown.
  Codes decode(const Question &question, uint64_t window = 0) const;

  Codes image_part(const Codes &tokens) const;
  Codes audio_part(const Codes &tokens) const;
};

}  // namespace echoes
