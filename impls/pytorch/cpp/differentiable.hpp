// The closed form of the gradients by PyTorch's own operations, for a backward pass that is differentiated in turn.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>

namespace bnproof {

struct BackwardInputs {
  at::Tensor x, gamma, dy, kept;  // kept: (2, C), mean and var
  double eps;
  bool eps_inside;
  int64_t channel_axis;
  bool training;
};

// (dx, dgamma, dbeta)
inline std::vector<at::Tensor> differentiable_gradients(const BackwardInputs& in) {
  std::vector<int64_t> axes, shape(in.x.dim(), 1);
  for (int64_t axis = 0; axis < in.x.dim(); ++axis)
    if (axis != in.channel_axis) axes.push_back(axis);
  shape[in.channel_axis] = in.x.size(in.channel_axis);
  const auto x = in.x.to(in.gamma.scalar_type()), dy = in.dy.to(in.gamma.scalar_type());
  const auto apart = x - (in.training ? x.mean(axes, true) : in.kept[0].view(shape));
  const auto var = in.training ? apart.square().mean(axes, true) : in.kept[1].view(shape);
  const auto positive = var != 0;  // a NaN is to show
  const auto std = at::where(positive, var, 1).sqrt();  // without a slope at 0, where it would be infinite
  const auto scale =
      in.eps_inside ? (var + in.eps).sqrt().reciprocal() : (at::where(positive, std, 0) + in.eps).reciprocal();
  const auto dbeta = dy.sum(axes, true), dgamma = (dy * apart * scale).sum(axes, true);
  const auto factor = in.gamma.view(shape) * scale;
  auto dx = dy;
  if (in.training) {
    const double n = static_cast<double>(in.x.numel() / in.gamma.numel());
    const auto slope = in.eps_inside ? scale : at::where(positive, 1 / std, 0);
    dx = dy - dbeta / n - apart * slope * dgamma / n;
  }
  return {(dx * factor).to(in.x.scalar_type()), dgamma.flatten(), dbeta.flatten()};
}

}  // namespace bnproof
