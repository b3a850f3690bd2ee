// Training steps of LeNet on the CPU as operators of PyTorch: bnproof::lenet_step, and what it is made of.
//
// parameters: weight, bias, gamma, beta of conv1, conv2, dense1, dense2, then weight and bias of dense3, contiguous,
// all float32 or all float64; moving: mean and variance of the four norms. The conventions are those of Dive into
// Deep Learning: eps within the root, momentum the weight of the old value, the moving variance biased.

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "lenet_step.hpp"

namespace bnproof::lenet {
namespace {

#define FOR_NUMBERS(tensor, name, ...) AT_DISPATCH_FLOATING_TYPES((tensor).scalar_type(), name, __VA_ARGS__)

int64_t lanes_of(at::ScalarType type) { return type == at::kDouble ? LANES<double> : LANES<float>; }

// How many values a workspace for batches of n examples has.
int64_t workspace_size(int64_t n, at::ScalarType type) {
  Arena arena{Tensor()};
  Workspace{arena, n, lanes_of(type)};
  return arena.used();
}

// The mean of -log softmax at the label, how many are predicted right, and the mean's gradient.
template <typename Number>
std::pair<double, int64_t> cross_entropy(Workspace& work, const Tensor& labels, const Tensor& batch) {
  const int64_t n = batch.numel();
  const auto *label_of = labels.const_data_ptr<int64_t>(), *index = batch.const_data_ptr<int64_t>();
  const Number* logits = work.logits.const_data_ptr<Number>();
  Number* d = work.dlogits.mutable_data_ptr<Number>();
  double loss = 0;
  int64_t correct = 0;
  for (int64_t row = 0; row < n; ++row, logits += CLASSES, d += CLASSES) {
    const int64_t label = label_of[index[row]];
    const Number* most = std::max_element(logits, logits + CLASSES);
    Number sum = 0;
    for (int k = 0; k < CLASSES; ++k) sum += d[k] = std::exp(logits[k] - *most);
    for (int k = 0; k < CLASSES; ++k) d[k] = (d[k] / sum - (k == label)) / static_cast<Number>(n);
    loss += static_cast<double>(std::log(sum) - (logits[label] - *most));
    correct += most - logits == label;
  }
  return {loss / static_cast<double>(n), correct};
}

void check(const Tensor& images, const Tensor& labels, const Tensor& batch, const std::vector<Tensor>& parameters,
           const std::vector<Tensor>& moving, const Tensor& memory) {
  TORCH_CHECK(images.scalar_type() == at::kByte && images.is_contiguous() && images.dim() == 3 &&
                  images.size(1) == IMAGE && images.size(2) == IMAGE,
              "images: (N, 28, 28), uint8, contiguous");
  TORCH_CHECK(labels.scalar_type() == at::kLong && labels.is_contiguous() && labels.numel() == images.size(0),
              "labels: (N,), int64");
  TORCH_CHECK(batch.scalar_type() == at::kLong && batch.is_contiguous() && batch.dim() == 1 && batch.numel() > 0,
              "batch: (n,), int64, not empty");
  const auto* index = batch.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < batch.numel(); ++i)
    TORCH_CHECK_INDEX(index[i] >= 0 && index[i] < images.size(0), "batch: index ", index[i], " is out of range");
  const auto sizes = parameter_sizes();
  TORCH_CHECK(parameters.size() == sizes.size() && moving.size() == 2 * NORMS, "18 parameters, 8 moving statistics");
  const auto type = memory.scalar_type();
  const auto fits = [&](const Tensor& tensor, at::IntArrayRef shape) {
    return tensor.is_cpu() && tensor.scalar_type() == type && tensor.is_contiguous() && tensor.sizes() == shape;
  };
  for (size_t i = 0; i < sizes.size(); ++i)
    TORCH_CHECK(fits(parameters[i], sizes[i]), "parameter ", i, ": another shape, dtype or layout than LeNet's");
  for (int i = 0; i < 2 * NORMS; ++i)
    TORCH_CHECK(fits(moving[i], {WIDTHS[i / 2]}), "moving statistic ", i, ": another shape, dtype or layout");
  TORCH_CHECK(memory.is_contiguous() && memory.numel() >= workspace_size(batch.numel(), type), "workspace: too small");
}

// Forward and backward in training mode: what they give is in `work`. (the mean loss, how many are right)
std::pair<double, int64_t> forward_and_backward(const Tensor& images, const Tensor& labels, const Tensor& batch,
                                                const std::vector<Tensor>& parameters,
                                                const std::vector<Tensor>& moving, Workspace& work, double eps,
                                                double momentum) {
  const at::NoGradGuard no_grad;
  std::pair<double, int64_t> seen;
  FOR_NUMBERS(parameters[0], "lenet", [&] {
    Pass<scalar_t> pass(parameters, moving, work, batch.numel(), {eps, momentum});
    pass.forward(images.const_data_ptr<uint8_t>(), batch.const_data_ptr<int64_t>());
    seen = cross_entropy<scalar_t>(work, labels, batch);
    pass.backward();
  });
  for (const Tensor& tensor : moving) tensor.unsafeGetTensorImpl()->bump_version();
  return seen;
}

// One step of SGD. (the mean loss, how many were predicted right), from before the update.
std::tuple<double, int64_t> step(const Tensor& images, const Tensor& labels, const Tensor& batch,
                                 const std::vector<Tensor>& parameters, const std::vector<Tensor>& moving,
                                 const Tensor& memory, double learning_rate, double eps, double momentum) {
  check(images, labels, batch, parameters, moving, memory);
  Arena arena{memory};
  Workspace work{arena, batch.numel(), lanes_of(memory.scalar_type())};
  const auto seen = forward_and_backward(images, labels, batch, parameters, moving, work, eps, momentum);
  FOR_NUMBERS(memory, "lenet_step", [&] {
    for (size_t i = 0; i < parameters.size(); ++i) {
      scalar_t* to = parameters[i].mutable_data_ptr<scalar_t>();
      const scalar_t* d = work.gradients[i].const_data_ptr<scalar_t>();
      at::parallel_for(0, parameters[i].numel(), 4096, [&](int64_t begin, int64_t end) {
        for (int64_t at = begin; at < end; ++at) to[at] -= static_cast<scalar_t>(learning_rate) * d[at];
      });
    }
  });
  for (const Tensor& tensor : parameters) tensor.unsafeGetTensorImpl()->bump_version();
  return {seen.first, seen.second};
}

// How many of the examples of a batch are predicted right.
int64_t correct(const Tensor& images, const Tensor& labels, const Tensor& batch, const std::vector<Tensor>& parameters,
                const std::vector<Tensor>& moving, const Tensor& memory, double eps) {
  check(images, labels, batch, parameters, moving, memory);
  const at::NoGradGuard no_grad;
  Arena arena{memory};
  Workspace work{arena, batch.numel(), lanes_of(memory.scalar_type())};
  int64_t right = 0;
  FOR_NUMBERS(memory, "lenet_correct", [&] {
    Pass<scalar_t> pass(parameters, moving, work, batch.numel(), {eps, 0});
    pass.predict(images.const_data_ptr<uint8_t>(), batch.const_data_ptr<int64_t>());
    right = cross_entropy<scalar_t>(work, labels, batch).second;
  });
  return right;
}

// (blocks, C, H, W, lanes) -> (n, C, H, W), a copy.
Tensor by_examples(const Tensor& blocks, int64_t n) {
  const auto b = blocks.permute({0, 4, 1, 2, 3}).contiguous();
  return b.view({-1, b.size(2), b.size(3), b.size(4)}).narrow(0, 0, n).clone();
}

// The gradient of every parameter, then bn1 to bn4 after their sigmoids and the logits.
std::vector<Tensor> gradients(const Tensor& images, const Tensor& labels, const Tensor& batch,
                              const std::vector<Tensor>& parameters, const std::vector<Tensor>& moving,
                              const Tensor& memory, double eps, double momentum) {
  check(images, labels, batch, parameters, moving, memory);
  Arena arena{memory};
  Workspace work{arena, batch.numel(), lanes_of(memory.scalar_type())};
  forward_and_backward(images, labels, batch, parameters, moving, work, eps, momentum);
  std::vector<Tensor> all;
  for (const Tensor& gradient : work.gradients) all.push_back(gradient.clone());
  for (int layer = 0; layer < 2; ++layer) all.push_back(by_examples(work.s[layer], batch.numel()));
  for (const Tensor& tensor : {work.s[2], work.s[3], work.logits}) all.push_back(tensor.clone());
  return all;
}

TORCH_LIBRARY_FRAGMENT(bnproof, library) {
  library.def("lenet_workspace(int examples, ScalarType dtype) -> int", &workspace_size);
  library.def(
      "lenet_step(Tensor images, Tensor labels, Tensor batch, Tensor(a!)[] parameters, Tensor(b!)[] moving,"
      " Tensor(c!) workspace, float learning_rate, float eps, float momentum) -> (float, int)",
      &step);
  library.def(
      "lenet_correct(Tensor images, Tensor labels, Tensor batch, Tensor[] parameters, Tensor[] moving,"
      " Tensor(a!) workspace, float eps) -> int",
      &correct);
  library.def(
      "lenet_gradients(Tensor images, Tensor labels, Tensor batch, Tensor[] parameters, Tensor(b!)[] moving,"
      " Tensor(c!) workspace, float eps, float momentum) -> Tensor[]",
      &gradients);
}

}  // namespace
}  // namespace bnproof::lenet
