// Eight threads with one model and with a model each: the same sounds, and no memory that stays.
// Usage: test_threads BUNDLE GENERATIONS
#include <atomic>
#include <echoes_rt/echoes_rt.hpp>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "check.h"

namespace {

constexpr int kThreads = 8;

#ifdef ECHOES_CHECK_MEMORY
// Twenty runs ended 40 to 670 KB below halfway; a thousand generations that each kept its sound of
// 8 KB would end 3 MB above.
constexpr long kMostMoreKb = 2048;
#endif

// Kilobytes that the process holds in memory, but for files mapped there; 0 where no Linux tells.
long resident_kb() {
  const std::string key = "RssAnon:";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key, 0) == 0) return std::stol(line.substr(key.size()));
  }
  return 0;
}

echoes_rt::Model open(const char *bundle) {
  echoes_model_options options{};
  options.struct_size = sizeof options;
  options.threads = 1;
  return echoes_rt::Model(bundle, options);
}

echoes_rt::Samples sound_of(echoes_rt::Model &model, int seed) {
  const echoes_rt::Picture picture{std::vector<uint8_t>(3 * 16 * 16, 50), 16, 16};
  echoes_rt::Options options = model.options();
  options.seed = static_cast<uint64_t>(seed % 4);
  if (seed % 2 == 1) options.each_step = [](int32_t, int32_t) { return true; };
  return model.image_to_audio(picture, options);
}

}  // namespace

int main(int argc, char **argv) {
  CHECK(argc == 3);
  const int each = (std::stoi(argv[2]) + 2 * kThreads - 1) / (2 * kThreads);
  try {
    echoes_rt::Model shared = open(argv[1]);
    std::vector<echoes_rt::Samples> expected;
    for (int seed = 0; seed < 4; ++seed) expected.push_back(sound_of(shared, seed));
    std::vector<std::optional<echoes_rt::Model>> own(kThreads);
    std::atomic<long> generations{0}, halfway_kb{0};
    const auto count = [&] {
      if (++generations == long{kThreads} * each) halfway_kb = resident_kb();
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        echoes_rt::Model &mine = own[static_cast<size_t>(t)].emplace(open(argv[1]));
        for (int i = 0; i < each; ++i) {
          const auto seed = static_cast<size_t>((t + i) % 4);
          CHECK(sound_of(shared, t + i) == expected[seed]);
          count();
          CHECK(sound_of(mine, t + i) == expected[seed]);
          count();
          CHECK(echoes_model_get_info(nullptr, nullptr) == ECHOES_ERROR_INPUT);
          CHECK(std::string(echoes_last_error()) == "model must not be NULL");
        }
      });
    }
    for (std::thread &thread : threads) thread.join();
    const long end_kb = resident_kb();
    std::printf("%ld generations; %ld KB in memory halfway, %ld KB at the end\n",
                generations.load(), halfway_kb.load(), end_kb);
#ifdef ECHOES_CHECK_MEMORY
    CHECK(end_kb <= halfway_kb + kMostMoreKb);
#endif
  } catch (const echoes_rt::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.status() == ECHOES_ERROR_BACKEND ? 77 : 1;
  }
  return 0;
}
