"""Our PyTorch layer is differentiated in every way that PyTorch knows, in float64."""

import warnings
from dataclasses import replace
from itertools import product

import pytest
import torch

from impls.pytorch.batch_norm import BatchNorm
from impls.pytorch.fast_batch_norm import normalize_by_batch, normalize_by_moving
from reference.conventions import D2L

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
"""PyTorch's own forward mode calls what it warns of."""

SHAPES = {"rank2": ((5, 3), 1), "rank3": ((3, 2, 4), 1), "channels_last": ((2, 2, 3), -1)}
EPS = 1e-3


def function_of(mode, conventions):
    """y of (x, gamma, beta), in training or prediction."""
    mean, var = torch.tensor([0.3, -0.2, 1.0]).double(), torch.tensor([0.5, 1.5, 1.0]).double()

    def by_batch(x, gamma, beta):
        return normalize_by_batch(x, gamma, beta, EPS, conventions)[0]

    def by_moving(x, gamma, beta):
        return normalize_by_moving(x, gamma, beta, mean[: len(gamma)], var[: len(gamma)], EPS, conventions)

    return by_batch if mode == "train" else by_moving


def inputs_of(shape, axis, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = (shape, shape[axis], shape[axis])
    return [torch.randn(size, generator=generator, dtype=torch.float64, requires_grad=True) for size in sizes]


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
@pytest.mark.parametrize("name", SHAPES)
def test_gradcheck_and_gradgradcheck(name, eps_at, mode):
    shape, axis = SHAPES[name]
    function = function_of(mode, replace(D2L, eps_at=eps_at, channel_axis=axis))
    inputs = inputs_of(shape, axis)
    assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, inputs, check_fwd_over_rev=True, check_rev_over_rev=True)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("in_dims", [(0, 0, 0), (1, None, None), (None, 0, None)])
def test_vmap_is_a_loop_over_layers(in_dims, axis, mode):
    conventions = replace(D2L, channel_axis=axis)
    function = function_of(mode, conventions)
    layers = [inputs_of((2, 3, 2, 3), axis, seed) for seed in range(4)]
    given = [
        torch.stack([layer[i].detach() for layer in layers], dim) if dim is not None else layers[0][i].detach()
        for i, dim in enumerate(in_dims)
    ]
    each = [[layers[k if dim is not None else 0][i] for i, dim in enumerate(in_dims)] for k in range(4)]
    expected = torch.stack([function(*one).detach() for one in each])
    torch.testing.assert_close(torch.func.vmap(function, in_dims)(*given), expected, rtol=1e-13, atol=1e-13)

    def total(x, gamma, beta):
        return (function(x, gamma, beta) ** 3).sum()

    by_vmap = torch.func.vmap(torch.func.grad(total, argnums=(0, 1, 2)), in_dims)(*given)
    by_loop = zip(*(torch.autograd.grad(total(*one), one) for one in each), strict=True)
    for got, wanted in zip(by_vmap, by_loop, strict=True):
        torch.testing.assert_close(got, torch.stack(wanted), rtol=1e-12, atol=1e-12)


def test_a_hessian_by_every_composition():
    function = function_of("train", D2L)
    x, gamma, beta = (tensor.detach() for tensor in inputs_of((4, 3), 1))

    def loss(x):
        return (function(x, gamma, beta) ** 3).sum()

    reference = torch.autograd.functional.hessian(loss, x)
    func = torch.func
    for outer, inner in product((func.jacfwd, func.jacrev), repeat=2):
        torch.testing.assert_close(outer(inner(loss))(x), reference, rtol=1e-10, atol=1e-10)


def test_a_third_derivative():
    function = function_of("train", D2L)
    inputs = inputs_of((4, 3), 1)

    def second(*inputs):
        first = torch.autograd.grad((function(*inputs) ** 3).sum(), inputs, create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in first), inputs, create_graph=True)

    assert torch.autograd.gradcheck(second, inputs)


def test_a_constant_channel_has_finite_second_derivatives():
    for eps_at in ("inside_sqrt", "outside_sqrt"):
        function = function_of("train", replace(D2L, eps_at=eps_at))
        inputs = inputs_of((4, 3), 1)
        with torch.no_grad():
            inputs[0][:, 1] = 0.5
        first = torch.autograd.grad((function(*inputs) ** 2).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum((g**2).sum() for g in first), inputs)
        assert all(torch.isfinite(g).all() for g in second)


def test_gradient_penalty_through_the_layer():
    """What the second derivatives are for: a penalty on the gradient by x reaches gamma, and 16-bit x."""
    for dtype in (torch.float32, torch.bfloat16):
        layer = BatchNorm(3)
        x = torch.randn(6, 3, dtype=dtype, requires_grad=True)
        (dx,) = torch.autograd.grad((layer(x).float() ** 3).sum(), x, create_graph=True)
        (dx.float() ** 2).sum().backward()
        assert x.grad.dtype == dtype
        assert layer.gamma.grad is not None
        assert layer.gamma.grad.abs().sum() > 0


def test_an_ordinary_step_keeps_no_more_than_it_did():
    """Of x's size: x - mean alone. The rest is a few numbers a channel."""
    kept = []
    x = torch.randn(64, 3, 10, 10, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        BatchNorm(3)(x)
    assert sorted(kept)[-1] == x.numel()
    assert sum(kept) < 1.01 * x.numel()


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_what_records_operations_gets_plain_ones(mode):
    """torch.jit.trace, as torch.onnx's older exporter does, and torch.compile, which takes no function with a `jvp`."""
    layer = getattr(BatchNorm(3), mode)()
    x = torch.randn(5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that are taken for constants
        traced = torch.jit.trace(layer, x, check_trace=False)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    for recorded in (traced, compiled):
        torch.testing.assert_close(recorded(x), layer(x), rtol=1e-5, atol=1e-5)
