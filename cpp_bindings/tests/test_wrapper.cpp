// The C++ wrapper: values, exceptions, and exceptions of callbacks. Usage: test_wrapper BUNDLE
#include <algorithm>
#include <cmath>
#include <echoes_rt/echoes_rt.hpp>

#include "check.h"

namespace {

using echoes_rt::Model;

struct Unusual {};

// The sentence of an error must have the words.
template <typename Body>
echoes_status status_of(Body &&body, const std::string &words = "") {
  try {
    body();
    return ECHOES_OK;
  } catch (const echoes_rt::Error &error) {
    const std::string sentence = error.what();
    CHECK(!sentence.empty() && sentence.find(words) != std::string::npos);
    return error.status();
  }
}

void test_every_task(Model &model) {
  const echoes_model_info info = model.info();
  echoes_rt::Options options = model.options();
  options.seed = 3;
  const echoes_rt::Picture picture{std::vector<uint8_t>(3 * 20 * 30, 100), 20, 30};
  const echoes_rt::Samples sound = model.image_to_audio(picture, options);
  CHECK(sound.size() == static_cast<size_t>(info.num_samples));
  CHECK(sound == model.image_to_audio(picture, options));
  const echoes_rt::Picture seen = model.audio_to_image(sound, options);
  CHECK(seen.width == info.image_width &&
        seen.pixels.size() == size_t(3) * seen.width * seen.height);
  const auto both = model.cogenerate(options);
  CHECK(both.first.pixels.size() == seen.pixels.size() && both.second.size() == sound.size());
  const double clip_s = static_cast<double>(info.num_samples) / info.sample_rate;
  const auto filled = model.inpaint(sound, clip_s * 0.4, clip_s * 0.5, {}, options);
  CHECK(filled.size() == sound.size() && filled[0] == sound[0] && filled.back() == sound.back());
  CHECK(filled != sound);
  const auto extended = model.extend(sound, clip_s, picture, options);
  CHECK(extended.size() == 2 * sound.size());
  CHECK(model.vary(sound, 0.5, options).size() == sound.size());
  CHECK(model.vary(picture, 0.5, options).pixels.size() == seen.pixels.size());
  size_t streamed = 0;
  model.stream(picture, 2.5 * clip_s, options, [&](const float *, size_t size) {
    streamed += size;
    return true;
  });
  CHECK(streamed == sound.size() * 5 / 2);
}

void test_steps_behind(Model &model) {
  const echoes_model_info info = model.info();
  const echoes_rt::Picture picture{std::vector<uint8_t>(3 * 64, 9), 8, 8};
  const echoes_rt::Codes image = model.encode(picture);
  CHECK(std::isnan(model.confidence(picture)));  // the tiny bundle cannot tell
  const echoes_rt::Codes audio = model.encode(echoes_rt::Samples(100, 0.25f));
  CHECK(image.size() == static_cast<size_t>(info.image_rows * info.image_columns));
  CHECK(audio.size() == static_cast<size_t>(info.audio_rows * info.audio_columns));
  CHECK(model.decode_tokens(ECHOES_AUDIO, audio, image, model.options()) == audio);
  const double clip_s = static_cast<double>(info.num_samples) / info.sample_rate;
  echoes_rt::Codes tokens = audio;
  CHECK(echoes_mask_audio(model.get(), 0, clip_s / 2, tokens.data(), tokens.size()) == ECHOES_OK);
  const auto is_masked = [&](int32_t token) { return token == info.audio_codebook_size; };
  CHECK(std::count_if(tokens.begin(), tokens.end(), is_masked) * 2 ==
        static_cast<std::ptrdiff_t>(tokens.size()));
  for (const echoes_rt::Codes &context : {image, echoes_rt::Codes()}) {
    const auto decoded = model.decode_tokens(ECHOES_AUDIO, tokens, context, model.options());
    CHECK(std::none_of(decoded.begin(), decoded.end(), is_masked));
    for (size_t i = 0; i < tokens.size(); ++i) {
      CHECK(is_masked(tokens[i]) || decoded[i] == tokens[i]);
    }
  }
  CHECK(model.decode_audio(audio, 0).size() == static_cast<size_t>(info.num_samples));
}

void test_pictures_of_other_sizes(Model &model) {
  const echoes_rt::Samples sound(100, 0.25f);
  const auto options = model.options();
  const auto is_refused = [](auto &&body) {
    return status_of(body, "pixels must have 3 bytes for each, got ") == ECHOES_ERROR_INPUT;
  };
  const std::vector<uint8_t> bytes(3 * 8 * 8, 9);
  for (const echoes_rt::Picture &wrong :
       {echoes_rt::Picture{{bytes.begin(), bytes.end() - 1}, 8, 8}, echoes_rt::Picture{bytes, 8, 7},
        echoes_rt::Picture{bytes, -8, -8}, echoes_rt::Picture{bytes, INT32_MAX, INT32_MAX},
        echoes_rt::Picture{{}, 8, 8}}) {
    CHECK(is_refused([&] { model.image_to_audio(wrong, options); }));
    CHECK(is_refused([&] { model.inpaint(sound, 0, 0.001, wrong, options); }));
    CHECK(is_refused([&] { model.extend(sound, 0.001, wrong, options); }));
    CHECK(is_refused([&] { model.vary(wrong, 0.5, options); }));
    CHECK(is_refused(
        [&] { model.stream(wrong, 0.001, options, [](const float *, size_t) { return true; }); }));
    CHECK(is_refused([&] { model.encode(wrong); }));
  }
}

void test_exceptions(Model &model) {
  const echoes_rt::Picture picture{std::vector<uint8_t>(3 * 64, 9), 8, 8};
  CHECK(status_of([] { Model("nowhere"); }) == ECHOES_ERROR_BUNDLE);
  CHECK(status_of([&] { model.image_to_audio({}, model.options()); }) == ECHOES_ERROR_INPUT);
  echoes_rt::Options options = model.options();
  options.each_step = [](int32_t step, int32_t) { return step < 2; };
  CHECK(status_of([&] { model.image_to_audio(picture, options); }) == ECHOES_ERROR_CANCELLED);
  options.each_step = [](int32_t, int32_t) -> bool { throw Unusual(); };
  bool is_caught = false;
  try {
    model.image_to_audio(picture, options);
  } catch (const Unusual &) {
    is_caught = true;
  }
  CHECK(is_caught);
}

}  // namespace

int main(int argc, char **argv) {
  CHECK(argc == 2);
  try {
    Model model(argv[1]);
    test_every_task(model);
    test_steps_behind(model);
    test_pictures_of_other_sizes(model);
    test_exceptions(model);
  } catch (const echoes_rt::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.status() == ECHOES_ERROR_BACKEND ? 77 : 1;
  }
  return 0;
}
