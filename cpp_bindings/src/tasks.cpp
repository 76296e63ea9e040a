#include "tasks.h"

#include "errors.h"

namespace echoes {
namespace {

// Chooses which codes stay; no window gets that far.
constexpr uint64_t kVaryStream = UINT64_MAX;

// Times that the picture and then the sound are drawn anew.
constexpr int kRedraws = 2;

Codes thinned(const Call &call, Medium medium, Codes codes, double keep) {
  if (!(keep >= 0 && keep <= 1)) throw InputError(sentence("keep must be in [0, 1], got ", keep));
  const std::vector<float> chances = uniforms(call.seed, kVaryStream, codes.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    if (chances[i] >= static_cast<float>(keep)) {
      codes[i] = call.manifest().grids.of(medium).mask_token();
    }
  }
  return codes;
}

MadeSound sound_of(const Call &call, Codes codes) {
  return {call.model.decode_audio(codes, {call.seed}), std::move(codes)};
}

MadePicture picture_of(const Call &call, Codes codes) {
  return {call.model.decode_image(codes), std::move(codes)};
}

}  // namespace

MadeSound image_to_audio(const Call &call, const Picture &picture) {
  const Codes image = call.model.encode_image(picture);
  return sound_of(call, call.decode(Medium::kAudio, call.unknown(Medium::kAudio), &image));
}

MadePicture audio_to_image(const Call &call, const Sound &sound) {
  const Codes audio = call.model.encode_audio(sound);
  return picture_of(call, call.decode(Medium::kImage, call.unknown(Medium::kImage), &audio));
}

MadeBoth cogenerate(const Call &call) {
  Codes audio, image;
  uint64_t window = 0;
  for (int round = 0; round <= kRedraws; ++round) {
    audio = call.decode(Medium::kAudio, call.unknown(Medium::kAudio),
                        round == 0 ? nullptr : &image, window++);
    image = call.decode(Medium::kImage, call.unknown(Medium::kImage), &audio, window++);
  }
  return {sound_of(call, std::move(audio)), picture_of(call, std::move(image))};
}

MadeSound vary_audio(const Call &call, const Sound &sound, double keep) {
  const Codes kept = thinned(call, Medium::kAudio, call.model.encode_audio(sound), keep);
  return sound_of(call, call.decode(Medium::kAudio, kept, nullptr));
}

MadePicture vary_image(const Call &call, const Picture &picture, double keep) {
  const Codes kept = thinned(call, Medium::kImage, call.model.encode_image(picture), keep);
  return picture_of(call, call.decode(Medium::kImage, kept, nullptr));
}

}  // namespace echoes
