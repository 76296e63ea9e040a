// echoes_rt.h for C++17: values instead of buffers, exceptions instead of statuses, destruction
// without asking. Header-only; what is said of ownership and threads in echoes_rt.h holds here.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "echoes_rt/echoes_rt.h"

namespace echoes_rt {

class Error : public std::runtime_error {
 public:
  Error(echoes_status status, const char *sentence)
      : std::runtime_error(sentence), status_(status) {}
  echoes_status status() const { return status_; }

 private:
  echoes_status status_;
};

// RGB, 8 bits, height x width x 3; other sizes are an error.
struct Picture {
  std::vector<uint8_t> pixels;
  int32_t width = 0;
  int32_t height = 0;
};

// Mono at the model's sample rate.
using Samples = std::vector<float>;
using Codes = std::vector<int32_t>;

// The bundle's defaults until they are changed; Model::options makes them.
struct Options : echoes_generate_options {
  // Called after each step with its 0-based index; false cancels. May throw. Takes the place of
  // on_step and user_data.
  std::function<bool(int32_t step, int32_t steps)> each_step;
};

namespace detail {

inline void check(echoes_status status) {
  if (status != ECHOES_OK) throw Error(status, echoes_last_error());
}

// Options as C takes them; keeps an exception of a callback until the call is over.
class Call {
 public:
  explicit Call(const Options &options) : options_(options), each_step_(options.each_step) {
    if (!each_step_) return;
    options_.on_step = [](int32_t step, int32_t steps, void *self) {
      return static_cast<Call *>(self)->kept(
          [&](Call &call) { return call.each_step_(step, steps); });
    };
    options_.user_data = this;
  }
  Call(const Call &) = delete;
  Call &operator=(const Call &) = delete;

  const echoes_generate_options *options() const { return &options_; }

  void check(echoes_status status) const {
    if (thrown_) std::rethrow_exception(thrown_);
    detail::check(status);
  }

  template <typename Body>
  int32_t kept(Body &&body) noexcept {
    try {
      return body(*this) ? 1 : 0;
    } catch (...) {
      thrown_ = std::current_exception();
      return 0;
    }
  }

 private:
  echoes_generate_options options_;
  std::function<bool(int32_t, int32_t)> each_step_;
  std::exception_ptr thrown_;
};

// Asks a function for the size, then for the content: the last that it takes are a buffer and its
// size.
template <typename T, typename Function, typename... Arguments>
std::vector<T> filled(const Call &call, Function function, Arguments... arguments) {
  size_t size = 0;
  call.check(function(arguments..., nullptr, &size));
  std::vector<T> buffer(size);
  call.check(function(arguments..., buffer.data(), &size));
  buffer.resize(size);
  return buffer;
}

}  // namespace detail

class Model {
 public:
  explicit Model(const std::string &bundle_path) : Model(bundle_path, nullptr) {}
  Model(const std::string &bundle_path, const echoes_model_options &options)
      : Model(bundle_path, &options) {}

  echoes_model_info info() const {
    echoes_model_info info{};
    info.struct_size = sizeof info;
    detail::check(echoes_model_get_info(model_.get(), &info));
    return info;
  }

  Options options() const {
    Options options{};
    options.struct_size = sizeof(echoes_generate_options);
    detail::check(echoes_generate_options_init(model_.get(), &options));
    return options;
  }

  Samples image_to_audio(const Picture &picture, const Options &options) {
    return made<float>(options, echoes_image_to_audio, pixels_of(picture), picture.width,
                       picture.height);
  }

  Picture audio_to_image(const Samples &sound, const Options &options) {
    return picture_of(
        made<uint8_t>(options, echoes_audio_to_image, sound.data(), sound.size()));
  }

  std::pair<Picture, Samples> cogenerate(const Options &options) {
    detail::Call call(options);
    size_t num_bytes = 0, num_samples = 0;
    call.check(
        echoes_cogenerate(get(), call.options(), nullptr, &num_bytes, nullptr, &num_samples));
    std::vector<uint8_t> pixels(num_bytes);
    Samples samples(num_samples);
    call.check(echoes_cogenerate(get(), call.options(), pixels.data(), &num_bytes, samples.data(),
                                 &num_samples));
    return {picture_of(std::move(pixels)), std::move(samples)};
  }

  // An empty picture says nothing of what is to be heard; also below.
  Samples inpaint(const Samples &sound, double start_s, double stop_s, const Picture &picture,
                  const Options &options) {
    return made<float>(options, echoes_inpaint, sound.data(), sound.size(), start_s, stop_s,
                       pixels_of(picture), picture.width, picture.height);
  }

  // The sound and what follows from it.
  Samples extend(const Samples &sound, double duration_s, const Picture &picture,
                 const Options &options) {
    return made<float>(options, echoes_continue, sound.data(), sound.size(), duration_s,
                       pixels_of(picture), picture.width, picture.height);
  }

  Samples vary(const Samples &sound, double keep, const Options &options) {
    return made<float>(options, echoes_vary_audio, sound.data(), sound.size(), keep);
  }

  Picture vary(const Picture &picture, double keep, const Options &options) {
    return picture_of(made<uint8_t>(options, echoes_vary_image, pixels_of(picture), picture.width,
                                    picture.height, keep));
  }

  // on_samples gets the next samples; false cancels. It may throw.
  void stream(const Picture &picture, double duration_s, const Options &options,
              const std::function<bool(const float *samples, size_t size)> &on_samples) {
    detail::Call call(options);
    const auto next = [&](const float *samples, size_t size) {
      return call.kept([&](detail::Call &) { return on_samples(samples, size); });
    };
    call.check(echoes_stream(
        get(), pixels_of(picture), picture.width, picture.height, duration_s, call.options(),
        [](const float *samples, size_t size, void *self) {
          return (*static_cast<decltype(&next)>(self))(samples, size);
        },
        const_cast<void *>(static_cast<const void *>(&next))));
  }

  Codes encode(const Picture &picture) {
    return known<int32_t>(echoes_encode_image, pixels_of(picture), picture.width, picture.height);
  }

  // As echoes_confidence.
  float confidence(const Picture &picture) {
    float confidence = 0;
    detail::check(echoes_confidence(get(), pixels_of(picture), picture.width, picture.height,
                                    &confidence));
    return confidence;
  }

  Codes encode(const Samples &sound) {
    return known<int32_t>(echoes_encode_audio, sound.data(), sound.size());
  }

  // Fills in the mask tokens among the target's codes and keeps the rest. An empty context says
  // nothing of the other medium.
  Codes decode_tokens(echoes_medium target, Codes tokens, const Codes &context,
                      const Options &options) {
    detail::Call call(options);
    call.check(echoes_decode_tokens(get(), target, tokens.data(), tokens.size(),
                                    context.empty() ? nullptr : context.data(), context.size(),
                                    call.options()));
    return tokens;
  }

  Picture decode_image(const Codes &codes) {
    return picture_of(known<uint8_t>(echoes_decode_image, codes.data(), codes.size()));
  }

  Samples decode_audio(const Codes &codes, uint64_t seed) {
    return known<float>(echoes_decode_audio, codes.data(), codes.size(), seed);
  }

  // For what this class does not cover.
  echoes_model *get() const { return model_.get(); }

 private:
  Model(const std::string &bundle_path, const echoes_model_options *options) {
    echoes_model *model = nullptr;
    detail::check(echoes_model_create(bundle_path.c_str(), options, &model));
    model_.reset(model);
  }

  // What a task gives.
  template <typename T, typename Function, typename... Arguments>
  std::vector<T> made(const Options &options, Function function, Arguments... arguments) {
    detail::Call call(options);
    return detail::filled<T>(call, function, get(), arguments..., call.options());
  }

  // What a step behind the tasks gives.
  template <typename T, typename Function, typename... Arguments>
  std::vector<T> known(Function function, Arguments... arguments) {
    return detail::filled<T>(detail::Call(Options{}), function, get(), arguments...);
  }

  // NULL of an empty picture: C sees an address, not how much lies behind it.
  static const uint8_t *pixels_of(const Picture &picture) {
    const int64_t area = int64_t{picture.width} * picture.height;
    const bool is_whole = picture.width >= 0 && picture.height >= 0 &&
                          picture.pixels.size() % 3 == 0 &&
                          picture.pixels.size() / 3 == static_cast<uint64_t>(area);
    if (!is_whole) {
      const std::string sentence =
          "a picture of " + std::to_string(picture.width) + " x " + std::to_string(picture.height) +
          " pixels must have 3 bytes for each, got " + std::to_string(picture.pixels.size());
      throw Error(ECHOES_ERROR_INPUT, sentence.c_str());
    }
    return picture.pixels.empty() ? nullptr : picture.pixels.data();
  }

  Picture picture_of(std::vector<uint8_t> pixels) const {
    const echoes_model_info about = info();
    return {std::move(pixels), about.image_width, about.image_height};
  }

  struct Destroy {
    void operator()(echoes_model *model) const { echoes_model_destroy(model); }
  };
  std::unique_ptr<echoes_model, Destroy> model_;
};

}  // namespace echoes_rt
