// The parts against tests/fixtures/golden, which the Python runtime is held to as well, and
// against slow definitions. Usage: test_parts FIXTURES
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "check.h"
#include "cpu_limit.h"
#include "errors.h"
#include "fft.h"
#include "image.h"
#include "manifest.h"
#include "mask_decoder.h"
#include "mel.h"
#include "noise.h"
#include "nvidia_system.h"
#include "plan.h"
#include "sha256.h"
#include "yyjson.h"

namespace {

using namespace echoes;

std::string read(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

// A value of a golden file.
struct Json {
  yyjson_val *value;

  Json operator[](const char *key) const { return {yyjson_obj_get(value, key)}; }
  Json operator[](size_t i) const { return {yyjson_arr_get(value, i)}; }
  size_t size() const { return yyjson_arr_size(value); }
  double number() const { return yyjson_get_num(value); }
  int integer() const { return static_cast<int>(yyjson_get_sint(value)); }
  template <typename T>
  std::vector<T> numbers() const {
    std::vector<T> all;
    for (size_t i = 0; i < size(); ++i) all.push_back(static_cast<T>((*this)[i].number()));
    return all;
  }
};

template <typename Body>
void with_golden(const std::string &folder, const char *name, Body body) {
  const std::string text = read(folder + "/golden/" + name + ".json");
  const std::unique_ptr<yyjson_doc, void (*)(yyjson_doc *)> document(
      yyjson_read(text.data(), text.size(), 0), yyjson_doc_free);
  CHECK(document != nullptr);
  body(Json{yyjson_doc_get_root(document.get())});
}

void write(const std::filesystem::path &path, const std::string &text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

// A container's process in version 2, below a group with a stricter quota than its own.
void test_cpu_quota() {
  const std::filesystem::path root = std::filesystem::temp_directory_path() / "echoes_cpu_quota";
  const std::filesystem::path mount = root / "fs";
  std::filesystem::remove_all(root);
  CHECK(cpu_quota((root / "proc").u8string()) == 0);
  write(root / "proc/cgroup", "0::/pod/app\n");
  write(root / "proc/mountinfo", "31 23 0:26 / " + mount.u8string() + " rw - cgroup2 none rw\n");
  write(mount / "pod/app/cpu.max", "max 100000\n");
  CHECK(cpu_quota((root / "proc").u8string()) == 0);
  write(mount / "pod/app/cpu.max", "350000 100000\n");
  CHECK(cpu_quota((root / "proc").u8string()) == 3.5);
  write(mount / "pod/cpu.max", "150000 100000\n");
  CHECK(cpu_quota((root / "proc").u8string()) == 1.5);
  std::filesystem::remove_all(root);
}

void test_schedule(const Json &golden) {
  const Json cases = golden["num_masked"];
  CHECK(cases.size() > 0);
  for (size_t i = 0; i < cases.size(); ++i) {
    CHECK(num_masked(cases[i]["n_tokens"].integer(), cases[i]["steps"].integer()) ==
          cases[i]["kept"].numbers<int>());
  }
}

void test_noise(const Json &golden) {
  const Json streams = golden["streams"];
  CHECK(streams.size() > 0);
  for (size_t i = 0; i < streams.size(); ++i) {
    const auto expected = streams[i]["uniforms_times_2_24"].numbers<float>();
    auto noise =
        uniforms(std::stoull(yyjson_get_str(streams[i]["seed"].value)), 0, expected.size());
    for (float &uniform : noise) uniform *= 0x1p24f;
    CHECK(noise == expected);
  }
}

void test_filterbank(const Json &golden) {
  MelSpec spec;
  spec.sample_rate = 22050, spec.n_fft = 256, spec.win_length = 256, spec.hop_length = 64;
  spec.n_mels = 16, spec.f_max = 8000, spec.n_frames = 32;
  const auto bank = mel_filterbank(spec);
  const auto rows = golden["rows"].numbers<size_t>();
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto expected = golden["filterbank"][r].numbers<double>();
    const MelFilter &filter = bank[rows[r]];
    for (size_t bin = 0; bin < expected.size(); ++bin) {
      const size_t i = bin - filter.first_bin;  // wraps round below the first
      const double weight = i < filter.weights.size() ? double{filter.weights[i]} : 0.0;
      CHECK(std::fabs(weight - expected[bin]) < 1e-8);
    }
  }
}

// Whole numbers, so that rounding cannot move a trace: docs/format.md has the formula.
std::vector<float> mock_logits(const std::vector<int32_t> &tokens, size_t n_tokens, size_t vocab) {
  std::vector<float> logits;
  for (size_t start = 0; start < tokens.size(); start += n_tokens) {
    size_t context = 0;
    for (size_t m = 0; m < n_tokens; ++m) {
      context += static_cast<size_t>(tokens[start + m]) * (2 * m + 1);
    }
    for (size_t n = 0; n < n_tokens; ++n) {
      for (size_t v = 0; v < vocab; ++v) {
        logits.push_back(static_cast<float>((7 * n + 5 * v + 3 * n * v + context) % 9) - 4.0f);
      }
    }
  }
  return logits;
}

void test_trace(const Json &trace, size_t member, int vocab) {
  DecodeQuestion question;
  question.tokens = trace["tokens"][member].numbers<int32_t>();
  question.condition = trace["condition"][member].numbers<uint8_t>();
  question.vocab_size = vocab;
  for (const int32_t token : question.tokens) question.mask.push_back(token == vocab);
  const Json keep = trace["plan"]["keep"];
  DecodePlan plan;
  for (size_t k = 0; k < keep.size(); ++k) plan.keep.push_back(keep[k][member].integer());
  plan.temperature = trace["plan"]["temperature"].numbers<float>();
  plan.choice_temperature = trace["plan"]["choice_temperature"].numbers<float>();
  plan.guidance_scale = trace["plan"]["guidance_scale"].numbers<float>();
  const size_t n_tokens = question.tokens.size();
  const auto seed = static_cast<uint64_t>(trace["seeds"][member].integer());
  std::vector<float> logits;
  const auto decoded = decode(
      [&](const std::vector<int32_t> &tokens) {
        logits = mock_logits(tokens, n_tokens, static_cast<size_t>(vocab));
        return logits.data();
      },
      question, plan, uniforms(seed, 0, 2 * n_tokens * keep.size()), nullptr);
  CHECK(decoded == trace["decoded"][member].numbers<int32_t>());
}

void test_traces(const Json &golden) {
  const Json traces = golden["traces"];
  CHECK(traces.size() > 0);
  for (size_t i = 0; i < traces.size(); ++i) {
    for (size_t member = 0; member < traces[i]["seeds"].size(); ++member) {
      test_trace(traces[i], member, golden["vocab_size"].integer());
    }
  }
}

void test_logits_that_are_not_numbers() {
  const std::vector<float> logits(8, NAN);
  bool is_caught = false;
  try {
    decode([&](const std::vector<int32_t> &) { return logits.data(); }, {{4, 4}, {1, 1}, {0, 0}, 4},
           make_plan(2, Sampling{1, 1, 1, 1}), {.1f, .2f, .3f, .4f}, nullptr);
  } catch (const BundleError &) {
    is_caught = true;
  }
  CHECK(is_caught);
}

void test_sha256() {
  CHECK(Sha256().hex_digest() ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 pieces;  // of "a" a million times, FIPS 180-4's example
  const std::string text(977, 'a');
  size_t left = 1'000'000;
  for (; left > text.size(); left -= text.size()) pieces.update(text.data(), text.size());
  pieces.update(text.data(), left);
  CHECK(pieces.hex_digest() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

void test_fft() {
  for (const size_t size : {1, 2, 3, 7, 16, 100, 243, 256}) {
    std::vector<float> signal, magnitudes;
    for (size_t n = 0; n < size; ++n) signal.push_back(static_cast<float>(n * n % 17) - 8.0f);
    Fft(size).magnitudes(signal, magnitudes);
    CHECK(magnitudes.size() == size / 2 + 1);
    for (size_t k = 0; k < magnitudes.size(); ++k) {
      std::complex<double> sum;
      for (size_t n = 0; n < size; ++n) {
        const double turns = static_cast<double>(k * n % size) / static_cast<double>(size);
        sum += double{signal[n]} * std::polar(1.0, -6.283185307179586 * turns);
      }
      CHECK(std::fabs(std::abs(sum) - double{magnitudes[k]}) < 1e-3);
    }
  }
}

void test_pixels_survive() {
  ImageSpec spec{4, 6, {0.5, 0.4, 0.3}, {0.5, 0.25, 2}};
  std::vector<uint8_t> rgb;
  for (int i = 0; i < 4 * 6 * 3; ++i) rgb.push_back(static_cast<uint8_t>(i * 7));
  CHECK(crop_and_resize({rgb.data(), 6, 4}, spec) == rgb);
  CHECK(to_pixels(normalise(rgb, spec).data(), spec) == rgb);
}

// The sum of nine million white pixels is more than an int can hold.
void test_a_large_picture_in_one_pixel() {
  constexpr int kSide = 3000;
  const std::vector<uint8_t> white(size_t{3} * kSide * kSide, 255);
  ImageSpec spec;
  spec.width = spec.height = 1;
  CHECK(crop_and_resize({white.data(), kSide, kSide}, spec) == std::vector<uint8_t>(3, 255));
}

void test_manifest(const std::string &fixtures) {
  const std::string json = read(fixtures + "/tiny_bundle/manifest.json");
  CHECK(parse_manifest(json).tokens.n_tokens() == 24);
  // However it is cut, there is a ManifestError and nothing else.
  for (size_t size = 0; size + 2 < json.size(); size += 7) {
    bool is_refused = false;
    try {
      parse_manifest(std::string_view(json).substr(0, size));
    } catch (const ManifestError &) {
      is_refused = true;
    }
    CHECK(is_refused);
  }
  for (const char *text : {"", "null", "[]", "1", "\"\"", "{}", "{\"a\":1,\"a\":2}", "\xff\xfe"}) {
    bool is_refused = false;
    try {
      parse_manifest(text);
    } catch (const ManifestError &) {
      is_refused = true;
    }
    CHECK(is_refused);
  }
  bool is_refused = false;
  try {
    parse_manifest(std::string(500'000, '[') + std::string(500'000, ']'));
  } catch (const ManifestError &) {
    is_refused = true;
  }
  CHECK(is_refused);
}

// The texts are those of real machines.
void test_releases() {
  CHECK(driver_release("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release "
                       "Build  (dvs-builder@U22)\nGCC version: gcc version 12.3.0\n") ==
        "580.95.05");
  CHECK(driver_release("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183  Sun May 12\n") ==
        "535.183");
  CHECK(driver_release("") == "");
  CHECK(l4t_release("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n") == "36.4.3");
  CHECK(l4t_release("# R39 (release), REVISION: 2, GCID: 1\n") == "39.2");
  CHECK(l4t_release("Raspbian") == "");
}

}  // namespace

int main(int argc, char **argv) {
  CHECK(argc == 2);
  const std::string fixtures = argv[1];
  with_golden(fixtures, "schedule", test_schedule);
  with_golden(fixtures, "noise", test_noise);
  with_golden(fixtures, "mel", test_filterbank);
  with_golden(fixtures, "decode", test_traces);
  test_logits_that_are_not_numbers();
  test_sha256();
  test_fft();
  test_pixels_survive();
  test_a_large_picture_in_one_pixel();
  test_manifest(fixtures);
  test_releases();
  test_cpu_quota();
  return 0;
}
