"""How fine the suite sees: the published table has no gap, and is that of today's bounds."""

import re
from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID
from tests.experiments import resolution
from tests.experiments.resolution import MISTAKES, REGIMES, table

PUBLISHED = Path(resolution.__file__).with_name("RESOLUTION.md")
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


def test_every_mistake_is_caught_in_every_regime():
    """Of some size up to 1, wherever a dtype has cases in the regime."""
    sizes = published()
    assert not [key for key, size in sizes.items() if size is None]
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
