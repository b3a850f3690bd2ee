// Batch norm, sigmoid and 2x2 pooling of one channel of a block, each way in one pass, and the sums before them.
#pragma once

#include "blocks.hpp"

namespace bnproof::lenet {

// Mean and squared deviations of a plane of `values` vectors; of the lanes in the mask.
template <typename Number>
inline Moments<double> moments_of(const Lanes<Number>* x, int row, int rows, const Lanes<Number>& mask, double count) {
  double sum = 0;
  Lanes<Number> all{};
  for (int r = 0; r < rows; ++r) {
    Lanes<Number> of_row{};
    for (int v = 0; v < row; ++v) of_row += x[r * row + v];
    all += of_row;
  }
  sum = total<Number>(mask * all);
  const Number middle = static_cast<Number>(sum / count);
  Lanes<Number> apart{}, squares{};  // from the rounded mean: what it lacks is made up for below
  for (int r = 0; r < rows; ++r) {
    Lanes<Number> of_row{}, squares_of_row{};
    for (int v = 0; v < row; ++v) {
      const Lanes<Number> d = x[r * row + v] - middle;
      of_row += d;
      squares_of_row += d * d;
    }
    apart += of_row;
    squares += squares_of_row;
  }
  const double rest = total<Number>(mask * apart);
  return {static_cast<double>(middle) + rest / count, total<Number>(mask * squares) - rest * rest / count};
}

// What a channel is normalized by.
template <typename Number>
struct Forward {
  Number mean, factor, beta;
};

template <typename Number>
inline Lanes<Number> activated(Lanes<Number> x, const Forward<Number>& by) {
  return sigmoid<Number>((x - by.mean) * by.factor + by.beta);
}

// s (side, side), the sigmoid of normalized x, unless it is null; and the averages of its 2x2 squares.
template <int side, typename Number>
inline void activate(const Lanes<Number>* x, Lanes<Number>* s, Lanes<Number>* pooled, const Forward<Number>& by) {
  for (int h = 0; h < side; h += 2) {
    for (int w = 0; w < side; w += 2) {
      const int at = h * side + w;
      const Lanes<Number> a = activated<Number>(x[at], by), b = activated<Number>(x[at + 1], by);
      const Lanes<Number> c = activated<Number>(x[at + side], by), d = activated<Number>(x[at + side + 1], by);
      if (s) s[at] = a, s[at + 1] = b, s[at + side] = c, s[at + side + 1] = d;
      pooled[(h / 2) * (side / 2) + w / 2] = ((a + c) + (b + d)) * Number(0.25);
    }
  }
}

// What dx of a channel is made of: dx = factor * (dy - offset - (x - mean) * slope).
template <typename Number>
struct Backward {
  Number mean, factor, offset, slope;
};

// The gradient by what batch norm gave, of that by the average of a square.
template <int side, typename Number>
inline Lanes<Number> before_sigmoid(const Lanes<Number>* s, const Lanes<Number>* dpooled, int h, int w) {
  const Lanes<Number> at = s[h * side + w];
  return dpooled[(h / 2) * (side / 2) + w / 2] * Number(0.25) * (at * (1 - at));
}

// Lanes without an example have dpooled = 0, and add nothing.
template <int side, typename Number>
inline GradientSums<double> gradient_sums(const Lanes<Number>* x, const Lanes<Number>* s, const Lanes<Number>* dpooled,
                                          Number mean) {
  Lanes<Number> sum{}, product{};
  for (int h = 0; h < side; ++h) {
    Lanes<Number> of_row{}, product_of_row{};
    for (int w = 0; w < side; ++w) {
      const Lanes<Number> dy = before_sigmoid<side, Number>(s, dpooled, h, w);
      of_row += dy;
      product_of_row += dy * (x[h * side + w] - mean);
    }
    sum += of_row;
    product += product_of_row;
  }
  return {total<Number>(sum), total<Number>(product)};
}

// dx (side, side), 0 in lanes without an example; its sum.
template <int side, typename Number>
inline double input_gradient_of_norm(const Lanes<Number>* x, const Lanes<Number>* s, const Lanes<Number>* dpooled,
                                     Lanes<Number>* dx, const Backward<Number>& by, const Lanes<Number>& mask) {
  Lanes<Number> sum{};
  for (int h = 0; h < side; ++h) {
    Lanes<Number> of_row{};
    for (int w = 0; w < side; ++w) {
      const Lanes<Number> dy = before_sigmoid<side, Number>(s, dpooled, h, w);
      const Lanes<Number> d = mask * (by.factor * (dy - by.offset - (x[h * side + w] - by.mean) * by.slope));
      dx[h * side + w] = d;
      of_row += d;
    }
    sum += of_row;
  }
  return total<Number>(sum);
}

}  // namespace bnproof::lenet
