// LeNet forward and backward over a batch. Between two passes over the blocks lie what needs all of the batch: batch
// norm's statistics, and the sums of its gradient.
#pragma once

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include "activation.hpp"
#include "convolution.hpp"
#include "layer.hpp"
#include "lenet_network.hpp"
#include "pixels.hpp"

namespace bnproof::lenet {

struct Settings {
  double eps, momentum;
};

template <typename Number>
class Pass {
 public:
  using L = Lanes<Number>;

  Pass(const std::vector<Tensor>& parameters, const std::vector<Tensor>& moving, Workspace& work, int64_t examples,
       const Settings& settings)
      : parameters_(parameters), moving_(moving), work_(work), blocks_{examples}, settings_(settings) {}

  // --- forward: images (., 28, 28) of these indices -> logits (n, 10), in the workspace ---

  void forward(const uint8_t* images, const int64_t* batch) {
    std::vector<Moments<double>> moments(blocks_.count() * CHANNELS2);
    for_each_block(blocks_.count(), [&](int64_t block, int64_t) {
      L* pixels = lanes(work_.images, block);
      scale_into<Number>(images, batch + blocks_.first(block), blocks_.filled(block), pixels);
      convolve_all<1, SIDE1, CHANNELS1>(0, pixels, lanes(work_.x[0], block), block, moments);
    });
    const auto by1 = statistics<CHANNELS1>(0, plane(SIDE1), moments);
    for_each_block(blocks_.count(), [&](int64_t block, int64_t) {
      L* pooled = lanes(work_.pooled, block);
      activate_all<SIDE1, CHANNELS1>(0, block, by1, pooled);
      convolve_all<CHANNELS1, SIDE2, CHANNELS2>(1, pooled, lanes(work_.x[1], block), block, moments);
    });
    const auto by2 = statistics<CHANNELS2>(1, plane(SIDE2), moments);
    for_each_block(blocks_.count(), [&](int64_t block, int64_t) {
      L pooled[FEATURES];
      activate_all<SIDE2, CHANNELS2>(1, block, by2, pooled);
      put_features(block, pooled);
    });
    dense_layers(true);
  }

  // --- prediction: the same by the moving statistics; each block goes through both convolutions at once ---

  void predict(const uint8_t* images, const int64_t* batch) {
    const auto by1 = moving_statistics<CHANNELS1>(0);
    const auto by2 = moving_statistics<CHANNELS2>(1);
    for_each_block(blocks_.count(), [&](int64_t block, int64_t run) {  // in the memory of the run's first block
      L *pixels = lanes(work_.images, run), *x1 = lanes(work_.x[0], run), *x2 = lanes(work_.x[1], run);
      L *pooled1 = lanes(work_.pooled, run), pooled2[FEATURES];
      scale_into<Number>(images, batch + blocks_.first(block), blocks_.filled(block), pixels);
      for (int k = 0; k < CHANNELS1; k += OUTPUTS) {
        convolve<1, SIDE1, OUTPUTS, Number>(pixels, parameter(0, 0), parameter(0, 1), x1, k);
        for (int own = k; own < k + OUTPUTS; ++own)
          activate<SIDE1, Number>(x1 + own * plane(SIDE1), nullptr, pooled1 + own * plane(SIDE1 / 2), by1[own]);
      }
      for (int k = 0; k < CHANNELS2; k += OUTPUTS) {
        convolve<CHANNELS1, SIDE2, OUTPUTS, Number>(pooled1, parameter(1, 0), parameter(1, 1), x2, k);
        for (int own = k; own < k + OUTPUTS; ++own)
          activate<SIDE2, Number>(x2 + own * plane(SIDE2), nullptr, pooled2 + own * plane(SIDE2 / 2), by2[own]);
      }
      put_features(block, pooled2);
    });
    dense_layers(false);
  }

  // --- backward: dlogits (n, 10), in the workspace -> the gradient of every parameter ---

  void backward() {
    dense_backward(NORMS, work_.dlogits, work_.ds[NORMS - 1]);
    for (int layer = NORMS - 1; layer >= 2; --layer) {
      Number* ds = numbers(work_.ds[layer]);
      const Number* s = numbers(work_.s[layer]);
      for_each_vector_of(work_.ds[layer],
                         [&](int64_t at) { put(ds + at, get(ds + at) * (get(s + at) * (1 - get(s + at)))); });
      normalize_backward(layer);
      dense_backward(layer, work_.dx[layer], layer > 2 ? work_.ds[layer - 1] : work_.dfeatures);
    }
    convolutions_backward();
  }

 private:
  // --- memory ---

  static Number* numbers(const Tensor& tensor) { return tensor.mutable_data_ptr<Number>(); }
  static L* lanes(const Tensor& tensor, int64_t block) {
    return reinterpret_cast<L*>(numbers(tensor) + block * tensor.stride(0));
  }
  const Number* parameter(int layer, int part) const { return numbers(parameters_[4 * layer + part]); }
  Tensor& gradient(int layer, int part) { return work_.gradients[4 * layer + part]; }
  static L get(const Number* from) { return load<LANES<Number>>(from); }
  static void put(Number* to, L lanes) { store<LANES<Number>>(to, lanes); }

  // Tensors of the workspace end with a whole vector.
  template <typename Body>
  static void for_each_vector_of(const Tensor& tensor, Body body) {
    for (int64_t at = 0; at < tensor.numel(); at += LANES<Number>) body(at);
  }

  // --- convolutions ---

  template <int C, int side, int K>
  void convolve_all(int layer, const L* x, L* y, int64_t block, std::vector<Moments<double>>& moments) {
    const L mask = blocks_.mask(block);
    const double count = static_cast<double>(blocks_.filled(block)) * plane(side);
    for (int k = 0; k < K; k += OUTPUTS) {
      convolve<C, side, OUTPUTS, Number>(x, parameter(layer, 0), parameter(layer, 1), y, k);
      for (int own = k; own < k + OUTPUTS; ++own)
        moments[block * CHANNELS2 + own] = moments_of<Number>(y + own * plane(side), side, side, mask, count);
    }
  }

  template <int side, int K>
  void activate_all(int layer, int64_t block, const std::array<Forward<Number>, K>& by, L* pooled) {
    const L* x = lanes(work_.x[layer], block);
    L* s = lanes(work_.s[layer], block);
    for (int k = 0; k < K; ++k)
      activate<side, Number>(x + k * plane(side), s + k * plane(side), pooled + k * plane(side / 2), by[k]);
  }

  // By the moments of the blocks; the moving statistics move.
  template <int K>
  std::array<Forward<Number>, K> statistics(int layer, int values, const std::vector<Moments<double>>& moments) {
    std::array<Forward<Number>, K> by;
    for (int k = 0; k < K; ++k) {
      Moments<double> all{0, 0};
      int64_t before = 0;
      for (int64_t block = 0; block < blocks_.count(); ++block) {
        const int64_t size = static_cast<int64_t>(blocks_.filled(block)) * values;
        merge<double>(all, before, moments[block * CHANNELS2 + k], size);
        before += size;
      }
      const Number mean = static_cast<Number>(all.mean), var = static_cast<Number>(all.squares / before);
      const Number scale = inverse_std(var, settings_.eps, true);
      by[k] = {mean, parameter(layer, 2)[k] * scale, parameter(layer, 3)[k]};
      means_[layer][k] = mean, scales_[layer][k] = scale;
      moving(layer).move(k, mean, var, before);
    }
    return by;
  }

  Moving<Number> moving(int layer) const {
    return {numbers(moving_[2 * layer]), numbers(moving_[2 * layer + 1]), settings_.momentum, true, false};
  }

  template <int K>
  std::array<Forward<Number>, K> moving_statistics(int layer) const {
    std::array<Forward<Number>, K> by;
    const Moving<Number> at = moving(layer);
    for (int k = 0; k < K; ++k)
      by[k] = {at.mean[k], parameter(layer, 2)[k] * inverse_std(at.var[k], settings_.eps, true), parameter(layer, 3)[k]};
    return by;
  }

  void put_features(int64_t block, const L* pooled) {
    Number* rows = numbers(work_.features) + blocks_.first(block) * FEATURES;
    for (int lane = 0; lane < blocks_.filled(block); ++lane)
      for (int i = 0; i < FEATURES; ++i) rows[lane * FEATURES + i] = pooled[i][lane];
  }

  void convolutions_backward() {
    std::vector<GradientSums<double>> sums(blocks_.count() * CHANNELS2);
    for_each_block(blocks_.count(), [&](int64_t block, int64_t) {
      L* d = lanes(work_.dfeatures_in_blocks, block);
      const Number* rows = numbers(work_.dfeatures) + blocks_.first(block) * FEATURES;
      for (int i = 0; i < FEATURES; ++i) {
        d[i] = L{};
        for (int lane = 0; lane < blocks_.filled(block); ++lane) d[i][lane] = rows[lane * FEATURES + i];
      }
      sum_all<SIDE2, CHANNELS2>(1, block, d, sums);
    });
    const auto by2 = gradients_of_norm<CHANNELS2>(1, plane(SIDE2), sums);
    std::vector<char> started(blocks_.count());
    std::vector<double> shares(blocks_.count() * CHANNELS2);  // of the biases' gradients
    for_each_block(blocks_.count(), [&](int64_t block, int64_t run) {
      L dx[CHANNELS2 * plane(SIDE2)];
      input_gradients<SIDE2, CHANNELS2>(1, block, lanes(work_.dfeatures_in_blocks, block), by2, dx, shares);
      add_weights<CHANNELS1, SIDE2, CHANNELS2, 4>(lanes(work_.pooled, block), dx, work_.partial2, block, run);
      L* dpooled = lanes(work_.dpooled, block);
      input_gradient<CHANNELS1, CHANNELS2, SIDE2, Number>(dx, parameter(1, 0), dpooled);
      sum_all<SIDE1, CHANNELS1>(0, block, dpooled, sums);
      started[run] = 1;
    });
    add_parts(1, work_.partial2, started, shares);
    const auto by1 = gradients_of_norm<CHANNELS1>(0, plane(SIDE1), sums);
    for_each_block(blocks_.count(), [&](int64_t block, int64_t run) {
      std::vector<L> dx(CHANNELS1 * plane(SIDE1));
      input_gradients<SIDE1, CHANNELS1>(0, block, lanes(work_.dpooled, block), by1, dx.data(), shares);
      add_weights<1, SIDE1, CHANNELS1, 3>(lanes(work_.images, block), dx.data(), work_.partial1, block, run);
    });
    add_parts(0, work_.partial1, started, shares);
  }

  template <int side, int K>
  void sum_all(int layer, int64_t block, const L* dpooled, std::vector<GradientSums<double>>& sums) {
    const L *x = lanes(work_.x[layer], block), *s = lanes(work_.s[layer], block);
    for (int k = 0; k < K; ++k)
      sums[block * CHANNELS2 + k] = gradient_sums<side, Number>(
          x + k * plane(side), s + k * plane(side), dpooled + k * plane(side / 2), means_[layer][k]);
  }

  template <int K>
  std::array<Backward<Number>, K> gradients_of_norm(int layer, int values,
                                                    const std::vector<GradientSums<double>>& sums) {
    std::array<Backward<Number>, K> by;
    const Number n = static_cast<Number>(blocks_.examples * values);
    for (int k = 0; k < K; ++k) {
      GradientSums<double> all{0, 0};
      for (int64_t block = 0; block < blocks_.count(); ++block) {
        all.dy += sums[block * CHANNELS2 + k].dy;
        all.product += sums[block * CHANNELS2 + k].product;
      }
      const Number scale = scales_[layer][k];
      const Number dgamma = static_cast<Number>(all.product) * scale, dbeta = static_cast<Number>(all.dy);
      numbers(gradient(layer, 2))[k] = dgamma;
      numbers(gradient(layer, 3))[k] = dbeta;
      by[k] = {means_[layer][k], parameter(layer, 2)[k] * scale, dbeta / n, scale * dgamma / n};
    }
    return by;
  }

  template <int side, int K>
  void input_gradients(int layer, int64_t block, const L* dpooled, const std::array<Backward<Number>, K>& by, L* dx,
                       std::vector<double>& shares) {
    const L *x = lanes(work_.x[layer], block), *s = lanes(work_.s[layer], block), mask = blocks_.mask(block);
    for (int k = 0; k < K; ++k)
      shares[block * CHANNELS2 + k] = input_gradient_of_norm<side, Number>(
          x + k * plane(side), s + k * plane(side), dpooled + k * plane(side / 2), dx + k * plane(side), by[k], mask);
  }

  // To the part of the run's thread, which begins at 0.
  template <int C, int side, int K, int tile>
  void add_weights(const L* x, const L* dy, const Tensor& parts, int64_t block, int64_t run) {
    L* part = lanes(parts, run);
    constexpr int size = C * KERNEL * KERNEL;
    if (block == run) std::fill(part, part + K * size, L{});
    for (int k = 0; k < K; k += tile)
      add_weight_gradient<C, side, tile, Number>(x, dy + k * plane(side), part + k * size);
  }

  void add_parts(int layer, const Tensor& parts, const std::vector<char>& started, const std::vector<double>& shares) {
    Number *dweight = numbers(gradient(layer, 0)), *dbias = numbers(gradient(layer, 1));
    at::parallel_for(0, gradient(layer, 0).numel(), 256, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        WideLanes<Number> sums{};
        for (int64_t run = 0; run < blocks_.count(); ++run)
          if (started[run]) sums += wide<Number>(lanes(parts, run)[i]);
        dweight[i] = static_cast<Number>(sum_of_lanes<double, LANES<Number>>(sums));
      }
    });
    for (int k = 0; k < WIDTHS[layer]; ++k) {
      double sum = 0;
      for (int64_t block = 0; block < blocks_.count(); ++block) sum += shares[block * CHANNELS2 + k];
      dbias[k] = static_cast<Number>(sum);
    }
  }

  // --- dense layers, by PyTorch's matrix products and the kernels of `layer.hpp` ---

  const Tensor& input_of(int layer) const { return layer == 2 ? work_.features : work_.s[layer - 1]; }

  void dense_layers(bool training) {
    for (int layer = 2; layer < NORMS; ++layer) {
      dense(layer, work_.x[layer]);
      normalize(layer, training);
      Number* s = numbers(work_.s[layer]);
      for_each_vector_of(work_.s[layer], [&](int64_t at) { put(s + at, sigmoid<Number>(get(s + at))); });
    }
    dense(NORMS, work_.logits);
  }

  void dense(int layer, Tensor& y) {
    at::addmm_out(y, parameters_[4 * layer + 1], input_of(layer), parameters_[4 * layer].t());
  }

  void dense_backward(int layer, const Tensor& dy, Tensor& dx) {
    at::mm_out(gradient(layer, 0), dy.t(), input_of(layer));
    std::vector<double> sums(dy.size(1));
    const Number* d = numbers(dy);
    for (int64_t row = 0; row < dy.size(0); ++row)
      for (int64_t k = 0; k < dy.size(1); ++k) sums[k] += static_cast<double>(*d++);
    std::copy(sums.begin(), sums.end(), numbers(gradient(layer, 1)));
    at::mm_out(dx, dy, parameters_[4 * layer]);
  }

  Parameters<Number> norm_parameters(int layer) const {
    return {parameter(layer, 2), parameter(layer, 3), settings_.eps, true};
  }

  void normalize(int layer, bool training) {
    const Layout layout{blocks_.examples, WIDTHS[layer], 1};
    const Number* x = numbers(work_.x[layer]);
    Number* y = numbers(work_.s[layer]);
    const auto by = norm_parameters(layer);
    const Moving<Number> averages = moving(layer);
    if (training)
      train<Number>(x, y, layout, by, averages, means_[layer].data(), variances_[layer].data());
    else
      bnproof::predict<Number>(x, y, layout, by, averages.mean, averages.var);
  }

  void normalize_backward(int layer) {
    const Gradients<Number> to{numbers(work_.dx[layer]), numbers(gradient(layer, 2)), numbers(gradient(layer, 3))};
    bnproof::backward<Number>(numbers(work_.x[layer]), numbers(work_.ds[layer]), to,
                              {blocks_.examples, WIDTHS[layer], 1}, norm_parameters(layer), means_[layer].data(),
                              variances_[layer].data(), true);
  }

  const std::vector<Tensor>&parameters_, &moving_;
  Workspace& work_;
  Blocks<Number> blocks_;
  Settings settings_;
  std::array<std::array<Number, 120>, NORMS> means_, scales_, variances_;
};

}  // namespace bnproof::lenet
