// What can be asked of a loaded bundle; every task is a question to Model::decode_tokens.
#pragma once

#include "call.h"

namespace echoes {

struct MadeSound {
  Samples samples;
  Codes codes;
};

struct MadePicture {
  std::vector<uint8_t> pixels;
  Codes codes;
};

struct MadeBoth {
  MadeSound sound;
  MadePicture picture;
};

MadeSound image_to_audio(const Call &call, const Picture &picture);
MadePicture audio_to_image(const Call &call, const Sound &sound);
MadeBoth cogenerate(const Call &call);

// `image` may be null: nothing is known of what is to be heard. Throws InputError if the part does
// not lie within the sound or is too long to be filled in at once.
MadeSound inpaint(const Call &call, const Sound &sound, double start_s, double stop_s,
                  const Codes *image);

// Puts the mask token in the place of every audio code that sounds between two seconds of a clip.
// Throws InputError if the part does not lie within a clip.
void mask_audio(const Manifest &manifest, double start_s, double stop_s, int32_t *codes);

// `sound` and `n_samples` more; the codes are those of the last window.
MadeSound extend(const Call &call, const Sound &sound, int64_t n_samples, const Codes *image);

// Each code stays with the probability `keep`, by the call's seed.
MadeSound vary_audio(const Call &call, const Sound &sound, double keep);
MadePicture vary_image(const Call &call, const Picture &picture, double keep);

}  // namespace echoes
