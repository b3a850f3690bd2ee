"""What LeNet computes otherwise on a GPU than on a CPU, held to PyTorch's own on the CPU."""

import pytest
import torch

from impls.pytorch.convolution import BandedConvolution
from impls.pytorch.lenet import AveragePool, in_squares


@pytest.mark.parametrize(("shape", "outputs"), [((3, 1, 28, 28), 6), ((2, 6, 12, 12), 16), ((1, 2, 7, 20), 3)])
def test_the_banded_convolution_is_pytorchs_own(shape, outputs):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, shape[1], 5, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(outputs, dtype=torch.float64, requires_grad=True)
    results = []
    for convolution in (torch.nn.functional.conv2d, BandedConvolution.apply):
        y = convolution(x, weight, bias)
        dy = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view_as(y)
        results.append((y, *torch.autograd.grad(y, [x, weight, bias], dy)))
    for want, got in zip(*results, strict=True):
        assert got.shape == want.shape
        assert (got - want).abs().max() <= 1e-13 * want.abs().max()


def test_squares_are_the_gradient_of_an_average_pool():
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    dy = torch.randn(2, 3, 2, 3, dtype=torch.float64)
    (dx,) = torch.autograd.grad(AveragePool.apply(x), x, dy)
    assert torch.equal(in_squares(dy / 4), dx)
    assert torch.allclose(AveragePool.apply(x), torch.nn.functional.avg_pool2d(x, 2))
