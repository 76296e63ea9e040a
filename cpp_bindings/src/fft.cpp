#include "fft.h"

#include <algorithm>
#include <cmath>

namespace echoes {
namespace {

constexpr double kTau = 6.283185307179586;

using Complex = std::complex<double>;

// Without the checks for infinities that std::complex makes.
Complex multiplied(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

size_t power_of_two_from(size_t size) {
  size_t power = 1;
  while (power < size) power *= 2;
  return power;
}

}  // namespace

Fft::Fft(size_t size) : size_(size), padded_size_(power_of_two_from(size)) {
  const bool needs_chirp = padded_size_ != size;
  if (needs_chirp) padded_size_ = power_of_two_from(2 * size - 1);
  for (size_t k = 0; k < padded_size_ / 2; ++k) {
    const double angle = -kTau * static_cast<double>(k) / static_cast<double>(padded_size_);
    roots_.emplace_back(std::cos(angle), std::sin(angle));
  }
  work_.resize(padded_size_);
  if (!needs_chirp) return;
  // Bluestein: nk = (n^2 + k^2 - (k - n)^2) / 2 makes the transform a convolution with a chirp.
  response_.resize(padded_size_);
  for (size_t n = 0; n < size; ++n) {
    const double half_turns = static_cast<double>(n * n % (2 * size)) / static_cast<double>(size);
    const double angle = -kTau / 2 * half_turns;
    chirp_.emplace_back(std::cos(angle), std::sin(angle));
    response_[n] = std::conj(chirp_[n]);
    if (n > 0) response_[padded_size_ - n] = response_[n];
  }
  transform(response_);
}

void Fft::magnitudes(const std::vector<float> &signal, std::vector<float> &out) {
  std::fill(work_.begin(), work_.end(), Complex{});
  for (size_t n = 0; n < size_; ++n) {
    const double sample = signal[n];
    work_[n] = chirp_.empty() ? Complex{sample} : sample * chirp_[n];
  }
  transform(work_);
  if (!chirp_.empty()) {
    // The inverse transform is the conjugate of the transform of the conjugate.
    for (size_t k = 0; k < padded_size_; ++k) {
      work_[k] = std::conj(multiplied(work_[k], response_[k]));
    }
    transform(work_);
  }
  const double scale = chirp_.empty() ? 1.0 : 1.0 / static_cast<double>(padded_size_);
  out.resize(size_ / 2 + 1);
  for (size_t k = 0; k < out.size(); ++k) {  // the last chirp turns a bin, its magnitude stays
    out[k] = static_cast<float>(std::sqrt(std::norm(work_[k])) * scale);
  }
}

void Fft::transform(std::vector<Complex> &data) const {
  const size_t size = data.size();
  for (size_t i = 1, j = 0; i < size; ++i) {  // bit-reversed order
    size_t bit = size / 2;
    for (; j & bit; bit /= 2) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(data[i], data[j]);
  }
  for (size_t half = 1; half < size; half *= 2) {
    const size_t step = size / (2 * half);
    for (size_t start = 0; start < size; start += 2 * half) {
      for (size_t k = 0; k < half; ++k) {
        const Complex even = data[start + k];
        const Complex odd = multiplied(roots_[k * step], data[start + half + k]);
        data[start + k] = even + odd;
        data[start + half + k] = even - odd;
      }
    }
  }
}

}  // namespace echoes
