"""The PyTorch batch norm against the reference, against autograd, and against its own promises."""

import copy
import mmap
import threading
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from reference import batch_norm as reference
from reference.conventions import D2L, PRESETS

torch = pytest.importorskip("torch")

from harness.cases.catalogue import case_by_id  # noqa: E402
from harness.targets.load import factory_of  # noqa: E402
from impls.pytorch import blocks, fast_batch_norm, pages  # noqa: E402
from impls.pytorch.batch_norm import BatchNorm, batch_norm, in_float32, plain_batch_norm  # noqa: E402
from impls.pytorch.blocks import rows_of  # noqa: E402
from impls.pytorch.fast_batch_norm import normalize_by_batch  # noqa: E402
from tests.in_process import checked  # noqa: E402

C = 5
SHAPES = {2: (7, C), 3: (4, C, 3), 4: (4, C, 3, 2), 5: (3, C, 4, 2, 6)}
CONVENTIONS = {
    **PRESETS,
    "outside_sqrt": replace(D2L, eps_at="outside_sqrt"),
    "debiased": replace(D2L, debias=True),
    "torch_debiased": replace(PRESETS["torch"], debias=True, channel_axis=-1),
}


def rng_for(*numbers):
    return np.random.default_rng(numbers)


def draw(rank, conventions, seed=0):
    """x with distinct means and scales per channel."""
    shape = list(SHAPES[rank])
    if conventions.channel_axis == -1:
        shape.append(shape.pop(1))
    rng = rng_for(seed, rank)
    rows = [*shape]
    channels = rows.pop(conventions.channel_axis)
    x = rng.normal(size=(*rows, channels)) * rng.uniform(0.2, 3, channels) + rng.normal(size=channels)
    return np.ascontiguousarray(np.moveaxis(x, -1, conventions.channel_axis))


def pair(conventions, momentum=None, eps=1e-3, dtype=torch.float64):
    """A reference layer and ours with the same, non-default, parameters and statistics."""
    rng = rng_for(7)
    ref = reference.BatchNorm(C, eps, momentum, conventions)
    ours = BatchNorm(C, eps, momentum, conventions, dtype=dtype)
    ref.gamma, ref.beta = rng.uniform(-2, 2, C), rng.normal(size=C)
    ref.average_mean, ref.average_var = rng.normal(size=C), rng.uniform(0.5, 2, C)
    with torch.no_grad():
        for name, value in [
            ("gamma", ref.gamma),
            ("beta", ref.beta),
            ("moving_mean", ref.average_mean),
            ("moving_var", ref.average_var),
        ]:
            getattr(ours, name).copy_(torch.tensor(value))
    return ref, ours


def step(layer, x, dy):
    """y, dx, dgamma, dbeta of our layer, as NumPy arrays."""
    leaf = torch.tensor(x, requires_grad=True)
    y = layer(leaf)
    grads = torch.autograd.grad(y, [leaf, layer.gamma, layer.beta], torch.tensor(dy))
    return [t.detach().numpy() for t in (y, *grads)]


def reference_step(layer, x, dy, training):
    if training:
        y, cache = layer.train(x)
        return [y, *layer.train_backward(dy, cache)]
    y, cache = layer.eval(x)
    return [y, *layer.eval_backward(dy, cache)]


def assert_same(got, want, **tolerance):
    for name, a, b in zip(("y", "dx", "dgamma", "dbeta"), got, want, strict=True):
        np.testing.assert_allclose(a, b, err_msg=name, **({"rtol": 1e-11, "atol": 1e-11} | tolerance))


# --- against the reference ---


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_session_equals_the_reference(name, rank):
    conventions = CONVENTIONS[name]
    ref, ours = pair(conventions, momentum=0.7)
    for seed, training in enumerate([False, True, True, False, True, False]):
        x, dy = draw(rank, conventions, seed), draw(rank, conventions, seed + 100)
        ours.train(training)
        assert_same(step(ours, x, dy), reference_step(ref, x, dy, training))
        mean, var = ours.moving_statistics()
        np.testing.assert_allclose(mean.numpy(), ref.moving_mean, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(var.numpy(), ref.moving_var, rtol=1e-13)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_defaults_are_those_of_the_conventions(name):
    conventions = CONVENTIONS[name]
    layer = BatchNorm(C, conventions=conventions)
    assert (layer.eps, layer.momentum) == (conventions.default_eps, conventions.default_momentum)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_function_equals_the_reference_s(name, training):
    conventions = CONVENTIONS[name]
    ref, _ = pair(conventions)
    x = draw(4, conventions)
    inputs = [x, ref.gamma, ref.beta, ref.average_mean, ref.average_var]
    tensors = [torch.tensor(value) for value in inputs]
    options = {"eps": 1e-3, "momentum": 0.7, "training": training, "conventions": conventions}
    got, want = batch_norm(*tensors, **options), reference.batch_norm(*inputs, **options)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, atol=1e-12)
    for tensor, value in zip(tensors, inputs, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), value)  # the inputs stay unmodified


def test_weights_of_old_and_new_are_the_statistics_own():
    """In float32, 1 - 0.9 is 0.100000024, not 0.1."""
    layer = BatchNorm(1, momentum=0.9)
    layer(torch.tensor([[1e6], [3e6]]))
    want = np.float32(0.9) * np.float32(0) + (np.float32(1) - np.float32(0.9)) * np.float32(2e6)
    assert layer.moving_mean.item() == want


def test_a_memory_format_is_only_a_layout():
    x = torch.tensor(draw(4, D2L))
    _, ours = pair(D2L)
    plain, channels_last = ours(x), ours(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(channels_last, plain, rtol=1e-13, atol=1e-13)


# --- the fast form against the plain one ---


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", [name for name in CONVENTIONS if not CONVENTIONS[name].debias])
def test_the_fast_form_equals_the_plain_one(name, rank, training):
    """Forward, moving statistics, and gradients: autograd's of the plain formula, the closed form's of the fast."""
    conventions = CONVENTIONS[name]
    _, ours = pair(conventions, momentum=0.7)
    x, dy = draw(rank, conventions), draw(rank, conventions, 1)
    leaf = torch.tensor(x, requires_grad=True)
    parameters = [leaf, ours.gamma, ours.beta]
    statistics = [ours.moving_mean.clone(), ours.moving_var.clone()]
    y, mean, var = plain_batch_norm(
        *parameters, *statistics, ours.eps, ours.momentum, training=training, conventions=conventions
    )
    grads = torch.autograd.grad(y, parameters, torch.tensor(dy))
    assert_same(step(ours.train(training), x, dy), [tensor.detach().numpy() for tensor in (y, *grads)])
    torch.testing.assert_close(ours.moving_mean, mean.detach(), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(ours.moving_var, var.detach(), rtol=1e-13, atol=1e-13)
    assert torch.equal(mean, statistics[0]) != training


@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(training):
    _, ours = pair(D2L)
    ours.train(training)
    x = torch.tensor(draw(3, D2L), requires_grad=True)
    assert torch.autograd.gradcheck(ours, (x,))


def test_constant_channel_with_eps_outside_the_root():
    conventions = CONVENTIONS["outside_sqrt"]
    ref, ours = pair(conventions)
    x, dy = draw(4, conventions), draw(4, conventions, 1)
    x[:, 2] = 0.5
    got = step(ours, x, dy)
    assert all(np.isfinite(value).all() for value in got)
    assert_same(got, reference_step(ref, x, dy, training=True))


# --- modes and state ---


def test_mode_is_the_module_s_not_whether_gradients_are_on():
    _, ours = pair(D2L)
    x = torch.tensor(draw(2, D2L))
    with torch.no_grad():
        in_training = ours.train()(x)
        assert ours.updates == 1
        in_prediction = ours.eval()(x)
        assert ours.updates == 1
    torch.testing.assert_close(in_training.mean(0), ours.beta.detach(), rtol=0, atol=1e-12)
    assert not torch.allclose(in_training, in_prediction)


@pytest.mark.parametrize("name", ["d2l", "debiased"])
def test_state_dict_round_trips(name):
    conventions = CONVENTIONS[name]
    _, first = pair(conventions)
    for seed in range(3):
        first(torch.tensor(draw(4, conventions, seed)))
    second = BatchNorm(C, 1e-3, conventions=conventions, dtype=torch.float64)
    second.load_state_dict(first.state_dict())
    x = torch.tensor(draw(4, conventions, 9))
    torch.testing.assert_close(second.eval()(x), first.eval()(x), rtol=0, atol=0)
    torch.testing.assert_close(second.train()(x), first.train()(x), rtol=0, atol=0)
    torch.testing.assert_close(second.eval()(x), first.eval()(x), rtol=0, atol=0)


def test_to_moves_parameters_and_statistics_but_not_the_counter():
    layer = BatchNorm(C).to(torch.float64)
    dtypes = {name: value.dtype for name, value in layer.state_dict().items()}
    assert dtypes.pop("updates") == torch.int64
    assert set(dtypes.values()) == {torch.float64}
    assert layer(torch.tensor(draw(2, D2L))).dtype == torch.float64


def test_the_input_is_never_modified():
    _, ours = pair(D2L)
    x, dy = draw(4, D2L), draw(4, D2L, 1)
    tensor, cotangent = torch.tensor(x, requires_grad=True), torch.tensor(dy)
    ours(tensor).backward(cotangent)
    ours.eval()(tensor).backward(cotangent)
    np.testing.assert_array_equal(tensor.detach().numpy(), x)
    np.testing.assert_array_equal(cotangent.numpy(), dy)


# --- precision ---


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_input_is_computed_in_float32(dtype, training):
    layers = [pair(D2L, dtype=torch.float32)[1].train(training) for _ in range(2)]
    x16 = torch.tensor(draw(4, D2L)).to(dtype)
    dy16 = torch.tensor(draw(4, D2L, 1)).to(dtype)
    results = []
    for layer, x, dy in [(layers[0], x16, dy16), (layers[1], x16.float(), dy16.float())]:
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        results.append([y, *torch.autograd.grad(y, [leaf, layer.gamma, layer.beta], dy)])
    (y, dx, dgamma, dbeta), (y32, dx32, dgamma32, dbeta32) = results
    assert y.dtype == dx.dtype == dtype
    assert dgamma.dtype == dbeta.dtype == layers[0].moving_mean.dtype == torch.float32
    torch.testing.assert_close(y, y32.to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(dx, dx32.to(dtype), rtol=0, atol=0)
    for a, b in [(dgamma, dgamma32), (dbeta, dbeta32), (layers[0].moving_var, layers[1].moving_var)]:
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_large_mean_does_not_cancel():
    """mean/std = 1e4 in float32: E[x^2] - E[x]^2 would have no digit left, x * scale + shift three."""
    rng = rng_for(11)
    x = (rng.normal(size=(64, C, 4, 4)) + 1e4).astype(np.float32)
    dy = rng.normal(size=x.shape).astype(np.float32)
    ref, ours = pair(D2L, eps=1e-5, dtype=torch.float32)
    want = reference_step(ref, x.astype(np.float64), dy.astype(np.float64), training=True)
    got = step(ours, x, dy)
    # The mean's own rounding, about 1e4 * 2^-24, shifts every x - mean by as much.
    np.testing.assert_allclose(got[0], want[0], rtol=0, atol=3e-3)
    np.testing.assert_allclose(ours.moving_var.numpy(), ref.moving_var, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("training", [True, False])
def test_non_finite_values_stay_in_their_channel(bad, training):
    _, ours = pair(D2L)
    _, clean = pair(D2L)
    x, dy = draw(4, D2L), draw(4, D2L, 1)
    with_bad = x.copy()
    with_bad[1, 3, 0, 1] = bad
    got, want = step(ours.train(training), with_bad, dy), step(clean.train(training), x, dy)
    others = [0, 1, 2, 4]
    for a, b in zip(got, want, strict=True):
        axis = 1 if a.ndim > 1 else 0
        np.testing.assert_array_equal(np.take(a, others, axis), np.take(b, others, axis))
    torch.testing.assert_close(ours.moving_mean[others], clean.moving_mean[others], rtol=0, atol=0)
    assert not np.isfinite(got[0][:, 3]).all()


# --- what is accepted ---


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(0, C), (0, C, 2, 2), (2, C, 0)])
def test_an_empty_batch_changes_nothing(shape, training):
    _, ours = pair(D2L)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    y, dx, dgamma, dbeta = step(ours.train(training), np.zeros(shape), np.zeros(shape))
    assert y.shape == dx.shape == shape
    np.testing.assert_array_equal([dgamma, dbeta], np.zeros((2, C)))
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_single_value():
    x = torch.tensor(draw(2, D2L)[:1])
    with pytest.raises(ValueError, match="more than one value per channel"):
        BatchNorm(C, conventions=PRESETS["torch"], dtype=torch.float64)(x)
    _, ours = pair(D2L)
    torch.testing.assert_close(ours(x)[0], ours.beta.detach(), rtol=0, atol=0)
    BatchNorm(C, conventions=PRESETS["torch"], dtype=torch.float64).eval()(x)  # prediction needs one value only


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(C), ValueError, "rank 2 to 5, got rank 1"),
        (torch.zeros(2, C, 1, 1, 1, 1), ValueError, "rank 2 to 5, got rank 6"),
        (torch.zeros(4, C + 1), ValueError, "for 5 channels got 6 on axis 1"),
        (torch.zeros(4, 3, C), ValueError, "is the channel axis where you think it is"),
        (torch.zeros(4, C, dtype=torch.int64), TypeError, "floating-point input, got torch.int64"),
        (torch.zeros(4, C, dtype=torch.complex64), TypeError, "floating-point input, got torch.complex64"),
    ],
)
def test_bad_inputs(x, error, message, training):
    layer = BatchNorm(C).train(training)
    with pytest.raises(error, match=message):
        layer(x)
    assert layer.updates == 0


def test_no_features():
    with pytest.raises(ValueError, match="at least 1"):
        BatchNorm(0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_few_channels_are_joined_with_their_neighbours_and_nothing_changes(dtype):
    generator = torch.Generator().manual_seed(9)
    x, dy = (at + torch.randn(8, 3, 150, 160, generator=generator, dtype=torch.float64) for at in (3, 0))
    gamma, beta = (
        torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64),
        torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64),
    )
    wide = torch.promote_types(dtype, torch.float32)

    def forward_backward(layout):
        point = [x.to(dtype).contiguous(memory_format=layout), gamma.to(wide), beta.to(wide)]
        leaves = [tensor.clone().requires_grad_() for tensor in point]
        y, mean, var = normalize_by_batch(*leaves, 1e-5, PRESETS["torch"])
        y.backward(dy.to(dtype).contiguous(memory_format=layout))
        return y.detach(), mean, var, *(leaf.grad for leaf in leaves)

    joined, apart = forward_backward(torch.channels_last), forward_backward(torch.contiguous_format)
    assert joined[0].is_contiguous(memory_format=torch.channels_last)
    for index, (got, want) in enumerate(zip(joined, apart, strict=True)):
        limit = 1e3 * torch.finfo(dtype if index in (0, 3) else wide).eps if dtype is not torch.bfloat16 else 2**-7
        assert (got - want).abs().max() <= limit * want.abs().max()


@pytest.mark.parametrize(
    ("shape", "layout", "neighbours"),
    [
        ((8, 3, 150, 160), torch.channels_last, 80),  # of 85 at most, the next that divides 192,000
        ((256, 6, 24, 24), torch.channels_last, 36),
        ((256, 6, 24, 24), torch.contiguous_format, 0),
        ((64, 65, 8, 8), torch.channels_last, 1),  # channels enough
    ],
)
def test_who_is_joined(shape, layout, neighbours):
    assert rows_of(torch.empty(shape).contiguous(memory_format=layout), PRESETS["torch"]).joined == neighbours


class Plain(BatchNorm):
    kernels = cpp = False
    conventions = PRESETS["torch"]

    def __init__(self, num_features, eps, momentum, **settings):
        super().__init__(num_features, eps, momentum, self.conventions, **settings)


class PlainChannelsLast(Plain):
    conventions = PRESETS["flax"]


SOME_CASES = ("rank4", "moved_channels", "large_mean_1e4", "sixteen_bits")


@pytest.mark.parametrize("layer", [Plain, PlainChannelsLast])
@pytest.mark.parametrize("block", [4, 2**18])
def test_blocks_of_any_size_stay_within_the_bounds(layer, block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    monkeypatch.setattr(blocks, "LEAST", 0)  # the memory that is kept is used
    made = []
    monkeypatch.setattr(fast_batch_norm, "rows_of", lambda *given: made.append(rows_of(*given)) or made[-1])
    cases = tuple(case_by_id(case) for case in SOME_CASES)
    report = checked(factory_of(layer, "blocks"), cases=cases, diagnosed=False)
    assert report.verdict == "agree"
    assert any(not rows.are_one for rows in made) == (block < 2**18)
    assert any(rows.parts > 1 for rows in made) == (block == 4)  # a row in several blocks
    assert any(rows.joined > 4 for rows in made)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_large_x_is_normalized_and_differentiated_by_blocks(dtype, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 2**12)
    generator = torch.Generator().manual_seed(3)
    for shape in ((301, 80), (2, 7, 45, 40), (2, 3, 150, 160)):
        x = (2 + torch.randn(shape, generator=generator)).to(dtype)
        dy = torch.randn(shape, generator=generator).to(dtype)
        layer = Plain(shape[1], None, None)
        with torch.no_grad():
            layer.gamma.copy_(torch.linspace(-1, 2, shape[1]))
        assert not rows_of(x, layer.conventions).are_one
        exact = copy.deepcopy(layer).double()
        got, want = (
            forward_backward_of(norm, x.to(kind), dy.to(kind))
            for norm, kind in ((layer, dtype), (exact, torch.float64))
        )
        for name, a, b in zip(("y", "dx", "dgamma", "dbeta", "mean", "var"), got, want, strict=True):
            eps = torch.finfo(a.dtype).eps
            assert (a.double() - b).abs().max() <= 16 * eps * b.abs().max(), (shape, name)


def forward_backward_of(layer, x, dy):
    leaf = x.clone().requires_grad_()
    y = layer(leaf)
    gradients = torch.autograd.grad(y, [leaf, layer.gamma, layer.beta], dy)
    return y.detach(), *gradients, layer.moving_mean.clone(), layer.moving_var.clone()


@pytest.mark.parametrize("at_once", [10, 2**18])
def test_any_order_in_memory_gives_the_same(at_once, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", at_once)
    generator = torch.Generator().manual_seed(4)
    x, dy = torch.randn(2, 4, 3, 5, 6, generator=generator, dtype=torch.float64)
    want = forward_backward_of(Plain(3, None, None).double(), x, dy)
    orders = (
        lambda t: t.contiguous(memory_format=torch.channels_last),
        lambda t: t.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        lambda t: t.permute(2, 0, 1, 3).contiguous().permute(1, 2, 0, 3),
        lambda t: torch.stack([t, t], -1)[..., 0],  # with gaps
    )
    for of_x, of_dy in product(orders, orders):
        got = forward_backward_of(Plain(3, None, None).double(), of_x(x), of_dy(dy))
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)
    layer, plain = Plain(3, None, None).double(), Plain(3, None, None).double()
    ones = torch.ones((), dtype=torch.float64).expand_as(x)
    got, want = forward_backward_of(layer, x, ones), forward_backward_of(plain, x, ones.contiguous())
    torch.testing.assert_close(got, want, rtol=0, atol=0)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_what_comes_next_may_be_in_place(layout):
    layer = Plain(3, None, None)
    x = torch.randn(4, 3, 5, 6).contiguous(memory_format=layout).requires_grad_()
    wanted = torch.autograd.grad(layer(x).relu().sum(), x)
    torch.testing.assert_close(torch.autograd.grad(layer(x).relu_().sum(), x), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_backward_keeps_x_gamma_and_two_numbers_per_channel(training):
    layer = Plain(3, None, None).train(training)
    x = torch.randn(4, 3, 5, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x)
    assert [t.data_ptr() for t in kept if t.numel() == x.numel()] == [x.data_ptr()]
    assert sorted(t.numel() for t in kept) == [3, 3, 3, x.numel()]


def test_the_memory_that_is_kept_is_of_no_mode(monkeypatch):
    """Made in inference mode it could not be written to in another."""
    monkeypatch.setattr(blocks, "kept", threading.local())
    layer, x = Plain(4, None, None), torch.randn(512, 4, 16, 16)
    with torch.inference_mode():
        want = copy.deepcopy(layer)(x)
    assert blocks.kept.bytes > 0
    assert torch.equal(layer(x), want)


def test_large_pages_are_asked_for_where_there_is_much_memory(monkeypatch):
    asked = []
    monkeypatch.setattr(pages, "madvise", lambda: lambda *given: asked.append(given))
    x = torch.empty(pages.LARGE // 4 + 5)
    y = pages.empty_like(x)
    ((first, size, advice),) = asked
    assert first % mmap.PAGESIZE == 0
    assert y.data_ptr() <= first < first + size == y.data_ptr() + y.nbytes
    assert advice == mmap.MADV_HUGEPAGE
    pages.empty_like(x[: pages.LARGE // 4 - 1])
    pages.empty_like(x.to("meta"))
    pages.empty_like(x.as_subclass(type("Subclass", (torch.Tensor,), {})))  # a fake tensor, say, has no memory
    assert len(asked) == 1


def test_a_weight_is_rounded_as_float32_rounds_it():
    for number in np.random.default_rng(0).uniform(0, 1, 1000):
        assert in_float32(float(number)) == float(np.float32(number))
