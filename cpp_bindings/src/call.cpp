#include "call.h"

#include <algorithm>

namespace echoes {

Question Call::question(const Codes *image, const Codes *audio) const {
  const TokenLayout &layout = manifest().tokens;
  Question question;
  question.tokens.assign(static_cast<size_t>(layout.n_tokens()), layout.mask_token_id());
  if (image != nullptr) std::copy(image->begin(), image->end(), question.tokens.begin());
  if (audio != nullptr) {
    std::copy(audio->begin(), audio->end(), question.tokens.begin() + layout.image.n_tokens());
  }
  for (const int32_t token : question.tokens) {
    question.mask.push_back(token == layout.mask_token_id());
  }
  return question;
}

Codes Call::decode(const Question &question, uint64_t window) const {
  return engine.decode_tokens(question, sampling, seed, window, on_step);
}

Codes Call::image_part(const Codes &tokens) const {
  return Codes(tokens.begin(), tokens.begin() + manifest().tokens.image.n_tokens());
}

Codes Call::audio_part(const Codes &tokens) const {
  return Codes(tokens.begin() + manifest().tokens.image.n_tokens(), tokens.end());
}

}  // namespace echoes
