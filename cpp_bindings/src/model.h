// One loaded bundle: its graphs, and the one question that every task asks them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bound_step.h"
#include "bundle.h"
#include "device.h"
#include "session.h"

namespace echoes {

using Samples = std::vector<float>;

// (n_mels, frames) in [-1, 1], row by row.
using Mel = std::vector<float>;

// Mono at the model's rate; not owned.
struct Sound {
  const float *samples = nullptr;
  size_t size = 0;
};

// One serves many threads at once. Graphs are loaded when they are first run.
class Model {
 public:
  Model(Bundle bundle, Device device)
      : bundle_(std::move(bundle)), device_(std::move(device)) {}

  const Manifest &manifest() const { return bundle_.manifest; }
  const Device &device() const { return device_; }

  Codes encode_image(const Picture &picture);
  // In [0, 1], of a picture's codes; NaN if the bundle has no graph that tells.
  float confidence(const Codes &image);
  // Of the sound's first clip, which silence makes full.
  Mel clip_mel(const Sound &sound);
  Codes encode_mel(const Mel &mel);
  // Of the sound's first clip.
  Codes encode_audio(const Sound &sound);
  // Fills in the target's mask tokens and keeps the rest. `context`, the codes of the other medium,
  // may be null. `window` is 0, but in long sounds and where several decodings follow one another:
  // each has its own noise.
  Codes decode_tokens(Medium target, const Codes &tokens, const Codes *context,
                      const Options &options, uint64_t window);
  std::vector<uint8_t> decode_image(const Codes &codes);
  Mel decode_mel(const Codes &codes, uint64_t seed, uint64_t window = 0);
  Samples vocode(const Mel &mel);
  // In [-1, 1].
  Samples decode_audio(const Codes &codes, uint64_t seed);
  // Why a GPU gets steps one by one that it should get as CUDA graphs, as long as the model lives;
  // empty: all is well.
  const char *unrecorded() const;

 private:
  const Session &session(const std::string &graph);
  // A graph of all that are loaded, which it becomes if it is not.
  template <typename T>
  T &opened(std::map<std::string, std::unique_ptr<T>> &all, const std::string &graph);
  std::filesystem::path variant(const std::string &graph) const;
  Codes checked_codes(Codes codes, const Grid &grid, const std::string &graph) const;
  // What a graph gives, of which there must be so many. Throws BundleError.
  std::vector<float> floats(const char *graph, const std::vector<Input> &inputs,
                            const char *output, int64_t size);

  Bundle bundle_;
  Device device_;
  mutable std::mutex mutex_;  // guards both maps
  std::map<std::string, std::unique_ptr<const Session>> sessions_;
  std::map<std::string, std::unique_ptr<BoundStep>> bound_;  // on a GPU
};

}  // namespace echoes
