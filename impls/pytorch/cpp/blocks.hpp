// LeNet's images in blocks: as many examples as a vector has lanes, one in each lane. An array of a block is written
// (C, H, W), its lanes left out.
#pragma once

#include <algorithm>
#include <cmath>

#include "lanes.hpp"
#include "moments.hpp"

namespace bnproof::lenet {

template <typename Number>
constexpr int LANES = VECTOR_BYTES / sizeof(Number);
template <typename Number>
using Lanes = Vector<Number, LANES<Number>>;

constexpr int KERNEL = 5;
constexpr int IMAGE = 28, SIDE1 = 24, SIDE2 = 8;  // of an image, and of what the two convolutions give
constexpr int CHANNELS1 = 6, CHANNELS2 = 16;
constexpr int FEATURES = CHANNELS2 * SIDE2 * SIDE2 / 4;  // what the first dense layer takes

constexpr int plane(int side) { return side * side; }

// The examples of a batch in blocks; the last may have lanes without one.
template <typename Number>
struct Blocks {
  int64_t examples;
  int64_t count() const { return (examples + LANES<Number> - 1) / LANES<Number>; }
  int64_t first(int64_t block) const { return block * LANES<Number>; }
  int filled(int64_t block) const {
    return static_cast<int>(std::min<int64_t>(LANES<Number>, examples - first(block)));
  }
  // 1 in lanes with an example, else 0.
  Lanes<Number> mask(int64_t block) const {
    Lanes<Number> ones{};
    for (int lane = 0; lane < filled(block); ++lane) ones[lane] = 1;
    return ones;
  }
};

template <typename Number>
using WideLanes = Vector<double, LANES<Number>>;

template <typename Number>
inline WideLanes<Number> wide(Lanes<Number> lanes) {
  return __builtin_convertvector(lanes, WideLanes<Number>);
}

template <typename Number>
inline double total(Lanes<Number> lanes) {
  return sum_of_lanes<double, LANES<Number>>(wide<Number>(lanes));
}

// exp by Cephes' polynomial after the reduction of Cody and Waite: within a unit of roundoff or two, for |x| <= 87.
inline Lanes<float> exponential(Lanes<float> x) {
  constexpr float LOG2E = 1.44269504088896341f, LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
  constexpr float ROUNDS = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
  const Lanes<float> shifted = x * LOG2E + ROUNDS;
  const Lanes<float> power = shifted - ROUNDS;
  const Lanes<float> r = (x - power * LN2_HIGH) - power * LN2_LOW;
  Lanes<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  using Bits = Vector<int32_t, LANES<float>>;
  Bits exponent, value;
  std::memcpy(&exponent, &shifted, sizeof exponent);  // the integer is in the low bits
  std::memcpy(&value, &p, sizeof value);
  value += exponent << 23;
  std::memcpy(&p, &value, sizeof p);
  return p;
}

inline Lanes<double> exponential(Lanes<double> x) {
  for (int lane = 0; lane < LANES<double>; ++lane) x[lane] = std::exp(x[lane]);
  return x;
}

// 1/(1 + exp(-x)); a NaN stays one.
template <typename Number>
inline Lanes<Number> sigmoid(Lanes<Number> x) {
  constexpr Number MOST = sizeof(Number) == 4 ? 87 : 700;
  Lanes<Number> within = x > MOST ? Lanes<Number>{} + MOST : x;
  within = within < -MOST ? Lanes<Number>{} - MOST : within;
  const Lanes<Number> s = 1 / (1 + exponential(-within));
  return x == x ? s : x;
}

}  // namespace bnproof::lenet
