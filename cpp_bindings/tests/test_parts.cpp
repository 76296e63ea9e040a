// Parts that nobody can see from outside of the library. Usage: test_parts FIXTURES
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "check.h"
#include "decode.h"
#include "device.h"
#include "errors.h"
#include "manifest.h"

namespace {

using namespace echoes;

std::string read(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
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

// The sum of nine million white pixels is more than an int can hold.
void test_a_large_picture_in_one_pixel() {
  constexpr int kSide = 3000;
  const std::vector<uint8_t> white(size_t{3} * kSide * kSide, 255);
  ImageSpec spec;
  spec.width = spec.height = 1;
  CHECK(crop_and_resize({white.data(), kSide, kSide}, spec) == std::vector<uint8_t>(3, 255));
}

// Beyond the last position there is nothing to draw, and no noise.
void test_noise_of_a_plan() {
  Plan plan;
  plan.positions = {2, 0, 1, 3};
  CHECK(plan.noise_of({.1f, .2f, .3f}) == std::vector<float>({.3f, .1f, .2f, .3f}));
}

bool is_refused(std::string_view text) {
  try {
    parse_manifest(text);
    return false;
  } catch (const ManifestError &) {
    return true;
  }
}

void test_manifest(const std::string &fixtures) {
  const std::string json = read(fixtures + "/tiny_bundle/manifest.json");
  CHECK(parse_manifest(json).grids.audio.n_tokens() == 8);
  // However it is cut, there is a ManifestError and nothing else.
  for (size_t size = 0; size + 2 < json.size(); size += 7) CHECK(is_refused(json.substr(0, size)));
  for (const char *text : {"null", "[]", "1", "\"\"", "{}"}) CHECK(is_refused(text));
}

}  // namespace

int main(int argc, char **argv) {
  CHECK(argc == 2);
  const std::string fixtures = argv[1];
  test_noise_of_a_plan();
  test_manifest(fixtures);
  test_cpu_quota();
  test_a_large_picture_in_one_pixel();
  return 0;
}
