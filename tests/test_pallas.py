"""The Pallas kernels, interpreted on the CPU: by the reference and the oracle's bounds, every way through them, and how
far towards a GPU one gets without having one. Which layers take them: test_pallas_choice.py."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")

import jax.numpy as jnp  # noqa: E402  (after the skip)

from harness.bench.layer_jax import kept_bytes  # noqa: E402
from harness.cases.catalogue import case_by_id  # noqa: E402
from harness.check import CheckOptions, check  # noqa: E402
from harness.targets.load import load  # noqa: E402
from impls.jax_flax import pallas_batch_norm, pallas_kernels  # noqa: E402
from impls.jax_flax.batch_norm import BatchNorm, batch_norm  # noqa: E402
from impls.jax_flax.paired_sums import spread, total  # noqa: E402
from impls.jax_flax.pallas_layer import SMALL, FasterBatchNorm  # noqa: E402
from impls.jax_flax.pallas_plan import LARGEST, Chip, in_parts, layout_of, levels, on_chip, power_of_two  # noqa: E402
from reference import batch_norm as reference  # noqa: E402
from reference.conventions import D2L, PRESETS  # noqa: E402
from reference.summation_error import BLOCK_DEPTH  # noqa: E402

LAST = PRESETS["flax"]
SHAPES = (
    *((1, 1), (7, 3), (5, 3, 3, 4), (256, 6, 24, 24), (64, 64, 56, 56), (3, 2, 33, 65), (147456, 6), (200704, 64)),
    *((2**21 + 1, 1), (1, 4096, 300), (8, 512, 7, 7)),
)
CASES = {"jax-pallas": ("one_value", "float32"), "jax-pallas-parts": ("moved_channels", "bfloat16")}
"""A few: XLA takes half a second for each shape and dtype. `bnproof check` of them plays all."""


# --- values ---


@pytest.mark.parametrize("target", CASES)
def test_the_kernels_stay_within_the_bounds_of_pairwise_sums(target):
    assert load(target).summation == "pairwise"
    case, dtype = CASES[target]
    (report,) = check([target], CheckOptions((replace(case_by_id(case), dtypes=(dtype,)),), diagnosed=False))
    assert report.verdict == "agree"
    assert dtype in {judgement.dtype for judgement in report.judgements if judgement.verdict == "agree"}


def draw(shape, dtype, mean=3.0, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = (jnp.asarray(rng.normal(at, 1, shape), dtype) for at in (mean, 0))
    return x, dy


def by_kernels(x, gamma, beta, conventions, kernels):
    numbers = (jnp.zeros_like(beta), jnp.ones_like(gamma), 1e-3, 0.0)
    momentum_of_new = replace(conventions, momentum="keep")
    return batch_norm(x, gamma, beta, *numbers, training=True, conventions=momentum_of_new, kernels=kernels)


@pytest.mark.parametrize("kernels", [True, SMALL])
@pytest.mark.parametrize(
    ("shape", "conventions"),
    [((5, 3, 3, 4), D2L), ((9, 37), LAST)],  # neither a row, nor a column, nor a channel more than tiles have
)
def test_training_is_the_reference(shape, conventions, kernels):
    with jax.enable_x64(True):
        x, dy = draw(shape, "float64")
        channels = shape[conventions.channel_axis]
        gamma, beta = (jnp.asarray(np.random.default_rng(at).normal(size=channels)) for at in (1, 2))

        @jax.jit
        def train(x, gamma, beta):
            y, backward, moved = jax.vjp(
                lambda *point: (lambda y, *moved: (y, moved))(*by_kernels(*point, conventions, kernels)),
                x, gamma, beta, has_aux=True,
            )  # fmt: skip
            return (y, *backward(dy), *moved)

        got = train(x, gamma, beta)
    expected = reference.BatchNorm(channels, 1e-3, 0.0, replace(conventions, momentum="keep"), "float64")
    expected.gamma, expected.beta = np.asarray(gamma), np.asarray(beta)
    y, cache = expected.train(np.asarray(x))
    want = (y, *expected.train_backward(np.asarray(dy), cache), expected.moving_mean, expected.moving_var)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * np.abs(b).max())


def test_second_derivatives_are_those_of_the_plain_form():
    """Reverse over reverse, in 16 bits by half of their digits."""
    with jax.enable_x64(True):
        x, dy = draw((3, 2, 2), "float64")
        gamma, beta = jnp.asarray([1.5, -0.5]), jnp.asarray([0.0, 1.0])

        def twice(kernels):
            def gradients(dy, *point):
                return jax.vjp(lambda *point: by_kernels(*point, D2L, kernels)[0], *point)[1](dy)

            @jax.jit
            def second(dy, *point):
                return jax.vjp(gradients, dy, *point)[1]((x * 0.5 + dy, gamma * 2, beta + 3))

            return second(dy, x, gamma, beta)

        for a, b in zip(twice(True), twice(False), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * max(1.0, np.abs(b).max()))


def test_there_is_no_forward_mode():
    x, _ = draw((4, 2), "float32")
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(lambda x: by_kernels(x, jnp.ones(2, "float32"), jnp.zeros(2, "float32"), D2L, True)[0], (x,), (x,))


def test_the_layer_takes_them_where_it_is_told_to(monkeypatch):
    taken, by_batch = [], pallas_batch_norm.by_batch
    monkeypatch.setattr(pallas_batch_norm, "by_batch", lambda *given: taken.append(True) or by_batch(*given))
    x, _ = draw((6, 2), "float32")
    layer, plain, faster = BatchNorm(2), BatchNorm(2), FasterBatchNorm(2)
    layer.kernels = True
    y = layer(x)
    assert taken.pop()
    np.testing.assert_allclose(y, plain(x), atol=1e-6)
    np.testing.assert_allclose(layer.moving_var[...], plain.moving_var[...], rtol=1e-6)
    faster(x)
    assert not taken  # without a GPU


def test_backward_keeps_x_in_its_own_dtype_and_two_numbers_per_channel():
    with jax.enable_x64(False):
        x = jnp.ones((4, 8, 8, 120), jnp.bfloat16)

        def forward(parameters, x):
            y, *moved = by_kernels(x, *parameters, LAST, True)
            return y, moved

        kept = kept_bytes(forward, (jnp.ones(120, "float32"), jnp.zeros(120, "float32")), x)
    assert x.nbytes < kept <= x.nbytes + 4 * (3 * 120 + 4)  # gamma among them, and some scalars


# --- the order of sums, which `summation = "pairwise"` promises ---


def in_pairs(rows):
    """(n, C) -> (C,): the first half and the second, until one is left; an odd one at the end is left over."""
    while len(rows) > 1:
        half = len(rows) // 2
        rows = np.concatenate([rows[:half] + rows[half : 2 * half], rows[2 * half :]])
    return rows[0]


def padded(x, rows):
    return np.concatenate([x, np.zeros((rows - len(x), x.shape[1]), x.dtype)])


def test_a_program_adds_in_pairs_in_this_very_order():
    with jax.enable_x64(False):
        x, _ = draw((3000, 16), "float32", mean=0.0)
        one = jnp.ones((1, 16), jnp.float32)
        way = partial(pallas_batch_norm.normalize_by_batch, conventions=D2L, chip=Chip(kept=2**16))
        _, mean, _ = jax.jit(way)(x, one, one, jnp.float32(1e-5))
    np.testing.assert_array_equal(mean, in_pairs(padded(x, 4096)) * np.float32(1 / 3000))


def test_programs_that_share_a_channel_add_tiles_one_by_one_and_then_in_pairs():
    layout = layout_of((20000, 4), 1)
    tiling = replace(in_parts(layout, Chip(summed=256, wide=4)), parts=21)
    assert (tiling.tile_rows, tiling.tile_cols, tiling.in_a_row) == (64, 4, 15)
    with jax.enable_x64(False):
        x, _ = draw((20000, 4), "float32", mean=0.0)
        (got,) = jax.jit(
            lambda x: pallas_kernels.sums_of(pallas_kernels.values, [x], [], 1, jnp.float32, layout, tiling, True)
        )(x)
    tiles = padded(x, 21 * 15 * 64).reshape(21, 15, 64, 4)
    of_parts = np.stack([in_pairs(np.add.accumulate(own)[-1]) for own in tiles])
    np.testing.assert_array_equal(got, in_pairs(of_parts))


def test_what_is_plain_adds_in_pairs_both_ways():
    """A sum, and what JAX makes of a broadcast when it transposes it."""
    with jax.enable_x64(False):
        x, _ = draw((5, 8, 201), "float32", mean=0.0)
        transposed = jax.vjp(lambda value: spread(value, x.shape), jnp.ones(8, "float32"))[1](x)[0]
        want = in_pairs(np.asarray(x).transpose(2, 0, 1).reshape(-1, 8))
        np.testing.assert_array_equal(total(x), want)
        np.testing.assert_array_equal(transposed, want)


@pytest.mark.parametrize("chip", [Chip(), SMALL])
@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_cover_x_and_fit_and_sums_are_pairwise(shape, chip):
    layout = layout_of(shape, 1)
    shared = in_parts(layout, chip)
    for tiling in filter(None, (on_chip(layout, chip, 4, 1), on_chip(layout, chip, 8, 2), shared)):
        assert tiling.blocks * tiling.channels >= layout.channels
        assert tiling.parts * tiling.in_a_row >= tiling.tiles
        values = 1 if layout.last else tiling.tile_cols
        assert tiling.tiles * tiling.tile_rows * values >= layout.values
        assert tiling.tile_rows * tiling.tile_cols == power_of_two(tiling.tile_rows * tiling.tile_cols)
        assert tiling.additions <= BLOCK_DEPTH + levels(layout.values)
        most = chip.summed if tiling is shared else chip.kept
        assert tiling.tile_rows * tiling.tile_cols <= most
    assert (shared.parts - 1) * shared.in_a_row < shared.tiles  # every program has work


@pytest.mark.parametrize(("channels", "inner"), [(1, 1), (33, 1), (1, 33), (2, 1025), (1, 2049), (1, LARGEST)])
def test_the_largest_x_fits_into_a_grid(channels, inner):
    layout = layout_of((LARGEST // inner // channels, channels, inner), 1)
    tiling = in_parts(layout, Chip())
    assert tiling.parts <= 65535
    assert tiling.additions <= BLOCK_DEPTH + levels(layout.values)


# --- towards a GPU ---


def lowered_for_cuda(monkeypatch, chip):
    """What XLA would be given of forward and backward, as MLIR."""
    monkeypatch.setattr(pallas_batch_norm, "is_interpreted", lambda: False)
    x = jnp.zeros((300, 70), jnp.bfloat16)

    def both(x, gamma, dy):
        return jax.vjp(lambda *point: by_kernels(*point, jnp.zeros(70, "float32"), D2L, chip)[0], x, gamma)[1](dy)

    with jax.enable_x64(False):
        return jax.jit(both).trace(x, jnp.ones(70, "float32"), x).lower(lowering_platforms=("cuda",)).compiler_ir()


def kernels_in(operation):
    if operation.name == "stablehlo.custom_call" and "triton" in str(operation.attributes["call_target_name"]):
        yield operation
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield from kernels_in(inner.operation)


@pytest.mark.parametrize(("chip", "calls"), [(Chip(), 2), (Chip(kept=64), 3)])
def test_they_are_lowered_for_cuda_and_triton_compiles_them(monkeypatch, tmp_path, chip, calls):
    """To machine code of compute capability 9.0, by the Triton that is installed; that is not XLA's own."""
    module = lowered_for_cuda(monkeypatch, chip)
    kernels = list(kernels_in(module.operation))
    assert len(kernels) == calls
    triton = pytest.importorskip("triton")
    from jaxlib.mlir import ir
    from jaxlib.triton import dialect
    from triton.backends.compiler import GPUTarget

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    dialect.register_dialect(module.context)
    module.context.load_all_available_dialects()
    for kernel in kernels:
        settings = ir.DictAttr(kernel.attributes["mhlo.backend_config"])
        if "ir" not in settings:
            pytest.skip("this JAX has compiled the kernels by itself when it lowered them")
        source = tmp_path / "kernel.ttir"
        source.write_text(str(ir.Module.parse(ir.StringAttr(settings["ir"]).value_bytes, module.context)))
        warps = ir.IntegerAttr(settings["num_warps"]).value
        made = triton.compile(str(source), target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
        assert len(made.asm["cubin"]) > 1000
