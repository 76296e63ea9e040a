// Prints the codes that each task makes, for other programs to compare: with the whole loop in one
// graph, and with a callback after each step. Usage: print_codes BUNDLE SEEDS
// [DEVICE]
#include <cstdlib>
#include <echoes_rt/echoes_rt.hpp>

#include "check.h"

namespace {

using echoes_rt::Codes;
using echoes_rt::Model;
using echoes_rt::Options;
using echoes_rt::Picture;
using echoes_rt::Samples;

// What goes in is made of whole numbers, so that every language can make the same.
Picture picture() {
  Picture made{{}, 40, 30};
  for (int i = 0; i < 3 * made.width * made.height; ++i) {
    made.pixels.push_back(static_cast<uint8_t>((i * 37 + i / 7) % 256));
  }
  return made;
}

Samples sound(int64_t num_samples) {
  Samples made;
  for (int64_t i = 0; i < num_samples; ++i) {
    made.push_back(static_cast<float>(i * i % 1009 - 504) / 1024.0f);
  }
  return made;
}

template <typename Task>
void print(const char *task, uint64_t seed, Model &model, bool is_stepwise, Task &&run) {
  Options options = model.options();
  options.seed = seed;
  const echoes_model_info info = model.info();
  constexpr int32_t kUntouched = -1;
  Codes image(static_cast<size_t>(info.image_columns * info.image_rows), kUntouched);
  Codes audio(static_cast<size_t>(info.audio_columns * info.audio_rows), kUntouched);
  options.image_codes = image.data();
  options.audio_codes = audio.data();
  if (is_stepwise) options.each_step = [](int32_t, int32_t) { return true; };
  run(options);
  std::printf("%s %s %llu", task, is_stepwise ? "stepwise" : "fused",
              static_cast<unsigned long long>(seed));
  for (const Codes &made : {image, audio}) {
    for (const int32_t code : made) {
      if (code != kUntouched) std::printf(" %d", code);
    }
  }
  std::printf("\n");
}

void print_all(Model &model, uint64_t seed, bool is_stepwise) {
  const auto each = [&](const char *task, auto &&run) {
    print(task, seed, model, is_stepwise, run);
  };
  const echoes_model_info info = model.info();
  const double clip_s = static_cast<double>(info.num_samples) / info.sample_rate;
  const Picture seen = picture();
  const Samples clip = sound(info.num_samples);
  each("image_to_audio", [&](const Options &o) { model.image_to_audio(seen, o); });
  each("audio_to_image", [&](const Options &o) { model.audio_to_image(clip, o); });
  each("cogenerate", [&](const Options &o) { model.cogenerate(o); });
  each("inpaint", [&](const Options &o) { model.inpaint(clip, clip_s / 4, clip_s / 2, seen, o); });
  each("continue", [&](const Options &o) { model.extend(clip, clip_s, seen, o); });
  each("vary_audio", [&](const Options &o) { model.vary(clip, 0.5, o); });
  each("vary_image", [&](const Options &o) { model.vary(seen, 0.5, o); });
  each("stream", [&](const Options &o) {
    model.stream(seen, 2.5 * clip_s, o, [](const float *, size_t) { return true; });
  });
}

}  // namespace

int main(int argc, char **argv) {
  CHECK(argc == 3 || argc == 4);
  try {
    echoes_model_options options{};
    options.struct_size = sizeof options;
    options.device = argc == 4 ? argv[3] : "cpu";
    options.threads = 1;
    Model model(argv[1], options);
    for (uint64_t seed = 0; seed < std::strtoull(argv[2], nullptr, 10); ++seed) {
      print_all(model, seed, false);
      print_all(model, seed, true);
    }
  } catch (const echoes_rt::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
