// The parts against tests/fixtures/golden, which the Python runtime is held to as well, and
// against slow definitions. Usage: test_parts FIXTURES
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "check.h"
#include "device.h"
#include "errors.h"
#include "manifest.h"
#include "decode.h"
#include "bundle.h"
#include "json.h"

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
  // 64 bits, which a number of JSON may not hold.
  uint64_t word() const { return std::stoull(yyjson_get_str(value)); }
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
        uniforms(streams[i]["seed"].word(), streams[i]["stream"].word(), expected.size());
    for (float &uniform : noise) uniform *= 0x1p24f;
    CHECK(noise == expected);
  }
}

// The positions of one member, without what fills a step up.
std::vector<std::vector<int32_t>> drawn_by(const Json &positions, size_t member, int n_tokens) {
  std::vector<std::vector<int32_t>> steps;
  for (size_t k = 0; k < positions.size(); ++k) {
    steps.emplace_back();
    for (const int32_t position : positions[k][member].numbers<int32_t>()) {
      if (position != n_tokens) steps.back().push_back(position);
    }
  }
  return steps;
}

void test_plan(const Json &golden, const Grid &grid, size_t member) {
  const Json dials = golden["sampling"];
  Options options{};
  options.steps = dials["steps"].integer();
  options.guidance_scale = dials["guidance_scale"].number();
  options.temperature = dials["temperature"].number();
  if (std::string(yyjson_get_str(dials["guidance_schedule"].value)) == "annealed") {
    options.guidance_schedule = ECHOES_GUIDANCE_ANNEALED;
  }
  options.guidance_start = dials["guidance_interval"][size_t{0}].number();
  options.guidance_stop = dials["guidance_interval"][size_t{1}].number();
  std::vector<int32_t> tokens;
  for (const int is_unknown : golden["mask"][member].numbers<int>()) {
    tokens.push_back(is_unknown != 0 ? grid.mask_token() : 0);
  }
  const Plan plan = make_plan(tokens, grid, options);
  const auto expected = drawn_by(golden["positions"], member, grid.n_tokens());
  CHECK(expected.size() == static_cast<size_t>(plan.steps));
  for (size_t k = 0; k < expected.size(); ++k) {
    for (size_t j = 0; j < static_cast<size_t>(plan.drawn); ++j) {
      const int32_t position = plan.positions[k * static_cast<size_t>(plan.drawn) + j];
      CHECK(position == (j < expected[k].size() ? expected[k][j] : grid.n_tokens()));
    }
  }
  CHECK(plan.drawing.at("temperature") == golden["temperature"].numbers<float>());
  CHECK(plan.guidance_scale == golden["guidance_scale"].numbers<float>());
}

void test_plans(const Json &golden) {
  Grid grid{1, static_cast<int>(golden["order"].size()), 8, golden["order"].numbers<int32_t>()};
  const Json plans = golden["plans"];
  CHECK(plans.size() > 0);
  for (size_t i = 0; i < plans.size(); ++i) {
    for (size_t member = 0; member < plans[i]["mask"].size(); ++member) {
      test_plan(plans[i], grid, member);
    }
  }
}

// Beyond the last position there is nothing to draw, and no noise.
void test_noise_of_a_plan() {
  Plan plan;
  plan.positions = {2, 0, 1, 3};
  CHECK(plan.noise_of({.1f, .2f, .3f}) == std::vector<float>({.3f, .1f, .2f, .3f}));
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

void test_pixels_survive() {
  ImageSpec spec{4, 6, {0.5, 0.4, 0.3}, {0.5, 0.25, 2}};
  std::vector<uint8_t> rgb;
  for (int i = 0; i < 4 * 6 * 3; ++i) rgb.push_back(static_cast<uint8_t>(i * 7));
  CHECK(crop_and_resize({rgb.data(), 6, 4}, spec) == rgb);
  CHECK(to_pixels(normalise(rgb, spec), spec) == rgb);
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
  CHECK(parse_manifest(json).grids.audio.n_tokens() == 8);
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

}  // namespace

int main(int argc, char **argv) {
  CHECK(argc == 2);
  const std::string fixtures = argv[1];
  with_golden(fixtures, "schedule", test_schedule);
  with_golden(fixtures, "noise", test_noise);
  with_golden(fixtures, "plan", test_plans);
  test_noise_of_a_plan();
  test_sha256();
  test_pixels_survive();
  test_a_large_picture_in_one_pixel();
  test_manifest(fixtures);
  test_cpu_quota();
  return 0;
}
