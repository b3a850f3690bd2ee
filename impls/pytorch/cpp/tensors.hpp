// From tensors to memory: which tensors the kernels take, and how x lies in it.
#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_strided.h>

#include "moments.hpp"
#include "pages.hpp"

namespace bnproof {

using at::Tensor;

// On the CPU, with a memory of its own, and no more than that: no wrapper of functorch, no subclass from Python.
inline bool is_plain(const Tensor& tensor) {
  constexpr c10::DispatchKeySet ordinary({c10::DispatchKey::CPU, c10::DispatchKey::AutogradCPU,
                                          c10::DispatchKey::ADInplaceOrView, c10::DispatchKey::AutocastCPU});
  return ordinary.has_all(tensor.key_set());
}

inline bool is_per_channel(const Tensor& tensor, int64_t channels, at::ScalarType type) {
  return is_plain(tensor) && tensor.scalar_type() == type && tensor.dim() == 1 && tensor.size(0) == channels &&
         tensor.is_contiguous();
}

inline at::ScalarType work_type(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

inline bool is_float(at::ScalarType type) {
  return type == at::kFloat || type == at::kDouble || type == at::kBFloat16 || type == at::kHalf;
}

// Where x fills its memory without gaps, in whatever order of its axes; else nothing.
inline std::optional<Layout> layout_of(const Tensor& x, int64_t channel_axis) {
  std::array<int64_t, 5> axes;
  const int64_t rank = x.dim();
  for (int64_t axis = 0; axis < rank; ++axis) axes[axis] = axis;
  // Of axes with the same stride those of size 1 come first: their stride says nothing.
  std::sort(axes.begin(), axes.begin() + rank, [&](int64_t a, int64_t b) {
    if (x.stride(a) != x.stride(b)) return x.stride(a) > x.stride(b);
    return x.size(a) == 1 && x.size(b) != 1;
  });
  Layout layout{1, x.size(channel_axis), 1};
  int64_t filled = 1;
  bool outer = false;
  for (int64_t i = rank - 1; i >= 0; --i) {
    const int64_t axis = axes[i], size = x.size(axis);
    if (size != 1 && x.stride(axis) != filled) return std::nullopt;
    filled *= size;
    if (axis == channel_axis)
      outer = true;
    else
      (outer ? layout.outer : layout.inner) *= size;
  }
  return layout;
}

// An uninitialized tensor that lies as x does.
inline Tensor empty_as(const Tensor& x) {
  const Tensor memory = at::empty_strided(x.sizes(), x.strides(), x.options());
  prefer_large_pages(memory.data_ptr(), static_cast<int64_t>(memory.nbytes()));
  return memory;
}

// dy as x lies; copied where it does not.
inline Tensor lying_as(const Tensor& dy, const Tensor& x) {
  if (dy.strides().equals(x.strides()) && dy.scalar_type() == x.scalar_type()) return dy;
  return empty_as(x).copy_(dy);
}

}  // namespace bnproof
