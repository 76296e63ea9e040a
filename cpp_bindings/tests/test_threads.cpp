// Eight threads with one model and with a model each. Usage: test_threads BUNDLE GENERATIONS
#include <echoes_rt/echoes_rt.hpp>
#include <string>
#include <thread>

#include "check.h"

namespace {

constexpr int kThreads = 8;

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
  return model.image_to_audio(picture, options);
}

}  // namespace

int main(int argc, char **argv) {
  CHECK(argc == 3);
  const int each = std::stoi(argv[2]) / (2 * kThreads);
  try {
    echoes_rt::Model shared = open(argv[1]);
    std::vector<echoes_rt::Samples> expected;
    for (int seed = 0; seed < 4; ++seed) expected.push_back(sound_of(shared, seed));
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        echoes_rt::Model own = open(argv[1]);
        for (int i = 0; i < each; ++i) {
          const auto seed = static_cast<size_t>((t + i) % 4);
          CHECK(sound_of(shared, t + i) == expected[seed]);
          CHECK(sound_of(own, t + i) == expected[seed]);
          CHECK(echoes_model_get_info(nullptr, nullptr) == ECHOES_ERROR_INPUT);
          CHECK(std::string(echoes_last_error()) == "model must not be NULL");
        }
      });
    }
    for (std::thread &thread : threads) thread.join();
  } catch (const echoes_rt::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.status() == ECHOES_ERROR_BACKEND ? 77 : 1;
  }
  return 0;
}
