"""How fine the suite sees: the published table has no gap that is not known, and is that of today's bounds."""

import re
from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID
from tests.experiments import resolution
from tests.experiments.resolution import MISTAKES, REGIMES, table

PUBLISHED = Path(resolution.__file__).with_name("RESOLUTION.md")
GAPS = {
    ("bfloat16", "mean/std 100", "eps"),
    ("bfloat16", "n about 1,024", "eps"),
    ("float16", "mean/std 10,000", "eps"),
    ("float16", "n about 1,024", "eps"),
    ("float32", "mean/std from 100,000 on", "variance in y"),
    ("float32", "n about 1,024", "eps"),
    ("float32", "rank 5", "eps"),
}
"""Where nothing is caught, of any size up to 1."""
REGIME = "mean/std 10,000"
CASES_OF_REGIME = ("large_mean_1e4", "large_mean_1e4_eps", "large_moving_mean")


def published():
    """{(dtype, regime, mistake): the size, or None where nothing is caught}; empty cells are left out."""
    sizes = {}
    for section in PUBLISHED.read_text(encoding="utf-8").split("\n## ")[1:]:
        dtype, *lines = section.splitlines()
        for line in lines:
            regime, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            if any(regime == each.name for each in REGIMES):
                sizes |= {
                    (dtype, regime, mistake): None if cell == "-" else float(cell)
                    for mistake, cell in zip(MISTAKES, cells, strict=True)
                    if cell
                }
    return sizes


def test_no_regime_has_a_gap_that_is_not_known():
    sizes = published()
    assert {key for key, size in sizes.items() if size is None} <= GAPS
    for dtype in ("float64", "float32"):
        regimes = {regime for of_dtype, regime, _ in sizes if of_dtype == dtype}
        missing = {regime.name for regime in REGIMES} - regimes
        assert missing <= ({"n from 65,536 on"} if dtype == "float64" else set())


@pytest.mark.parametrize("mistake", ["eps", "dx: variance term"])
def test_the_published_table_is_that_of_the_bounds(mistake):
    cases = [BY_ID[case] for case in CASES_OF_REGIME]
    key = ("float32", REGIME, mistake)
    size = table(cases, ("float32",), (mistake,))[key].size
    assert size == pytest.approx(published()[key], rel=0.1), (
        "the bounds or cases have changed: python -m tests.experiments.resolution > tests/experiments/RESOLUTION.md"
    )


def test_the_published_table_is_a_table():
    text = PUBLISHED.read_text(encoding="utf-8")
    assert len(re.findall(r"^\| regime \|", text, re.MULTILINE)) == 4
