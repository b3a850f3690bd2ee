"""The Triton kernels, played by Triton's interpreter on the CPU: by the oracle's bounds, every way through them."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from harness.cases.catalogue import case_by_id  # noqa: E402
from harness.check import CheckOptions, check  # noqa: E402
from harness.targets.wrap.torch_module import copied  # noqa: E402
from impls.pytorch.triton_plan import Chip, Layout, plan  # noqa: E402

DTYPES_OF_CASES = {"moved_channels": ("bfloat16",), "one_value": ("float64", "float32")}
"""A few: the interpreter takes a hundredth of a second for a program."""


def test_the_kernels_stay_within_the_bounds(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    cases = [replace(case_by_id(case), dtypes=dtypes) for case, dtypes in DTYPES_OF_CASES.items()]
    (report,) = check(["torch-triton"], CheckOptions(tuple(cases), diagnosed=False))
    assert report.verdict == "agree"
    agreed = {(judgement.case, judgement.dtype) for judgement in report.judgements if judgement.verdict == "agree"}
    assert agreed == {(case, dtype) for case, dtypes in DTYPES_OF_CASES.items() for dtype in dtypes}


def test_a_copy_to_a_device_keeps_strides():
    x = torch.arange(24.0).view(3, 8)
    for lying in (x, x.t(), x[:, ::2], x[:, :1].expand(3, 5), torch.ones(()).expand(2, 3)):
        copy = copied(lying, "cpu")
        assert copy.stride() == lying.stride()
        assert torch.equal(copy, lying)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("rows", "channels", "positions"),
    [(256, 6, 576), (256, 16, 64), (64, 64, 3136), (256, 120, 1), (8, 512, 49), (128, 3, 50176), (1, 1, 1), (7, 3, 5)],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tiles_cover_x_and_fit(rows, channels, positions, last, dtype):
    layout = Layout(rows * positions, channels, channels, True) if last else Layout(rows, channels, positions, False)
    planned = plan(layout, dtype, Chip(132))
    kept = [tiling for tiling in (planned.forward, planned.backward) if tiling]
    for tiling in (*kept, planned.collected, planned.applied):
        wide = tiling.blocks * tiling.tile_cols if last else channels
        assert wide >= channels
        assert tiling.tiles * tiling.tile_rows * (1 if last else tiling.tile_cols) >= layout.values
        assert 1 <= tiling.parts <= tiling.tiles
        assert tiling.tile_rows * tiling.tile_cols <= 16384
        assert 1 <= tiling.warps <= 16
        assert (tiling.chunk == 1) == (tiling.parts == 1)
    for tiling in kept:
        assert tiling.parts == tiling.tiles <= 132  # they wait for each other: all must get onto the chip
