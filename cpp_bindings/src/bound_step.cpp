#include "bound_step.h"

#include <cstring>
#include <iterator>

namespace echoes {
namespace {

// y = Identity(x) for bytes x of shape (n), opset 13: a session copies between host and GPU, for which
// the oldest API that we use has no call.
constexpr uint8_t kCopyGraph[] = {
    0x08, 0x07, 0x3a, 0x39, 0x0a, 0x10, 0x0a, 0x01, 0x78, 0x12, 0x01, 0x79, 0x22, 0x08,
    0x49, 0x64, 0x65, 0x6e, 0x74, 0x69, 0x74, 0x79, 0x12, 0x01, 0x63, 0x5a, 0x10, 0x0a,
    0x01, 0x78, 0x12, 0x0b, 0x0a, 0x09, 0x08, 0x02, 0x12, 0x05, 0x0a, 0x03, 0x12, 0x01,
    0x6e, 0x62, 0x10, 0x0a, 0x01, 0x79, 0x12, 0x0b, 0x0a, 0x09, 0x08, 0x02, 0x12, 0x05,
    0x0a, 0x03, 0x12, 0x01, 0x6e, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x0d};

// Recorded at most, since none is ever given back: twelve sizes of eight steps. Decodings of further
// sizes run step by step from the host.
constexpr int kMaxGraphs = 96;

// The first release that tells graphs apart by number.
constexpr uint32_t kFirstNumbered = 18;

// Bytes: what CUDA's own allocations have, and its kernels rely on.
constexpr size_t kAlignment = 256;

Input as_bytes(const void *data, size_t num_bytes) {
  return {"x", static_cast<const uint8_t *>(data), {static_cast<int64_t>(num_bytes)}};
}

}  // namespace

// Where all that a decoding of one size takes and gives lies on the GPU.
struct BoundStep::Buffers {
  // `first`: how many graphs are recorded before that of its first step.
  Buffers(const Session &session, const Input &first_tokens, const Input &context,
          const std::vector<std::vector<Input>> &steps, int first_graph)
      : first(first_graph), memory(nullptr, nullptr) {
    size_t end = 0;
    const auto reserve = [&](size_t num_bytes) {
      const size_t begin = end;
      end += (num_bytes + kAlignment) / kAlignment * kAlignment;  // never none
      return begin;
    };
    const size_t tokens_at[] = {reserve(first_tokens.num_bytes),
                                reserve(first_tokens.num_bytes)};
    const size_t context_at = reserve(context.num_bytes), plan_at = end;
    for (const std::vector<Input> &inputs : steps) {
      for (const Input &input : inputs) offsets.push_back(reserve(input.num_bytes) - plan_at);
    }
    plan.resize(end - plan_at);
    memory = session.allocate(end);
    const auto part = [&](size_t begin, const Input &like) {
      parts.push_back(session.part_of(memory.get(), begin, like));
      return parts.back().get();
    };
    for (size_t i = 0; i < 2; ++i) {
      token_bytes[i] = part(tokens_at[i], as_bytes(nullptr, first_tokens.num_bytes));
      tokens[i] = part(tokens_at[i], first_tokens);
    }
    context_bytes = part(context_at, as_bytes(nullptr, context.num_bytes));
    plan_bytes = part(plan_at, as_bytes(nullptr, plan.size()));
    OrtValue *const shared = part(context_at, context);
    auto offset = offsets.begin();
    for (size_t step = 0; step < steps.size(); ++step) {
      bound.push_back({{"tokens", tokens[step % 2]}, {"context", shared}});
      for (const Input &input : steps[step]) {
        bound.back().push_back({input.name, part(plan_at + *offset++, input)});
      }
    }
  }

  // In three copies at most.
  void fill(const Session &copy, const Input &first_tokens, const Input &context,
            const std::vector<std::vector<Input>> &steps) {
    auto offset = offsets.begin();
    for (const std::vector<Input> &inputs : steps) {
      for (const Input &input : inputs) {
        std::memcpy(&plan[*offset++], input.data, input.num_bytes);
      }
    }
    const auto put = [&](OrtValue *to, const void *from, size_t num_bytes) {
      if (num_bytes > 0) copy.run_into({as_bytes(from, num_bytes)}, "y", to, kNotRecorded);
    };
    put(token_bytes[0], first_tokens.data, first_tokens.num_bytes);
    put(context_bytes, context.data, context.num_bytes);
    put(plan_bytes, plan.data(), plan.size());
  }

  int first;
  Owned<OrtValue> memory;
  std::vector<Owned<OrtValue>> parts;  // all that follow
  OrtValue *tokens[2], *token_bytes[2], *context_bytes, *plan_bytes;
  std::vector<size_t> offsets;  // in the plan
  std::vector<uint8_t> plan;
  std::vector<std::vector<Input>> bound;
};

BoundStep::BoundStep(const Device &device, const std::filesystem::path &path)
    : device_(device),
      path_(path),
      copy_(device, "copying", {std::begin(kCopyGraph), std::end(kCopyGraph)}) {
  try {
    if (device.library->release() < kFirstNumbered) {
      throw BackendError("ONNX Runtime ", device.library->version(), " records one graph only; ",
                         "use 1.", kFirstNumbered, " or newer");
    }
    SessionDials dials;
    dials.is_recording = true;
    recording_ = std::make_unique<const Session>(device, path, dials);
  } catch (const BackendError &error) {
    give_up_recording(error);
  }
}

BoundStep::~BoundStep() = default;

void BoundStep::give_up_recording(const BackendError &error) {
  plain_ = std::make_unique<const Session>(device_, path_);
  reason_ = error.what();
  is_unrecorded_ = true;
}

BoundStep::Buffers *BoundStep::buffers_for(const Input &tokens, const Input &context,
                                           const std::vector<std::vector<Input>> &steps) {
  std::vector<int64_t> size = context.shape;
  for (const std::vector<Input> &inputs : steps) {
    for (const Input &input : inputs) size.push_back(static_cast<int64_t>(input.num_bytes));
  }
  const auto found = kept_.find(size);
  if (found != kept_.end()) return found->second.get();
  const auto count = static_cast<int>(steps.size());
  if (n_graphs_ + count > kMaxGraphs) return nullptr;
  auto made = std::make_unique<Buffers>(copy_, tokens, context, steps, n_graphs_);
  n_graphs_ += count;
  return (kept_[size] = std::move(made)).get();
}

Codes BoundStep::decode(const Codes &tokens, const Output &context, const Plan &plan,
                        const std::vector<float> &uniforms, const Options &options) {
  const std::vector<float> noise = plan.noise_of(uniforms);
  const auto steps = step_inputs(session(), plan, noise, context.size() > 0);
  const Input first("tokens", tokens);
  const Input seen("context", context);
  const std::lock_guard<std::mutex> lock(mutex_);
  Buffers *const buffers = buffers_for(first, seen, steps);
  if (buffers == nullptr) {
    return decode_by_steps(session(), tokens, context, plan, uniforms, options);
  }
  buffers->fill(copy_, first, seen, steps);
  for (size_t step = 0; step < steps.size(); ++step) {
    launch(*buffers, step);
    report(options, static_cast<int>(step), plan.steps);
  }
  const Output found = copy_.run({{"x", buffers->token_bytes[steps.size() % 2]}}, "y");
  Codes decoded(tokens.size());
  std::memcpy(decoded.data(), found.bytes(), first.num_bytes);
  return decoded;
}

void BoundStep::launch(const Buffers &buffers, size_t step) {
  const int number = is_unrecorded_ ? kNotRecorded : buffers.first + static_cast<int>(step) + 1;
  const Session &session = is_unrecorded_ ? *plain_ : *recording_;
  try {
    session.run_into(buffers.bound[step], "decoded", buffers.tokens[1 - step % 2], number);
    recorded_.insert(number);
  } catch (const BackendError &error) {
    if (number == kNotRecorded || recorded_.count(number) > 0) throw;
    // What fails only while it is recorded may still run.
    give_up_recording(error);
    launch(buffers, step);
  }
}

}  // namespace echoes
