// Batch normalization for the CPU as operators of PyTorch: bnproof::batch_norm_train and bnproof::batch_norm_predict.
//
// Both give None for what they do not take: x that is no plain tensor on the CPU, that has gaps in memory, no value or
// one per channel; parameters of another dtype than that of the arithmetic, float32 or, for float64 x, float64.
// For backward a call keeps x, gamma, and two numbers per channel.

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "differentiable.hpp"
#include "layer.hpp"
#include "tensors.hpp"

namespace bnproof {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Settings {
  double eps;
  bool eps_inside;
  int64_t channel_axis;
  Layout layout;
};

struct MovingTensors {
  Tensor mean, var;
  double momentum;
  bool keeps, bessel;
};

#define FOR_FLOATS(type, name, ...) AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, type, name, __VA_ARGS__)

template <typename Number>
Parameters<Number> parameters_of(const Tensor& gamma, const Number* beta, double eps, bool eps_inside) {
  return {gamma.const_data_ptr<Number>(), beta, eps, eps_inside};
}

// y by the statistics of x, which `kept`, (2, C), gets; the moving ones move.
Tensor trained(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& kept,
               const MovingTensors& moving, const Settings& settings) {
  Tensor y = empty_as(x);
  FOR_FLOATS(x.scalar_type(), "batch_norm_train", [&] {
    using Number = Work<scalar_t>;
    const auto parameters =
        parameters_of<Number>(gamma, beta.const_data_ptr<Number>(), settings.eps, settings.eps_inside);
    const Moving<Number> averages{moving.mean.mutable_data_ptr<Number>(), moving.var.mutable_data_ptr<Number>(),
                                  moving.momentum, moving.keeps, moving.bessel};
    Number* mean = kept.mutable_data_ptr<Number>();
    train(x.const_data_ptr<scalar_t>(), y.mutable_data_ptr<scalar_t>(), settings.layout, parameters, averages, mean,
          mean + settings.layout.channels);
  });
  return y;
}

// Where C numbers of the arithmetic's type lie, each.
struct Given {
  const void *mean, *var;
};

Given given_in(const Tensor& kept) {
  const char* mean = static_cast<const char*>(kept.const_data_ptr());
  return {mean, mean + kept.nbytes() / 2};
}

// y by statistics that are given.
Tensor predicted(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Given& given,
                 const Settings& settings) {
  Tensor y = empty_as(x);
  FOR_FLOATS(x.scalar_type(), "batch_norm_predict", [&] {
    using Number = Work<scalar_t>;
    const auto parameters =
        parameters_of<Number>(gamma, beta.const_data_ptr<Number>(), settings.eps, settings.eps_inside);
    predict(x.const_data_ptr<scalar_t>(), y.mutable_data_ptr<scalar_t>(), settings.layout, parameters,
            static_cast<const Number*>(given.mean), static_cast<const Number*>(given.var));
  });
  return y;
}

variable_list gradients(const Tensor& x, const Tensor& gamma, const Tensor& kept, const Tensor& upstream,
                        const Settings& settings, bool training, bool wants_dx) {
  const Tensor dy = lying_as(upstream, x);
  const Tensor dx = wants_dx ? empty_as(x) : Tensor();
  const Tensor dgamma = at::empty_like(gamma), dbeta = at::empty_like(gamma);
  FOR_FLOATS(x.scalar_type(), "batch_norm_backward", [&] {
    using Number = Work<scalar_t>;
    const auto parameters = parameters_of<Number>(gamma, nullptr, settings.eps, settings.eps_inside);
    const Number* mean = kept.const_data_ptr<Number>();
    const Gradients<scalar_t> to{wants_dx ? dx.mutable_data_ptr<scalar_t>() : nullptr,
                                 dgamma.mutable_data_ptr<Number>(), dbeta.mutable_data_ptr<Number>()};
    backward(x.const_data_ptr<scalar_t>(), dy.const_data_ptr<scalar_t>(), to, settings.layout, parameters, mean,
             mean + settings.layout.channels, training);
  });
  return {dx, dgamma, dbeta};
}

// Training where `moving` is not null, else prediction by the statistics in `kept`.
struct Normalize : torch::autograd::Function<Normalize> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                        const Tensor& kept, const MovingTensors* moving, const Settings& settings) {
    Tensor y = moving ? trained(x, gamma, beta, kept, *moving, settings)
                      : predicted(x, gamma, beta, given_in(kept), settings);
    ctx->save_for_backward({x, gamma, kept});
    ctx->saved_data["eps"] = settings.eps;
    ctx->saved_data["eps_inside"] = settings.eps_inside;
    ctx->saved_data["channel_axis"] = settings.channel_axis;
    ctx->saved_data["training"] = moving != nullptr;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &gamma = saved[1], &kept = saved[2], &dy = upstream[0];
    const bool training = ctx->saved_data["training"].toBool();
    Settings settings{ctx->saved_data["eps"].toDouble(), ctx->saved_data["eps_inside"].toBool(),
                      ctx->saved_data["channel_axis"].toInt(), {}};
    variable_list found;
    if (at::GradMode::is_enabled() || !is_plain(dy)) {
      found = differentiable_gradients(
          {x, gamma, dy, kept, settings.eps, settings.eps_inside, settings.channel_axis, training});
    } else {
      settings.layout = *layout_of(x, settings.channel_axis);
      found = gradients(x, gamma, kept, dy, settings, training, ctx->needs_input_grad(0));
    }
    return {found[0], found[1], found[2], Tensor(), Tensor(), Tensor()};
  }
};

// Whether autograd records this call: what it keeps takes longer than the arithmetic on a small x.
bool is_recorded(const Tensor& x, const Tensor& gamma, const Tensor& beta) {
  return at::GradMode::is_enabled() && (x.requires_grad() || gamma.requires_grad() || beta.requires_grad());
}

std::optional<Settings> settings_for(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                     bool eps_inside, int64_t axis) {
  const int64_t rank = x.dim();
  if (!is_plain(x) || !is_float(x.scalar_type()) || rank < 2 || rank > 5) return std::nullopt;
  if (axis < 0) axis += rank;
  const auto type = work_type(x.scalar_type());
  const int64_t channels = x.size(axis);
  if (!is_per_channel(gamma, channels, type) || !is_per_channel(beta, channels, type)) return std::nullopt;
  if (x.numel() <= channels) return std::nullopt;
  const auto layout = layout_of(x, axis);
  if (!layout) return std::nullopt;
  return Settings{eps, eps_inside, axis, *layout};
}

std::optional<Tensor> batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                       const Tensor& moving_mean, const Tensor& moving_var, const Tensor& updates,
                                       double eps, double momentum, int64_t channel_axis, bool eps_inside, bool keeps,
                                       bool bessel) {
  const auto settings = settings_for(x, gamma, beta, eps, eps_inside, channel_axis);
  if (!settings) return std::nullopt;
  const auto type = work_type(x.scalar_type());
  const int64_t channels = settings->layout.channels;
  if (!is_per_channel(moving_mean, channels, type) || !is_per_channel(moving_var, channels, type) ||
      !is_plain(updates) || updates.scalar_type() != at::kLong || updates.numel() != 1)
    return std::nullopt;
  const MovingTensors moving{moving_mean, moving_var, momentum, keeps, bessel};
  const Tensor kept = at::empty({2, channels}, gamma.options());
  const Tensor y = is_recorded(x, gamma, beta) ? Normalize::apply(x, gamma, beta, kept, &moving, *settings)
                                               : trained(x, gamma, beta, kept, moving, *settings);
  *updates.mutable_data_ptr<int64_t>() += 1;
  for (const Tensor& changed : {moving_mean, moving_var, updates}) changed.unsafeGetTensorImpl()->bump_version();
  return y;
}

std::optional<Tensor> batch_norm_predict(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                         const Tensor& var, double eps, int64_t channel_axis, bool eps_inside) {
  const auto settings = settings_for(x, gamma, beta, eps, eps_inside, channel_axis);
  if (!settings) return std::nullopt;
  const auto type = work_type(x.scalar_type());
  const int64_t channels = settings->layout.channels;
  if (!is_per_channel(mean, channels, type) || !is_per_channel(var, channels, type)) return std::nullopt;
  if (!is_recorded(x, gamma, beta))
    return predicted(x, gamma, beta, {mean.const_data_ptr(), var.const_data_ptr()}, *settings);
  const Tensor kept = at::empty({2, channels}, gamma.options());  // the module may move its own before the backward
  const size_t bytes = mean.nbytes();
  std::memcpy(kept.mutable_data_ptr(), mean.const_data_ptr(), bytes);
  std::memcpy(static_cast<char*>(kept.mutable_data_ptr()) + bytes, var.const_data_ptr(), bytes);
  return Normalize::apply(x, gamma, beta, kept, static_cast<const MovingTensors*>(nullptr), *settings);
}

TORCH_LIBRARY(bnproof, library) {
  library.def(
      "batch_norm_train(Tensor x, Tensor gamma, Tensor beta, Tensor(a!) moving_mean, Tensor(b!) moving_var,"
      " Tensor(c!) updates, float eps, float momentum, int channel_axis, bool eps_inside, bool keeps, bool bessel)"
      " -> Tensor?",
      &batch_norm_train);
  library.def(
      "batch_norm_predict(Tensor x, Tensor gamma, Tensor beta, Tensor mean, Tensor var, float eps, int channel_axis,"
      " bool eps_inside) -> Tensor?",
      &batch_norm_predict);
}

}  // namespace
}  // namespace bnproof
