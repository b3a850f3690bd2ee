// One call of the layer: sums over each channel, what follows from them, and the pass that uses it.
#pragma once

#include <cmath>
#include <limits>

#include "columns.hpp"
#include "moments.hpp"
#include "rows.hpp"

namespace bnproof {

template <typename Number>
struct Parameters {
  const Number *gamma, *beta;
  double eps;
  bool eps_inside;  // the root
};

template <typename Number>
Number inverse_std(Number var, double eps, bool inside) {
  const Number small = static_cast<Number>(eps);
  return inside ? 1 / std::sqrt(var + small) : 1 / (std::sqrt(var) + small);
}

// How the scale depends on var, relative to the -scale^3/2 that the closed form assumes. A constant channel takes none.
template <typename Number>
Number variance_slope(Number var, Number scale, bool inside) {
  if (inside) return 1;
  const Number std = std::sqrt(var);
  return std > 0 ? 1 / (scale * std) : (var == var ? Number(0) : var);
}

// The moving averages, and how they move.
template <typename Number>
struct Moving {
  Number *mean, *var;
  double momentum;
  bool keeps;   // momentum is the weight of the old value
  bool bessel;  // the variance that is averaged is n/(n - 1) times the biased one
  void move(int64_t channel, Number batch_mean, Number batch_var, int64_t n) const {
    const Number given = static_cast<Number>(momentum), rest = 1 - given;
    const Number keep = keeps ? given : rest, add = keeps ? rest : given;
    if (bessel) batch_var *= static_cast<Number>(static_cast<double>(n) / static_cast<double>(n - 1));
    mean[channel] = keep * mean[channel] + add * batch_mean;
    var[channel] = keep * var[channel] + add * batch_var;
  }
};

template <typename Value>
bool by_columns(const Layout& layout) {
  return layout.inner < WIDTH<Value>;
}

// Calls body(grid, width) with the lanes of a vector, a constant.
template <typename Value, typename Body>
void in_columns(const Layout& layout, Body body) {
  const auto grid = columns::grid_of(layout, WIDTH<Value>);
  if (grid.width == 1) return body(grid, std::integral_constant<int, 1>{});
  body(grid, std::integral_constant<int, WIDTH<Value>>{});
}

// y by statistics that are known.
template <typename Value>
void predict(const Value* x, Value* y, const Layout& layout, const Parameters<Work<Value>>& parameters,
             const Work<Value>* mean, const Work<Value>* var) {
  using Number = Work<Value>;
  std::vector<Number> factor(layout.channels);
  for (int64_t c = 0; c < layout.channels; ++c)
    factor[c] = parameters.gamma[c] * inverse_std(var[c], parameters.eps, parameters.eps_inside);
  const PerChannel<Number> by{mean, factor.data(), parameters.beta};
  if (by_columns<Value>(layout))
    return in_columns<Value>(
        layout, [&](const columns::Grid& grid, auto width) { columns::normalize<width>(x, y, grid, by); });
  rows::normalize_in_order(x, y, layout, by);
}

// y by the statistics of x, which are put into mean and var.
template <typename Value>
void train(const Value* x, Value* y, const Layout& layout, const Parameters<Work<Value>>& parameters,
           const Moving<Work<Value>>& moving, Work<Value>* mean, Work<Value>* var) {
  using Number = Work<Value>;
  std::vector<Number> factor(layout.channels);
  const auto finish = [&](int64_t c, const Moments<double>& moments) {
    mean[c] = static_cast<Number>(moments.mean);
    var[c] = static_cast<Number>(moments.squares / static_cast<double>(layout.values()));
    factor[c] = parameters.gamma[c] * inverse_std(var[c], parameters.eps, parameters.eps_inside);
    moving.move(c, mean[c], var[c], layout.values());
  };
  const PerChannel<Number> by{mean, factor.data(), parameters.beta};
  if (by_columns<Value>(layout)) {
    return in_columns<Value>(layout, [&](const columns::Grid& grid, auto width) {
      const auto moments = columns::moments_of<width>(x, grid, layout.channels);
      for (int64_t c = 0; c < layout.channels; ++c) finish(c, moments[c]);
      columns::normalize<width>(x, y, grid, by);
    });
  }
  rows::ask_for_all_pages(y, layout);
  const int64_t pieces = rows::pieces_of(layout);
  std::vector<Moments<double>> parts(layout.channels * pieces);
  std::vector<int64_t> counts(pieces);
  for (int64_t p = 0; p < pieces; ++p)
    counts[p] = (layout.outer * (p + 1) / pieces - layout.outer * p / pieces) * layout.inner;
  rows::for_each_channel(
      layout, pieces,
      [&](int64_t channel, int64_t first, int64_t last, int64_t piece) {
        parts[channel * pieces + piece] = rows::moments_of(x, layout, channel, first, last);
      },
      [&](int64_t channel) {
        Moments<double> all{0, 0};
        int64_t count = 0;
        for (int64_t p = 0; p < pieces; count += counts[p++])
          merge<double>(all, count, parts[channel * pieces + p], counts[p]);
        finish(channel, all);
      },
      [&](int64_t channel, int64_t first, int64_t last) { rows::normalize(x, y, layout, by, channel, first, last); });
}

// What the backward pass gives; dx may be null.
template <typename Value>
struct Gradients {
  Value* dx;
  Work<Value>*dgamma, *dbeta;
};

// dx = gamma * scale * (dy - dbeta/n - (x - mean) * scale * slope * dgamma/n); without the last two terms where mean
// and var are constants.
template <typename Value>
void backward(const Value* x, const Value* dy, const Gradients<Value>& to, const Layout& layout,
              const Parameters<Work<Value>>& parameters, const Work<Value>* mean, const Work<Value>* var,
              bool training) {
  using Number = Work<Value>;
  std::vector<Number> factor(layout.channels), offset(layout.channels), slope(layout.channels);
  const auto finish = [&](int64_t c, const GradientSums<double>& sums) {
    const Number scale = inverse_std(var[c], parameters.eps, parameters.eps_inside);
    const Number n = static_cast<Number>(layout.values());
    to.dbeta[c] = static_cast<Number>(sums.dy);
    to.dgamma[c] = static_cast<Number>(sums.product) * scale;
    factor[c] = parameters.gamma[c] * scale;
    offset[c] = training ? to.dbeta[c] / n : 0;
    slope[c] = training ? scale * variance_slope(var[c], scale, parameters.eps_inside) * to.dgamma[c] / n : 0;
  };
  const PerChannelBackward<Number> by{mean, factor.data(), offset.data(), slope.data()};
  if (by_columns<Value>(layout)) {
    return in_columns<Value>(layout, [&](const columns::Grid& grid, auto width) {
      const auto sums = columns::gradient_sums<width>(x, dy, grid, mean, layout.channels);
      for (int64_t c = 0; c < layout.channels; ++c) finish(c, sums[c]);
      if (to.dx) columns::input_gradient<width>(x, dy, to.dx, grid, by);
    });
  }
  if (to.dx) rows::ask_for_all_pages(to.dx, layout);
  const int64_t pieces = rows::pieces_of(layout);
  std::vector<GradientSums<double>> parts(layout.channels * pieces);
  rows::for_each_channel(
      layout, pieces,
      [&](int64_t channel, int64_t first, int64_t last, int64_t piece) {
        parts[channel * pieces + piece] = rows::gradient_sums(x, dy, layout, mean[channel], channel, first, last);
      },
      [&](int64_t channel) {
        GradientSums<double> all{0, 0};
        for (int64_t p = 0; p < pieces; ++p) {
          all.dy += parts[channel * pieces + p].dy;
          all.product += parts[channel * pieces + p].product;
        }
        finish(channel, all);
      },
      [&](int64_t channel, int64_t first, int64_t last) {
        if (to.dx) rows::input_gradient(x, dy, to.dx, layout, by, channel, first, last);
      });
}

}  // namespace bnproof
