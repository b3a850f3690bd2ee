"""What LeNet's training computes by Triton kernels on a GPU, held to PyTorch's own, in Triton's interpreter."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

HELD_TO_PYTORCH = """
import torch
from torch.nn import functional as F
from impls.pytorch import triton_convolution, triton_dense, triton_step

torch.manual_seed(0)

def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)

def same(got, want, within=1e-13):
    assert got.shape == want.shape
    assert (got - want).abs().max() <= within * want.abs().max(), (got, want)

def same_with_gradients(ours, pytorchs, *inputs, within=1e-13):
    inputs = [tensor.requires_grad_() for tensor in inputs]
    y, expected = ours(*inputs), pytorchs(*inputs)
    same(y, expected, within)
    dy = draw(*y.shape).to(y.dtype)
    for got, want in zip(torch.autograd.grad(y, inputs, dy), torch.autograd.grad(expected, inputs, dy), strict=True):
        same(got, want, within)

# Two tiles of positions, of channels and of rows, none of them full.
same_with_gradients(triton_convolution.Convolution.apply, F.conv2d, draw(2, 2, 9, 12), draw(9, 2, 5, 5), draw(9))
same_with_gradients(triton_step.AveragePool.apply, lambda x: F.avg_pool2d(x, 2), draw(2, 3, 4, 14))
sizes = (70, 80), (20, 80), (20,)
same_with_gradients(triton_dense.Dense.apply, F.linear, *(draw(*size).float() for size in sizes), within=1e-6)

images = torch.randint(0, 256, (9, 28, 28), dtype=torch.uint8)
batch = torch.tensor([3, 1, 8, 8])
assert torch.equal(triton_step.scaled_batch(images, batch, torch.float32), images[batch][:, None].float() / 255)

labels, batch = torch.randint(0, 10, (400,)), torch.randperm(400)[:300]
logits = (draw(300, 10) * 3).requires_grad_()
loss_sum, correct = torch.tensor(1.5, dtype=torch.float64), torch.tensor(2)
dlogits = triton_step.loss_gradient(logits.detach(), labels, batch, loss_sum, correct)
loss = F.cross_entropy(logits, labels[batch])
same(dlogits, torch.autograd.grad(loss, logits)[0])
same(loss_sum, 1.5 + 300 * loss.detach())
assert correct == 2 + (logits.argmax(1) == labels[batch]).sum()
"""


def test_the_kernels_of_a_step_are_pytorchs_operations():
    command = [sys.executable, "-W", "ignore", "-c", HELD_TO_PYTORCH]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TRITON_INTERPRET": "1"})
    assert run.returncode == 0, run.stderr
