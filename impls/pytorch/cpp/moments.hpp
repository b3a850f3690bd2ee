// Mean and sum of squared deviations of parts, merged as Chan, Golub and LeVeque (1983) do.
#pragma once

#include <cstdint>

namespace bnproof {

template <typename Number>
struct Moments {
  Number mean, squares;  // squares: the sum of squared deviations
};

// `part`, of `size` values, is added to `all`, of `before` values; size <= before, or before = 0.
// A number per channel, or a vector of channels.
template <typename Scalar, typename Number>
inline void merge(Moments<Number>& all, int64_t before, const Moments<Number>& part, int64_t size) {
  if (before == 0) {
    all = part;
    return;
  }
  const Scalar share = static_cast<Scalar>(size) / static_cast<Scalar>(before + size);
  const Number apart = part.mean - all.mean;
  all.mean += apart * share;
  all.squares += part.squares + apart * apart * (share * static_cast<Scalar>(before));
}

// What a channel's y and dx are made of.
template <typename Number>
struct PerChannel {
  const Number* mean;
  const Number* factor;  // gamma * scale
  const Number* offset;  // y = (x - mean) * factor + offset
};

template <typename Number>
struct PerChannelBackward {
  const Number* mean;
  const Number* factor;     // dx = factor * (dy - offset - (x - mean) * slope)
  const Number* offset;
  const Number* slope;
};

// Sums over a channel of dy, and of dy * (x - mean).
template <typename Number>
struct GradientSums {
  Number dy, product;
};

// x as (outer, channels, inner), in the order of the memory.
struct Layout {
  int64_t outer, channels, inner;
  int64_t values() const { return outer * inner; }  // per channel
  int64_t size() const { return outer * channels * inner; }
};

// Bytes of x up to which the arrays of a call stay in a cache.
constexpr int64_t IN_CACHE = 1 << 22;

// Below this many values a second thread costs more than it saves.
constexpr int64_t GRAIN = 32768;

}  // namespace bnproof
