#include "mask_decoder.h"

#include <algorithm>
#include <cmath>

#include "errors.h"

namespace echoes {
namespace {

// Takes the place of -inf, so that differences of logits are never NaN.
constexpr float kLogitFloor = -1e30f;

struct Drawn {
  int32_t token;
  double log_prob;  // at temperature 1: confidence is the model's own
};

struct Unknown {
  size_t position;
  float confidence;
};

// One position's logits, guided if there is an unconditional branch.
void guide(const float *conditional, const float *unconditional, float scale,
           std::vector<float> &logits) {
  for (size_t v = 0; v < logits.size(); ++v) {
    const float c = std::max(conditional[v], kLogitFloor);
    if (unconditional == nullptr) {
      logits[v] = c;
      continue;
    }
    const float u = std::max(unconditional[v], kLogitFloor);
    logits[v] = u + scale * (c - u);
  }
}

// Draws by inverse CDF. Sums are double, so that neither the last bit of another library's exp nor
// the order of a sum decides between two tokens.
Drawn draw(const std::vector<float> &logits, float temperature, float uniform,
           std::vector<double> &cumulative) {
  const auto best = std::max_element(logits.begin(), logits.end());
  const auto accumulate = [&](double divisor) {
    double sum = 0;
    for (size_t v = 0; v < logits.size(); ++v) {
      const double below_best = logits[v] - *best;  // at most 0, so that nothing overflows
      sum += std::exp(divisor == 1 ? below_best : below_best / divisor);
      cumulative[v] = sum;
    }
    return sum;
  };
  const double total = accumulate(1);
  if (!std::isfinite(total)) {
    throw BundleError("the step graph gave logits that are not numbers; get the bundle again");
  }
  size_t token = static_cast<size_t>(best - logits.begin());
  if (temperature != 0) {
    const double threshold = double{uniform} * (temperature == 1 ? total : accumulate(temperature));
    const auto reached = std::find_if(cumulative.begin(), cumulative.end(),
                                      [threshold](double sum) { return sum >= threshold; });
    token = static_cast<size_t>(reached - cumulative.begin());
  }
  return {static_cast<int32_t>(token), double{logits[token] - *best} - std::log(total)};
}

class Decoder {
 public:
  Decoder(const LogitsFn &logits, DecodeQuestion question)
      : logits_(logits),
        tokens_(std::move(question.tokens)),
        mask_(std::move(question.mask)),
        condition_(std::move(question.condition)),
        mask_token_id_(question.vocab_size),
        row_(static_cast<size_t>(question.vocab_size)),
        cumulative_(row_.size()) {
    has_condition_ = std::any_of(condition_.begin(), condition_.end(), [](uint8_t c) { return c; });
    for (size_t n = 0; n < tokens_.size(); ++n) {
      if (mask_[n] != 0) tokens_[n] = mask_token_id_;
    }
  }

  // `noise` is (2, N).
  void step(int keep, float temperature, float choice_temperature, float scale,
            const float *noise) {
    const std::vector<Unknown> unknown = fill(temperature, choice_temperature, scale, noise);
    for (const Unknown &filled : unknown) mask_[filled.position] = 0;
    for (size_t i = 0; i < std::min(static_cast<size_t>(keep), unknown.size()); ++i) {
      mask_[unknown[i].position] = 1;
      tokens_[unknown[i].position] = mask_token_id_;
    }
  }

  const std::vector<int32_t> &tokens() const { return tokens_; }

 private:
  // Draws every unknown token; gives their positions, the least confident first.
  std::vector<Unknown> fill(float temperature, float choice_temperature, float scale,
                            const float *noise) {
    std::vector<Unknown> unknown;
    if (std::none_of(mask_.begin(), mask_.end(), [](uint8_t m) { return m; })) return unknown;
    const size_t n_tokens = tokens_.size(), vocab = row_.size();
    const bool is_guided = has_condition_ && scale != 1;
    const float *logits = logits_(branches(is_guided));
    for (size_t n = 0; n < n_tokens; ++n) {
      if (mask_[n] == 0) continue;
      guide(logits + n * vocab, is_guided ? logits + (n_tokens + n) * vocab : nullptr, scale, row_);
      const Drawn drawn = draw(row_, temperature, noise[n], cumulative_);
      const double gumbel = -std::log(-std::log(double{noise[n_tokens + n]}));
      tokens_[n] = drawn.token;
      // Rounded to float: what is equal but for the order of a sum is equal.
      const double confidence = drawn.log_prob + double{choice_temperature} * gumbel;
      unknown.push_back({n, static_cast<float>(confidence)});
    }
    std::stable_sort(unknown.begin(), unknown.end(), [](const Unknown &a, const Unknown &b) {
      return a.confidence < b.confidence;
    });
    return unknown;
  }

  // The tokens, and behind them, if guided, the tokens without the condition.
  std::vector<int32_t> branches(bool is_guided) const {
    std::vector<int32_t> rows = tokens_;
    if (!is_guided) return rows;
    for (size_t n = 0; n < tokens_.size(); ++n) {
      rows.push_back(condition_[n] != 0 ? mask_token_id_ : tokens_[n]);
    }
    return rows;
  }

  const LogitsFn &logits_;
  std::vector<int32_t> tokens_;
  std::vector<uint8_t> mask_;
  std::vector<uint8_t> condition_;
  int32_t mask_token_id_;
  bool has_condition_ = false;
  std::vector<float> row_;
  std::vector<double> cumulative_;
};

}  // namespace

std::vector<int32_t> decode(const LogitsFn &logits, DecodeQuestion question, const DecodePlan &plan,
                            const std::vector<float> &uniforms, const OnStep &on_step) {
  const size_t noise_per_step = 2 * question.tokens.size();
  Decoder decoder(logits, std::move(question));
  for (int step = 0; step < plan.steps(); ++step) {
    const auto k = static_cast<size_t>(step);
    decoder.step(plan.keep[k], plan.temperature[k], plan.choice_temperature[k],
                 plan.guidance_scale[k], uniforms.data() + k * noise_per_step);
    if (on_step && !on_step(step, plan.steps())) {
      throw CancelledError(sentence("cancelled after step ", step + 1, " of ", plan.steps()));
    }
  }
  return decoder.tokens();
}

}  // namespace echoes
