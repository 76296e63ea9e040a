// The decoding loop on a GPU.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "decode.h"
#include "errors.h"

namespace echoes {

// Graph `decode_*_step` on a CUDA device. Tokens stay there from one step to the next: two buffers
// take turns. The plan of all steps is put there once, and since no address changes for decodings
// of one size, CUDA replays each of their steps as one recorded graph. Decodings of several threads
// take turns.
class BoundStep {
 public:
  // Throws as Session does.
  BoundStep(const Device &device, const std::filesystem::path &path);
  ~BoundStep();

  // A session of the graph.
  const Session &session() const { return *(recording_ != nullptr ? recording_ : plain_); }
  // As decode_by_steps.
  Codes decode(const Codes &tokens, const Output &context, const Plan &plan,
               const std::vector<float> &uniforms, const Options &options);
  // Why CUDA replays no recorded graph although it should, as long as this object lives; empty: all
  // is well.
  const char *unrecorded() const { return is_unrecorded_ ? reason_.c_str() : ""; }

 private:
  struct Buffers;

  void give_up_recording(const BackendError &error);
  // Those that are kept for decodings of a size; null where there are too many.
  Buffers *buffers_for(const Input &tokens, const Input &context,
                       const std::vector<std::vector<Input>> &steps);
  void launch(const Buffers &buffers, size_t step);

  const Device device_;
  const std::filesystem::path path_;
  // Either may be missing; neither goes once it is there.
  std::unique_ptr<const Session> recording_, plain_;
  const Session copy_;
  std::string reason_;
  std::atomic<bool> is_unrecorded_{false};
  std::mutex mutex_;  // guards what follows, and the GPU's buffers
  std::map<std::vector<int64_t>, std::unique_ptr<Buffers>> kept_;  // by size
  int n_graphs_ = 0;
  std::set<int> recorded_;
};

}  // namespace echoes
