// One loaded bundle: its graphs, and the one question that every task asks them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bundle.h"
#include "device.h"
#include "image.h"
#include "mask_decoder.h"
#include "session.h"

namespace echoes {

using Codes = std::vector<int32_t>;
using Samples = std::vector<float>;

// (n_mels, frames) in [-1, 1].
struct Mel {
  std::vector<float> values;
  int frames = 0;
};

// Mono at the model's rate; not owned.
struct Sound {
  const float *samples = nullptr;
  size_t size = 0;
};

// One sequence of tokens, and which of them are unknown (not 0).
struct Question {
  Codes tokens;
  std::vector<uint8_t> mask;

  int n_unknown() const;
};

// One serves many threads at once. Graphs are loaded when they are first run.
class Engine {
 public:
  Engine(Bundle bundle, Device device)
      : bundle_(std::move(bundle)), device_(std::move(device)) {}

  const Manifest &manifest() const { return bundle_.manifest; }
  const Device &device() const { return device_; }

  Codes encode_image(const Picture &picture);
  Codes encode_mel(const Mel &mel);
  // Of the sound's first clip.
  Codes encode_audio(const Sound &sound);
  // Fills in what is unknown and keeps the rest. `window` tells parts of a long sound apart; each
  // has its own noise.
  Codes decode_tokens(const Question &question, const Sampling &sampling, uint64_t seed,
                      uint64_t window, const OnStep &on_step);
  std::vector<uint8_t> decode_image(const Codes &codes);
  Mel decode_mel(const Codes &codes);
  Samples vocode(const Mel &mel);
  // In [-1, 1].
  Samples decode_audio(const Codes &codes);

 private:
  Session &session(const std::string &graph);
  // The graph that runs the whole loop, or null: only the host's loop can call back, and ONNX
  // Runtime's control flow costs more on a GPU than it saves.
  Session *loop_session(const OnStep &on_step);
  LogitsFn step_logits();
  Codes checked_codes(const Output &output, const Grid &grid, const char *graph) const;
  Codes checked_tokens(Codes tokens, const TokenLayout &layout) const;
  void check_output(const Output &output, size_t size, const char *graph) const;

  Bundle bundle_;
  Device device_;
  std::mutex mutex_;  // guards sessions_
  std::map<std::string, std::unique_ptr<Session>> sessions_;
};

}  // namespace echoes
