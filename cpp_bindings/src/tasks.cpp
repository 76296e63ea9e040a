#include "tasks.h"

#include "errors.h"
#include "noise.h"

namespace echoes {
namespace {

// The noise that chooses which codes stay; no stream ever gets that far.
constexpr uint64_t kVaryWindow = UINT64_MAX;

Codes thinned(const Call &call, Codes codes, double keep) {
  if (!(keep >= 0 && keep <= 1)) throw InputError(sentence("keep must be in [0, 1], got ", keep));
  const std::vector<float> chances = uniforms(call.seed, kVaryWindow, codes.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    if (chances[i] >= static_cast<float>(keep)) codes[i] = call.manifest().tokens.mask_token_id();
  }
  return codes;
}

MadeSound sound_of(const Call &call, Codes tokens) {
  return {call.engine.decode_audio(call.audio_part(tokens)), std::move(tokens)};
}

MadePicture picture_of(const Call &call, Codes tokens) {
  return {call.engine.decode_image(call.image_part(tokens)), std::move(tokens)};
}

}  // namespace

MadeSound image_to_audio(const Call &call, const Picture &picture) {
  const Codes image = call.engine.encode_image(picture);
  return sound_of(call, call.decode(call.question(&image, nullptr)));
}

MadePicture audio_to_image(const Call &call, const Sound &sound) {
  const Codes audio = call.engine.encode_audio(sound);
  return picture_of(call, call.decode(call.question(nullptr, &audio)));
}

MadeBoth cogenerate(const Call &call) {
  Codes tokens = call.decode(call.question(nullptr, nullptr));
  // In one pass they agree less: each is drawn anew in turns, guided by the other.
  constexpr int kRedraws = 2;
  for (int window = 1; window < 1 + 2 * kRedraws; window += 2) {
    const Codes audio = call.audio_part(tokens);
    tokens = call.decode(call.question(nullptr, &audio), window);
    const Codes image = call.image_part(tokens);
    tokens = call.decode(call.question(&image, nullptr), window + 1);
  }
  return {call.engine.decode_audio(call.audio_part(tokens)),
          call.engine.decode_image(call.image_part(tokens)), std::move(tokens)};
}

MadeSound vary_audio(const Call &call, const Sound &sound, double keep) {
  const Codes audio = thinned(call, call.engine.encode_audio(sound), keep);
  return sound_of(call, call.decode(call.question(nullptr, &audio)));
}

MadePicture vary_image(const Call &call, const Picture &picture, double keep) {
  const Codes image = thinned(call, call.engine.encode_image(picture), keep);
  return picture_of(call, call.decode(call.question(&image, nullptr)));
}

}  // namespace echoes
