// LeNet's parameters and moving statistics as pointers, in the order in which Python gives them.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/util/strides.h>

#include "blocks.hpp"

namespace bnproof::lenet {

using at::Tensor;

constexpr int NORMS = 4;
constexpr int WIDTHS[NORMS] = {CHANNELS1, CHANNELS2, 120, 84};  // channels of each norm
constexpr int CLASSES = 10;
constexpr int PARAMETERS = 4 * NORMS + 2;  // weight, bias, gamma, beta of a layer, four times; weight, bias of the last

inline std::vector<std::vector<int64_t>> parameter_sizes() {
  std::vector<std::vector<int64_t>> sizes = {
      {CHANNELS1, 1, KERNEL, KERNEL}, {CHANNELS2, CHANNELS1, KERNEL, KERNEL}, {WIDTHS[2], FEATURES},
      {WIDTHS[3], WIDTHS[2]},         {CLASSES, WIDTHS[3]}};
  std::vector<std::vector<int64_t>> all;
  for (int layer = 0; layer <= NORMS; ++layer) {
    all.push_back(sizes[layer]);
    for (int part = 0; part < (layer < NORMS ? 3 : 1); ++part) all.push_back({sizes[layer][0]});
  }
  return all;
}

// Tensors of whole vectors, cut from one piece of memory; or nothing but their size, where there is none.
class Arena {
 public:
  explicit Arena(const Tensor& memory) : memory_(memory) {}

  Tensor take(at::IntArrayRef sizes) {
    int64_t count = 1;
    for (const int64_t size : sizes) count *= size;
    const int64_t from = used_;
    used_ += (count + ALIGNED - 1) / ALIGNED * ALIGNED;
    if (!memory_.defined()) return {};
    const auto strides = c10::contiguous_strides(sizes);
    return memory_.as_strided(sizes, strides, from);  // one view, where narrow and view are two
  }
  int64_t used() const { return used_; }

 private:
  static constexpr int64_t ALIGNED = 16;  // values: 64 bytes and more
  Tensor memory_;
  int64_t used_ = 0;
};

// What a step needs beside the network. Blocks are counted in whole vectors.
struct Workspace {
  Workspace(Arena& arena, int64_t n, int64_t lanes) {
    const int64_t blocks = (n + lanes - 1) / lanes;
    images = arena.take({blocks, IMAGE, IMAGE, lanes});
    x[0] = arena.take({blocks, CHANNELS1, SIDE1, SIDE1, lanes});
    s[0] = arena.take({blocks, CHANNELS1, SIDE1, SIDE1, lanes});
    pooled = arena.take({blocks, CHANNELS1, SIDE1 / 2, SIDE1 / 2, lanes});
    dpooled = arena.take({blocks, CHANNELS1, SIDE1 / 2, SIDE1 / 2, lanes});
    x[1] = arena.take({blocks, CHANNELS2, SIDE2, SIDE2, lanes});
    s[1] = arena.take({blocks, CHANNELS2, SIDE2, SIDE2, lanes});
    dfeatures_in_blocks = arena.take({blocks, FEATURES, lanes});
    features = arena.take({n, FEATURES});
    dfeatures = arena.take({n, FEATURES});
    for (int layer = 2; layer < NORMS; ++layer) {
      x[layer] = arena.take({n, WIDTHS[layer]});
      s[layer] = arena.take({n, WIDTHS[layer]});
      dx[layer] = arena.take({n, WIDTHS[layer]});
      ds[layer] = arena.take({n, WIDTHS[layer]});
    }
    logits = arena.take({n, CLASSES});
    dlogits = arena.take({n, CLASSES});
    partial1 = arena.take({blocks, CHANNELS1 * KERNEL * KERNEL, lanes});
    partial2 = arena.take({blocks, CHANNELS2 * CHANNELS1 * KERNEL * KERNEL, lanes});
    for (const auto& sizes : parameter_sizes()) gradients.push_back(arena.take(sizes));
  }

  Tensor images, x[NORMS], s[NORMS], pooled, dpooled, dfeatures_in_blocks, features, dfeatures;
  Tensor dx[NORMS], ds[NORMS], logits, dlogits;  // of the dense layers
  Tensor partial1, partial2;  // the gradients of the convolutions' weights, a part for each thread
  std::vector<Tensor> gradients;
};

}  // namespace bnproof::lenet
