"""A search for a case in which one of our own implementations disagrees with the oracle.

    python -m tests.experiments.search --cases 10000

Hypothesis draws the cases and shrinks one that fails; our implementations are judged as any target is.
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
from harness.check import CheckOptions, check_cases
from harness.judge.report import TargetReport
from harness.targets.built_in import is_installed
from harness.targets.in_process import InProcessTarget
from harness.targets.load import load
from reference.conventions import D2L

OUR_OWN = ("numpy", "torch", "jax")
# A pool instead of any shape: JAX compiles once for each.
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
    """Three distinct values far from zero, whose rounding errors do not average out."""
    return 7.3 + 0.1 * rng.integers(0, 3, shape)


@st.composite
def cases(draw) -> Case:
    ratio, std = 10 ** draw(st.floats(-1, 5)), 10 ** draw(st.floats(-3, 3))
    data = draw(
        st.sampled_from([gaussian(ratio, std), relu_zeros, wide_scales(), lattice, with_constant_channel(ratio, 0)])
    )
    return Case(
        id=f"search_{draw(st.integers(0, 2**32))}",
        why="drawn at random",
        shape=draw(st.sampled_from(SHAPES)),
        data=data,
        script=draw(st.sampled_from(SCRIPTS)),
        dtypes=(draw(st.sampled_from(["float64", "float32"])),),
        eps=10 ** draw(st.floats(-8, -1)),
        new_weight=draw(st.floats(0.001, 0.999)),
        moving_scale=(10 ** draw(st.floats(-2, 3)), 10 ** draw(st.floats(-4, 3))),
    )


def disagreements(case: Case, players: list[InProcessTarget]) -> list[str]:
    """What any of the players gets wrong in one case, in words."""
    return [
        f"{player.name}: {judgement.dtype} step {judgement.step} {judgement.observable}{judgement.index} "
        f"{judgement.ratio} {judgement.message or ''}"
        for player in players
        for judgement in check_cases(player, [(case, case.dtypes[0])], CheckOptions((case,)), report_on(player))
        if judgement.counts_against
    ]


def report_on(player: InProcessTarget) -> TargetReport:
    return TargetReport(player.name, conventions=D2L, source="declared", description=player.describe())


def search(examples: int, derandomize: bool = False) -> int:
    """Raises AssertionError with the smallest case in which there is a disagreement. Returns how many were played."""
    players = [InProcessTarget(load(name)) for name in OUR_OWN if is_installed(name)]
    played = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=derandomize,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(cases())
    def agrees(case: Case) -> None:
        nonlocal played
        played += 1
        wrong = disagreements(case, players)
        assert not wrong, f"{case}: {wrong[0]}"

    agrees()
    return played


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    asked = parser.parse_args().cases
    started = time.monotonic()
    played = search(asked)
    seconds = time.monotonic() - started
    print(f"{played} cases, {', '.join(OUR_OWN)}: no disagreement with the oracle; {seconds:.0f} s")
    sys.exit(0 if played >= asked else 1)


if __name__ == "__main__":
    main()
