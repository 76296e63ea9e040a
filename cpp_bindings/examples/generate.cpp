// The sound of a picture: generate_cpp BUNDLE PICTURE.ppm OUT.wav [SEED]
#include <echoes_rt/echoes_rt.hpp>
#include <fstream>
#include <iostream>

namespace {

echoes_rt::Picture read_ppm(const char *path) {
  std::ifstream file(path, std::ios::binary);
  std::string kind;
  int largest = 0;
  echoes_rt::Picture picture;
  file >> kind >> picture.width >> picture.height >> largest;
  file.get();
  if (kind != "P6" || largest != 255 || picture.width < 1 || picture.height < 1 ||
      picture.width > 10000 || picture.height > 10000) {
    throw std::runtime_error("the picture cannot be read as a binary PPM file");
  }
  picture.pixels.resize(size_t{3} * picture.width * picture.height);
  file.read(reinterpret_cast<char *>(picture.pixels.data()), picture.pixels.size());
  if (!file) throw std::runtime_error("the picture is truncated");
  return picture;
}

void write_wav(const char *path, const echoes_rt::Samples &samples, uint32_t rate) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&file](uint32_t value, int bytes) {
    for (; bytes > 0; --bytes, value >>= 8) file.put(static_cast<char>(value & 255));
  };
  const auto size = static_cast<uint32_t>(2 * samples.size());
  file << "RIFF", put(36 + size, 4), file << "WAVEfmt ", put(16, 4), put(1, 2), put(1, 2);
  put(rate, 4), put(2 * rate, 4), put(2, 2), put(16, 2), file << "data", put(size, 4);
  for (const float sample : samples)
    put(static_cast<uint32_t>(static_cast<int>(sample * 32767)), 2);
  if (!file.flush()) throw std::runtime_error("cannot write the sound");
}

}  // namespace

int main(int argc, char **argv) {
  try {
    if (argc < 4) throw std::runtime_error("give BUNDLE PICTURE.ppm OUT.wav [SEED]");
    const echoes_rt::Picture picture = read_ppm(argv[2]);
    echoes_rt::Model model(argv[1]);
    echoes_rt::Options options = model.options();
    options.seed = argc > 4 ? std::stoull(argv[4]) : 0;
    write_wav(argv[3], model.image_to_audio(picture, options), model.info().sample_rate);
  } catch (const std::exception &error) {
    std::cerr << "generate_cpp: " << error.what() << "\n";
    return 1;
  }
}
