// The 5x5 convolutions of a block of examples, each way. Sums stay in registers while the kernel goes over the image.
#pragma once

#include "blocks.hpp"

namespace bnproof::lenet {

// Output columns and channels whose sums are kept together.
constexpr int COLUMNS = 4;
constexpr int OUTPUTS = REGISTERS == 32 ? 2 : 1;

// y (K, side, side) of x (C, side + 4, side + 4): the channels `first` to `first + tile` (not included).
template <int C, int side, int tile, typename Number>
inline void convolve(const Lanes<Number>* x, const Number* weight, const Number* bias, Lanes<Number>* y, int first) {
  constexpr int wide = side + KERNEL - 1;
  for (int h = 0; h < side; ++h) {
    for (int w = 0; w < side; w += COLUMNS) {
      Lanes<Number> sums[tile][COLUMNS];
#pragma GCC unroll 8
      for (int k = 0; k < tile; ++k)
#pragma GCC unroll 8
        for (int v = 0; v < COLUMNS; ++v) sums[k][v] = Lanes<Number>{} + bias[first + k];
      for (int c = 0; c < C; ++c) {
        for (int i = 0; i < KERNEL; ++i) {
          const Lanes<Number>* row = x + (c * wide + h + i) * wide + w;
          const Number* taps = weight + ((first * C + c) * KERNEL + i) * KERNEL;
#pragma GCC unroll 8
          for (int j = 0; j < KERNEL; ++j)
#pragma GCC unroll 8
            for (int k = 0; k < tile; ++k) {
              const Lanes<Number> tap = Lanes<Number>{} + taps[k * C * KERNEL * KERNEL + j];
#pragma GCC unroll 8
              for (int v = 0; v < COLUMNS; ++v) sums[k][v] += tap * row[v + j];
            }
        }
      }
#pragma GCC unroll 8
      for (int k = 0; k < tile; ++k)
#pragma GCC unroll 8
        for (int v = 0; v < COLUMNS; ++v) y[((first + k) * side + h) * side + w + v] = sums[k][v];
    }
  }
}

// dx (C, side + 4, side + 4) of dy (K, side, side): a row of dx at a time, to which each dy gives five shares.
template <int C, int K, int side, typename Number>
inline void input_gradient(const Lanes<Number>* dy, const Number* weight, Lanes<Number>* dx) {
  constexpr int wide = side + KERNEL - 1, tile = OUTPUTS;
  for (int first = 0; first < C; first += tile) {
    for (int r = 0; r < wide; ++r) {
      Lanes<Number> sums[tile][wide] = {};
      for (int k = 0; k < K; ++k) {
        for (int i = std::max(0, r - side + 1); i <= std::min(KERNEL - 1, r); ++i) {
          const Lanes<Number>* row = dy + (k * side + r - i) * side;
          const Number* taps = weight + ((k * C + first) * KERNEL + i) * KERNEL;
#pragma GCC unroll 8
          for (int c = 0; c < tile; ++c)
#pragma GCC unroll 8
            for (int j = 0; j < KERNEL; ++j) {
              const Lanes<Number> tap = Lanes<Number>{} + taps[c * KERNEL * KERNEL + j];
#pragma GCC unroll 8
              for (int w = 0; w < side; ++w) sums[c][w + j] += tap * row[w];
            }
        }
      }
#pragma GCC unroll 8
      for (int c = 0; c < tile; ++c)
#pragma GCC unroll 16
        for (int v = 0; v < wide; ++v) dx[((first + c) * wide + r) * wide + v] = sums[c][v];
    }
  }
}

// Adds to dweight (tile, C, 5, 5), the part of the channels from `first` on, what a block gives; a number a lane.
template <int C, int side, int tile, typename Number>
inline void add_weight_gradient(const Lanes<Number>* x, const Lanes<Number>* dy, Lanes<Number>* dweight) {
  constexpr int wide = side + KERNEL - 1;
  for (int c = 0; c < C; ++c) {
    for (int i = 0; i < KERNEL; ++i) {
      Lanes<Number> sums[tile][KERNEL] = {};
      for (int h = 0; h < side; ++h) {
        const Lanes<Number>* row = x + (c * wide + h + i) * wide;
        for (int w = 0; w < side; ++w)
#pragma GCC unroll 8
          for (int k = 0; k < tile; ++k) {
            const Lanes<Number> share = dy[(k * side + h) * side + w];
#pragma GCC unroll 8
            for (int j = 0; j < KERNEL; ++j) sums[k][j] += share * row[w + j];
          }
      }
      for (int k = 0; k < tile; ++k)
        for (int j = 0; j < KERNEL; ++j) dweight[((k * C + c) * KERNEL + i) * KERNEL + j] += sums[k][j];
    }
  }
}

}  // namespace bnproof::lenet
