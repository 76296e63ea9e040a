#include "spec.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace echoes {
namespace {

constexpr int kChannels = 3;

// A view into a picture: `stride` bytes from row to row.
struct Crop {
  const uint8_t *pixels;
  int width;
  int height;
  size_t stride;

  const uint8_t *row(int y) const { return pixels + static_cast<size_t>(y) * stride; }
};

// Rounds halves to even.
int rounded(double value) { return static_cast<int>(std::nearbyint(value)); }

uint8_t to_byte(float value) {
  return static_cast<uint8_t>(std::clamp(std::nearbyint(value), 0.0f, 255.0f));
}

Crop centred_crop(const Picture &picture, const ImageSpec &spec) {
  const auto other = [](int side, int wanted, int by) {
    return rounded(std::min(static_cast<double>(int64_t{side} * wanted) / by, 1e9));
  };
  const int height =
      std::max(1, std::min(picture.height, other(picture.width, spec.height, spec.width)));
  const int width =
      std::max(1, std::min(picture.width, other(picture.height, spec.width, spec.height)));
  const size_t stride = size_t{kChannels} * static_cast<size_t>(picture.width);
  const size_t top = static_cast<size_t>((picture.height - height) / 2);
  const size_t left = static_cast<size_t>((picture.width - width) / 2);
  return {picture.pixels + top * stride + left * kChannels, width, height, stride};
}

// How much of a source pixel goes into a target pixel.
struct Share {
  int target;
  int source;
  float weight;
};

// The shares of one axis; a sliver below a thousandth of a pixel is left out.
std::vector<Share> area_shares(int source_size, int target_size) {
  constexpr double kSliver = 1e-3;
  const double scale = 1.0 / (static_cast<double>(target_size) / source_size);
  std::vector<Share> shares;
  for (int target = 0; target < target_size; ++target) {
    const double start = target * scale, stop = start + scale;
    const double width = std::min(scale, source_size - start);
    const int last = std::min(static_cast<int>(std::floor(stop)), source_size - 1);
    const int first = std::min(static_cast<int>(std::ceil(start)), last);
    if (first - start > kSliver) {
      shares.push_back({target, first - 1, static_cast<float>((first - start) / width)});
    }
    for (int source = first; source < last; ++source) {
      shares.push_back({target, source, static_cast<float>(1.0 / width)});
    }
    if (stop - last > kSliver) {
      const double rest = std::min(std::min(stop - last, 1.0), width);
      shares.push_back({target, last, static_cast<float>(rest / width)});
    }
  }
  return shares;
}

// Averages in float, first along the rows, then down the columns.
void shrink_by_shares(const Crop &crop, const ImageSpec &spec, std::vector<uint8_t> &resized) {
  const std::vector<Share> columns = area_shares(crop.width, spec.width);
  const std::vector<Share> rows = area_shares(crop.height, spec.height);
  const size_t row_size = size_t{kChannels} * static_cast<size_t>(spec.width);
  std::vector<float> averaged(row_size), sum(row_size);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Share &row = rows[i];
    const uint8_t *source = crop.row(row.source);
    std::fill(averaged.begin(), averaged.end(), 0.0f);
    for (const Share &column : columns) {
      for (int c = 0; c < kChannels; ++c) {
        averaged[static_cast<size_t>(column.target * kChannels + c)] +=
            static_cast<float>(source[column.source * kChannels + c]) * column.weight;
      }
    }
    const bool is_first = i == 0 || rows[i - 1].target != row.target;
    for (size_t x = 0; x < row_size; ++x) {
      sum[x] = is_first ? row.weight * averaged[x] : sum[x] + row.weight * averaged[x];
    }
    if (i + 1 == rows.size() || rows[i + 1].target != row.target) {
      uint8_t *target = resized.data() + static_cast<size_t>(row.target) * row_size;
      std::transform(sum.begin(), sum.end(), target, to_byte);
    }
  }
}

// Whole numbers of pixels are added up exactly.
void shrink_by_whole_number(const Crop &crop, int by_x, int by_y, const ImageSpec &spec,
                            std::vector<uint8_t> &resized) {
  const int area = by_x * by_y;
  const float share = 1.0f / static_cast<float>(area);
  uint8_t *target = resized.data();
  for (int y = 0; y < spec.height; ++y) {
    for (int x = 0; x < spec.width; ++x) {
      for (int c = 0; c < kChannels; ++c) {
        int64_t sum = 0;  // of as many as 100 million pixels
        for (int dy = 0; dy < by_y; ++dy) {
          const uint8_t *source = crop.row(y * by_y + dy) + x * by_x * kChannels + c;
          for (int dx = 0; dx < by_x; ++dx) sum += source[dx * kChannels];
        }
        // Halves go up in quarters, to even otherwise: as OpenCV has it.
        *target++ = by_x == 2 && by_y == 2 ? static_cast<uint8_t>((sum + 2) >> 2)
                                           : to_byte(static_cast<float>(sum) * share);
      }
    }
  }
}

// Two neighbours along one axis and their weights, which add up to 2048.
struct Blend {
  int first;
  int second;
  int first_weight;
  int second_weight;
};

std::vector<Blend> blends(int source_size, int target_size, bool is_flat_at_edges) {
  constexpr float kOne = 2048;
  const double scale = 1.0 / (static_cast<double>(target_size) / source_size);
  std::vector<Blend> blends;
  for (int target = 0; target < target_size; ++target) {
    const float centre = static_cast<float>((target + 0.5) * scale - 0.5);
    const int first = static_cast<int>(std::floor(centre));
    float share = centre - static_cast<float>(first);
    if (is_flat_at_edges && (first < 0 || first >= source_size - 1)) share = 0;
    const auto inside = [source_size](int i) { return std::clamp(i, 0, source_size - 1); };
    blends.push_back({inside(first), inside(first + 1),
                      static_cast<int>(std::nearbyint((1.0f - share) * kOne)),
                      static_cast<int>(std::nearbyint(share * kOne))});
  }
  return blends;
}

// Bilinear, in whole numbers; exact where nothing is to be enlarged.
void enlarge(const Crop &crop, const ImageSpec &spec, std::vector<uint8_t> &resized) {
  const std::vector<Blend> columns = blends(crop.width, spec.width, true);
  const std::vector<Blend> rows = blends(crop.height, spec.height, false);
  uint8_t *target = resized.data();
  for (const Blend &row : rows) {
    const uint8_t *upper = crop.row(row.first), *lower = crop.row(row.second);
    for (const Blend &column : columns) {
      for (int c = 0; c < kChannels; ++c) {
        const auto blended = [&](const uint8_t *source) {
          return source[column.first * kChannels + c] * column.first_weight +
                 source[column.second * kChannels + c] * column.second_weight;
        };
        const int up = (row.first_weight * (blended(upper) >> 4)) >> 16;
        const int down = (row.second_weight * (blended(lower) >> 4)) >> 16;
        *target++ = static_cast<uint8_t>((up + down + 2) >> 2);
      }
    }
  }
}

}  // namespace

std::vector<uint8_t> crop_and_resize(const Picture &picture, const ImageSpec &spec) {
  const Crop crop = centred_crop(picture, spec);
  std::vector<uint8_t> resized(size_t{kChannels} * static_cast<size_t>(spec.width) *
                               static_cast<size_t>(spec.height));
  if (crop.height <= spec.height) {
    enlarge(crop, spec, resized);
  } else if (crop.height % spec.height == 0 && crop.width % spec.width == 0) {
    shrink_by_whole_number(crop, crop.width / spec.width, crop.height / spec.height, spec, resized);
  } else {
    shrink_by_shares(crop, spec, resized);
  }
  return resized;
}

std::vector<float> normalise(const std::vector<uint8_t> &rgb, const ImageSpec &spec) {
  const size_t plane = rgb.size() / kChannels;
  std::vector<float> normal(rgb.size());
  for (size_t c = 0; c < kChannels; ++c) {
    const float mean = static_cast<float>(spec.mean[c]), std = static_cast<float>(spec.std[c]);
    for (size_t i = 0; i < plane; ++i) {
      const float unit = static_cast<float>(rgb[i * kChannels + c]) / 255.0f;
      normal[c * plane + i] = (unit - mean) / std;
    }
  }
  return normal;
}

std::vector<uint8_t> to_pixels(const std::vector<float> &normal, const ImageSpec &spec) {
  const size_t plane = static_cast<size_t>(spec.width) * static_cast<size_t>(spec.height);
  std::vector<uint8_t> rgb(plane * kChannels);
  for (size_t c = 0; c < kChannels; ++c) {
    const float mean = static_cast<float>(spec.mean[c]), std = static_cast<float>(spec.std[c]);
    for (size_t i = 0; i < plane; ++i) {
      const float unit = normal[c * plane + i] * std + mean;
      rgb[i * kChannels + c] = to_byte(unit * 255.0f);
    }
  }
  return rgb;
}

}  // namespace echoes
