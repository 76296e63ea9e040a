// The magnitudes of a real signal's discrete Fourier transform, of any length.
#pragma once

#include <complex>
#include <cstddef>
#include <vector>

namespace echoes {

class Fft {
 public:
  explicit Fft(size_t size);

  // Magnitudes of the first size / 2 + 1 bins of `signal`, which has `size` samples.
  void magnitudes(const std::vector<float> &signal, std::vector<float> &out);

 private:
  using Complex = std::complex<double>;

  void transform(std::vector<Complex> &data) const;

  size_t size_;
  size_t padded_size_;             // a power of two
  std::vector<Complex> roots_;     // exp(-2 pi i k / padded_size)
  std::vector<Complex> chirp_;     // empty if size is a power of two
  std::vector<Complex> response_;  // the chirp's transform
  std::vector<Complex> work_;
};

}  // namespace echoes
