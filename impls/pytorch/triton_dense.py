"""A dense layer as Triton kernels: one forward, and one for the gradient of both parameters.

cuBLAS takes up to four, for a matmul in parts, their sum and that of the bias: at LeNet's sizes, three times as long.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

OUTPUTS, INPUTS, EXAMPLES = 16, 32, 64
"""In a tile of the gradient, and in what is added to it at once."""
EXAMPLES_FORWARD, INPUTS_AT_ONCE = 32, 64


@triton.jit
def weigh(
    x, weight, bias, y, examples,
    FAN_IN: tl.constexpr, FAN_OUT: tl.constexpr,
    EXAMPLES: tl.constexpr, OUTPUTS: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    """Grid: tiles of examples, tiles of outputs. AT_ONCE: inputs."""
    example = tl.program_id(0) * EXAMPLES + tl.arange(0, EXAMPLES)
    o = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    exists, is_output = example < examples, o < FAN_OUT
    total = tl.zeros((EXAMPLES, OUTPUTS), tl.float32)
    for first in range(0, FAN_IN, AT_ONCE):
        i = first + tl.arange(0, AT_ONCE)
        is_input = i < FAN_IN
        inputs = tl.load(x + example[:, None] * FAN_IN + i[None, :], exists[:, None] & is_input[None, :], 0.0)
        weights = tl.load(weight + o[None, :] * FAN_IN + i[:, None], is_output[None, :] & is_input[:, None], 0.0)
        total = tl.dot(inputs, weights, total, input_precision="ieee")
    total += tl.load(bias + o, is_output, 0.0)[None, :]
    tl.store(y + example[:, None] * FAN_OUT + o[None, :], total, exists[:, None] & is_output[None, :])


@triton.jit
def parameter_gradient(
    x, dy, dweight, dbias, examples,
    FAN_IN: tl.constexpr, FAN_OUT: tl.constexpr,
    INPUTS: tl.constexpr, OUTPUTS: tl.constexpr, EXAMPLES: tl.constexpr,
):  # fmt: skip
    """Grid: tiles of outputs, tiles of inputs and of one more, which is 1 in every example: the bias's."""
    o = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    i = tl.program_id(1) * INPUTS + tl.arange(0, INPUTS)
    is_output, is_input = o < FAN_OUT, i < FAN_IN
    total = tl.zeros((OUTPUTS, INPUTS), tl.float32)
    for first in range(0, examples, EXAMPLES):
        example = first + tl.arange(0, EXAMPLES)
        exists = example < examples
        errors = tl.load(dy + example[None, :] * FAN_OUT + o[:, None], is_output[:, None] & exists[None, :], 0.0)
        inputs = tl.load(x + example[:, None] * FAN_IN + i[None, :], exists[:, None] & is_input[None, :], 0.0)
        inputs = tl.where((i == FAN_IN)[None, :], 1.0, inputs)
        total = tl.dot(errors, inputs, total, input_precision="ieee")
    tl.store(dweight + o[:, None] * FAN_IN + i[None, :], total, is_output[:, None] & is_input[None, :])
    tl.store(dbias + o[:, None] + i[None, :] - FAN_IN, total, is_output[:, None] & (i == FAN_IN)[None, :])


class Dense(torch.autograd.Function):
    """x (n, I), weight (O, I), bias (O,), all float32 -> (n, O)."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        x, weight = x.contiguous(), weight.contiguous()
        (n, inputs), outputs = x.shape, len(weight)
        y = x.new_empty(n, outputs)
        grid = triton.cdiv(n, EXAMPLES_FORWARD), triton.cdiv(outputs, OUTPUTS)
        weigh[grid](x, weight, bias, y, n, inputs, outputs, EXAMPLES_FORWARD, OUTPUTS, INPUTS_AT_ONCE, num_warps=4)
        ctx.save_for_backward(x, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dy = dy.contiguous()
        dx = dy @ weight if ctx.needs_input_grad[0] else None
        return dx, *gradients_of_parameters(x, dy)


def gradients_of_parameters(x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """(dweight (O, I), dbias (O,))"""
    (n, inputs), outputs = x.shape, dy.shape[1]
    dweight, dbias = x.new_empty(outputs, inputs), x.new_empty(outputs)
    grid = triton.cdiv(outputs, OUTPUTS), triton.cdiv(inputs + 1, INPUTS)
    parameter_gradient[grid](x, dy, dweight, dbias, n, inputs, outputs, INPUTS, OUTPUTS, EXAMPLES, num_warps=4)
    return dweight, dbias
