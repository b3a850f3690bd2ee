"""A search for a case in which one of our own implementations disagrees with the oracle.

    python -m tests.experiments.search --cases 10000

Hypothesis draws the case (and shrinks what it finds); every implementation is judged by the same bounds as any target.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.cases.case import Case
from harness.cases.data import gaussian, relu_zeros, wide_scales, with_constant_channel
from harness.judge.expected import expect
from harness.judge.judge import judge
from harness.targets.built_in import is_installed
from harness.targets.load import load
from harness.targets.play import play
from reference.conventions import D2L

OWN = ("numpy", "torch", "jax")
# A pool, not any shape: JAX compiles once for each.
SHAPES = [
    (1, 3), (2, 3), (3, 2), (5, 4), (17, 3), (64, 2), (3, 2, 5), (1, 3, 2), (2, 3, 4, 5), (1, 2, 3, 1),
    (6, 3, 7, 5), (2, 2, 3, 2, 2), (128, 3), (10, 2, 10, 10),
]  # fmt: skip
SCRIPTS = [
    ("eval", "train", "train", "eval"),
    ("train", "train", "train", "train", "train", "eval"),
    ("eval",),
    ("train", "eval", "train", "eval"),
]


def lattice(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Few values, off zero: rounding errors that do not average out."""
    return 7.3 + 0.1 * rng.integers(0, 3, shape)


@st.composite
def cases(draw) -> Case:
    ratio, std = 10 ** draw(st.floats(-1, 5)), 10 ** draw(st.floats(-3, 3))
    data = draw(
        st.sampled_from([gaussian(ratio, std), relu_zeros, wide_scales(), lattice, with_constant_channel(ratio, 0)])
    )
    return Case(
        id=f"search_{draw(st.integers(0, 2**32))}",
        why="drawn",
        shape=draw(st.sampled_from(SHAPES)),
        data=data,
        script=draw(st.sampled_from(SCRIPTS)),
        dtypes=(draw(st.sampled_from(["float64", "float32"])),),
        eps=10 ** draw(st.floats(-8, -1)),
        new_weight=draw(st.floats(0.001, 0.999)),
        moving_scale=(10 ** draw(st.floats(-2, 3)), 10 ** draw(st.floats(-4, 3))),
    )


def disagreements(case: Case, targets: dict) -> list[str]:
    """What any of the targets gets wrong in one case, in words."""
    dtype = case.dtypes[0]
    script = case.make(dtype, 0, D2L.momentum_for(case.new_weight))
    expected = expect(script, D2L)
    found = []
    for name, target in targets.items():
        with np.errstate(all="ignore"):
            seen = play(target, script, D2L.channel_axis)
        found += [
            f"{name}: {one.dtype} step {one.step} {one.observable}{one.index} {one.ratio} {one.message or ''}"
            for one in judge(case, script, expected, seen)
            if one.counts_against
        ]
    return found


def search(examples: int, seed_is_fixed: bool = False) -> int:
    """Raises AssertionError with the smallest case that it finds. Returns how many cases were played."""
    targets = {name: load(name) for name in OWN if is_installed(name)}
    played = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=seed_is_fixed,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(cases())
    def agrees(case: Case) -> None:
        nonlocal played
        played += 1
        found = disagreements(case, targets)
        assert not found, f"{case}: {found[0]}"

    agrees()
    return played


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    count = parser.parse_args().cases
    started = time.monotonic()
    total = search(count)
    print(f"{total} cases, {', '.join(OWN)}: no disagreement with the oracle; {time.monotonic() - started:.0f} s")
    sys.exit(0 if total >= count else 1)
