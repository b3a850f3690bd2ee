"""The C++ kernels against the plain operations, wherever x lies in memory, and what they leave to those.

Where the kernels are not built all but a few are skipped: `make kernels`.
"""

import copy
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reference.conventions import D2L, PRESETS

torch = pytest.importorskip("torch")

from impls.pytorch import cpp_batch_norm, cpp_build  # noqa: E402
from impls.pytorch.batch_norm import BatchNorm  # noqa: E402
from impls.pytorch.cpp_layer import CppBatchNorm  # noqa: E402

built = pytest.mark.skipif(not cpp_build.is_built(), reason=f"the C++ kernels are not built: {cpp_build.COMMAND}")
OUTSIDE = replace(D2L, eps_at="outside_sqrt")
LAST = replace(PRESETS["torch"], channel_axis=-1)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}

# Vectors that are not full, short runs, long runs, channels that fill no vector, rows that are joined.
SHAPES = ((7, 5), (33, 1), (3, 257), (9, 17, 3), (3, 5, 4, 2, 6), (8, 51, 7, 7), (5, 2, 1, 1), (2, 3, 70, 71), (900, 2))


def memory_orders(x):
    """x as it is, with its axes turned round in memory, with channels last, with channels first of all."""
    yield x
    yield x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim)))
    yield x.movedim(1, -1).contiguous().movedim(-1, 1)
    yield x.movedim(1, 0).contiguous().movedim(0, 1)


def layers(channels, conventions=D2L, dtype=torch.float32, cls=CppBatchNorm):
    """By the kernels and by plain operations, with the same parameters."""
    kernels = cls(channels, 1e-3, 0.7, conventions, dtype=dtype)
    with torch.no_grad():
        for value in (kernels.gamma, kernels.beta, kernels.moving_mean):
            value.normal_()
    plain = copy.deepcopy(kernels)
    plain.cpp = False
    return kernels, plain


def results(layer, x, dy):
    leaf = x.detach().requires_grad_()
    y = layer(leaf)
    return [y, *torch.autograd.grad(y, [leaf, layer.gamma, layer.beta], dy), layer.moving_mean, layer.moving_var]


def assert_alike(kernels, plain, x, dy):
    given = x.clone()
    for training in (True, False, True):
        kernels.train(training)
        plain.train(training)
        found = results(kernels, x, dy)
        for got, want in zip(found, results(plain, x, dy), strict=True):
            scale = want.abs().max().item() or 1.0
            torch.testing.assert_close(got, want, rtol=0, atol=TOLERANCE[x.dtype] * scale, equal_nan=True)
        assert found[0].stride() == found[1].stride() == x.stride()
    assert kernels.updates == plain.updates == 2
    assert torch.equal(x, given)


@built
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_the_kernels_equal_the_plain_operations(dtype):
    torch.manual_seed(0)
    work = torch.promote_types(dtype, torch.float32)
    for number, shape in enumerate(SHAPES):
        conventions = (OUTSIDE, LAST)[number % 2]
        made = torch.randn(shape, dtype=torch.float64).mul(2).add(1).to(dtype)
        for x in memory_orders(made):
            assert cpp_batch_norm.forward(layers(shape[1], OUTSIDE, work)[0], x) is not None
            assert_alike(*layers(shape[conventions.channel_axis], conventions, work), x, torch.randn_like(x))


@built
def test_threads_share_channels_or_examples():
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for shape in ((50, 2, 40, 40), (7, 6, 64, 64), (3000, 48), (1, 30000, 3)):
            x = torch.randn(shape)
            assert_alike(*layers(shape[1]), x, torch.randn(shape))
    finally:
        torch.set_num_threads(threads)


@built
def test_what_is_larger_than_the_cache_goes_in_the_order_of_the_memory():
    torch.manual_seed(0)
    for shape in ((2400, 520), (16, 32, 47, 47)):
        x = torch.randn(shape)
        for each in (x, x.movedim(1, -1).contiguous().movedim(-1, 1)):
            assert_alike(*layers(shape[1]), each, torch.randn(shape))


@built
def test_sixteen_bits_are_rounded_as_pytorch_rounds_them():
    """Every bfloat16 but the NaNs, of which most products are not one: denormal numbers, infinities, ties."""
    x = torch.arange(2**16).to(torch.int16).view(torch.bfloat16)
    x = x[~x.isnan()].reshape(-1, 2)
    layer = CppBatchNorm(2, eps=0.0).eval()
    for factor in (1.0, 2.0**-9, 0.7, 1.0 + 2.0**-8, 3.0):
        layer.gamma.data.fill_(factor)
        for each in (x, x.T.contiguous().T):
            assert torch.equal(layer(each), (each.float() * factor).bfloat16())


@built
def test_a_gradient_in_another_order_of_memory_and_one_that_is_a_view():
    x = torch.randn(6, 5, 4, 3)
    kernels, plain = layers(5)
    assert_alike(kernels, plain, x, torch.randn_like(x).contiguous(memory_format=torch.channels_last))
    assert_alike(*layers(5), x, torch.randn(6, 1, 1, 1).expand(x.shape))


@built
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("conventions", [D2L, OUTSIDE, LAST], ids=["inside", "outside", "last"])
def test_first_and_second_derivatives(conventions, training):
    torch.manual_seed(0)
    layer, _ = layers(3, conventions, torch.float64)
    layer.train(training)
    x = torch.randn(4, 3, 2, 3, dtype=torch.float64, requires_grad=True)

    def function(x, gamma, beta):
        return torch.func.functional_call(layer, {"gamma": gamma, "beta": beta}, (x,))

    inputs = [x, layer.gamma, layer.beta]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@built
def test_the_gradient_of_a_constant_channel_when_it_is_differentiated_again():
    """With eps outside the root the scale has no derivative at var = 0: it takes no part."""
    kernels, plain = layers(2, OUTSIDE, torch.float64)
    x = torch.ones(4, 2, dtype=torch.float64)
    x[:, 1] = torch.arange(4)
    x.requires_grad_()
    dy = torch.randn(4, 2, dtype=torch.float64)
    (dx,) = torch.autograd.grad(kernels(x), x, dy, create_graph=True)
    torch.testing.assert_close(dx, torch.autograd.grad(plain(x), x, dy)[0])


@built
def test_backward_keeps_x_gamma_and_two_numbers_per_channel():
    kept = []
    layer, _ = layers(5)
    x = torch.randn(8, 5, 6, 6, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda held: held):
        layer(x)
    assert [tuple(tensor.shape) for tensor in kept] == [(8, 5, 6, 6), (5,), (2, 5)]
    assert kept[0].data_ptr() == x.data_ptr()


@built
def test_backward_notices_that_x_has_changed_and_not_that_the_averages_have_moved():
    layer, _ = layers(5)
    x = torch.randn(8, 5)
    y = layer.eval()(x)
    layer.train()(x)
    y.sum().backward()
    y = layer(x)
    x += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@built
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_in_its_channel(bad):
    torch.manual_seed(0)
    for shape in ((6, 21), (4, 21, 5, 5), (64, 3)):
        for x in memory_orders(torch.randn(shape)):
            kernels, _ = layers(shape[1])
            clean = [value.detach().clone() for value in results(copy.deepcopy(kernels), x, torch.ones_like(x))]
            x.movedim(1, 0)[1].fill_(bad)
            for got, want in zip(results(kernels, x, torch.ones_like(x)), clean, strict=True):
                axis = 1 if got.ndim > 1 else 0
                others = torch.arange(shape[1]) != 1
                torch.testing.assert_close(got.movedim(axis, 0)[others], want.movedim(axis, 0)[others])
                if axis == 1 and bad != bad:
                    assert got.movedim(axis, 0)[1].isnan().all()


@built
def test_what_the_kernels_leave_to_plain_operations():
    """They give None, and have changed nothing; and the layer says the same as without them."""
    layer, plain = layers(3, PRESETS["torch"])
    x = torch.randn(4, 3, 5)
    left = (x[:0], x[::2], x[..., ::2], x[:1, :, :1], x.double(), x.long(), x[0, 0], torch.randn(4, 5), x.to("meta"))
    for each in left:
        assert cpp_batch_norm.forward(layer, each) is None
    assert layer.updates == 0
    assert torch.equal(layer(x[:0]), plain(x[:0]))
    for each in (x[:1, :, :1], x.long(), torch.randn(4, 5)):
        with pytest.raises((ValueError, TypeError)) as expected:
            plain(each)
        with pytest.raises(expected.type, match=r"^" + str(expected.value)[:20]):
            layer(each)


@built
def test_transformations_see_plain_operations():
    layer, _ = layers(3)
    layer.eval()
    x = torch.randn(2, 4, 3)
    for transformation in (torch.func.vmap, torch.func.functionalize, torch.func.grad):
        called = []
        transformation(lambda x: called.append(cpp_batch_norm.forward(layer, x)) or x.sum())(x)  # noqa: B023
        assert called == [None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out, and warns of shapes
        traced = torch.jit.trace(layer, (x[0],), check_trace=False)
    assert "bnproof" not in str(traced.inlined_graph)
    from torch.fx.experimental.proxy_tensor import make_fx

    assert "bnproof" not in make_fx(lambda x: layer(x).detach())(x[0]).code


@built
@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").is_dir(), reason="the system has no large pages")
@pytest.mark.parametrize("cls", [CppBatchNorm, BatchNorm])
def test_a_large_y_and_dx_are_asked_for_in_large_pages(cls):
    layer = cls(3)
    layer.cpp = cls is CppBatchNorm
    x = torch.randn(16, 3, 160, 160, requires_grad=True)  # 5 MB
    y = layer(x)
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert [in_large_pages(tensor) for tensor in (y, dx)] == [True, True]


def in_large_pages(tensor):
    """Whether they were asked for, where the tensor's middle is (proc(5), VmFlags)."""
    middle, inside = tensor.data_ptr() + tensor.nbytes // 2, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if mapping := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(mapping[1], 16) <= middle < int(mapping[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return "hg" in line.split()
    raise AssertionError("no such memory")


@built
def test_parameters_that_are_computed():
    """torch.nn.utils.parametrize puts gamma elsewhere than where a module keeps its parameters."""

    class Doubled(torch.nn.Module):
        def forward(self, gamma):
            return 2 * gamma

    layer, plain = layers(3)
    x = torch.randn(4, 3)
    for each in (layer, plain):
        torch.nn.utils.parametrize.register_parametrization(each, "gamma", Doubled())
    assert cpp_batch_norm.forward(copy.deepcopy(layer), x) is not None
    torch.testing.assert_close(layer(x), plain(x))


@built
def test_modes_of_pytorch():
    layer, _ = layers(3)
    x = torch.randn(4, 3)
    with torch.no_grad():
        assert not layer(x).requires_grad
    with torch.inference_mode():
        layer.eval()(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x.bfloat16()).dtype is torch.bfloat16
        assert layer(x).dtype is torch.float32
    layer.train()
    twin = copy.deepcopy(layer)
    assert torch.equal(layer(x), twin(x))
    assert torch.equal(layer.moving_var, twin.moving_var)
    before = layer.moving_mean._version
    layer(x)
    assert layer.moving_mean._version == before + 1


@built
def test_statistics_of_long_hard_channels():
    """A mean far from 0, stripes, an outlier: against float64.

    A variance may be off by a sixteenth of what a rounding of the mean does to one value's square: 4e-5 for a mean of
    1e4 and a deviation of 1, of which draws show up to 2e-5.
    """
    rng = np.random.default_rng(0)
    n = 401_408
    data = rng.normal(1e4, 1, (n, 3))
    data[:, 1] = np.where(np.arange(n) % 2, 1.0, -1.0) + 100
    data[:, 2] = 0
    data[7, 2] = 1e6
    for values in (data, data.reshape(128, 56, 56, 3)):
        x = torch.tensor(values, dtype=torch.float32).movedim(-1, 1)
        for each in (x, x.contiguous()):
            layer = CppBatchNorm(3, momentum=0.0)
            layer(each)
            exact = x.double().movedim(1, 0).flatten(1)
            np.testing.assert_allclose(layer.moving_mean, exact.mean(1), rtol=1e-6)
            var = exact.var(1, correction=0)
            rounding = torch.finfo(torch.float32).eps / 2 * exact.mean(1).abs() / var.sqrt()
            assert torch.all((layer.moving_var - var).abs() <= (1e-5 + rounding / 16) * var)


# --- without the kernels ---


def test_without_the_kernels_the_layer_is_as_it_was_and_says_how_to_build_them(monkeypatch):
    monkeypatch.setattr(cpp_build, "operators", lambda: None)
    layer, plain = layers(3, cls=BatchNorm)
    assert_alike(layer, plain, torch.randn(4, 3), torch.randn(4, 3))
    with pytest.raises(RuntimeError, match=r"python -m impls\.pytorch\.cpp_batch_norm"):
        CppBatchNorm(3)(torch.randn(4, 3))


def test_a_compiler_that_fails_is_the_reason(monkeypatch, tmp_path):
    monkeypatch.setenv(cpp_build.FOLDER, str(tmp_path / "kernels"))
    assert not cpp_build.is_built()
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(cpp_build.NotBuiltError, match="exit status 1"):
        cpp_build.build()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(cpp_build.NotBuiltError, match="No such file"):
        cpp_build.build()
    assert list((tmp_path / "kernels").iterdir()) == []


def test_the_library_is_another_for_other_sources_and_another_processor(monkeypatch, tmp_path):
    first = cpp_build.library()
    assert cpp_build.library() == first
    monkeypatch.setenv(cpp_build.ARCH, "another")
    assert cpp_build.library() != first
    monkeypatch.undo()
    monkeypatch.setattr(cpp_build, "processor", lambda: "another")
    assert cpp_build.library() != first
    monkeypatch.undo()
    (tmp_path / "batch_norm.cpp").write_text("int changed;")
    monkeypatch.setattr(cpp_build, "SOURCES", tmp_path)
    assert cpp_build.library() != first
