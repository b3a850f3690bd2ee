r"""ORACLE.md: how far the oracle is from the exact values, in balls, beside what the judge allows it.

    python -m tests.experiments.oracle > tests/experiments/ORACLE.md

Every case of the suite, in every dtype that it is played in, under two sets of conventions; and in float64 the lengths
that the suite plays in float32 alone. Exit status 1 if the oracle is ever further off than it is said to be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.cases.case import Case
from harness.cases.catalogue import BY_ID, CASES
from harness.cases.script import DTYPES, Script
from harness.judge.expected import Expected, expect
from harness.judge.oracle import oracle_dtype
from harness.observables import column
from reference.conventions import D2L, Conventions
from reference.oracle_error import unit_of
from tests.experiments.arb import BITS, Channel, Values, ball

CONVENTIONS = (
    replace(D2L, single_value="any"),
    replace(
        D2L, single_value="any", momentum="new", moving_var="unbiased", eps_at="outside_sqrt", debias=True
    ),
)  # fmt: skip
"""Between them both places of eps, both variances, both readings of momentum, with debiasing and without."""
LONG = (("values_65536", "float64"), ("values_401408", "float64"))


@dataclass
class Compared:
    """What came of one observable, against one type of oracle."""

    numbers: int = 0
    undefined: int = 0
    """Of how many more there is no exact value."""
    of_claim: float = 0.0
    """The greatest |oracle - exact| over what the oracle is said to be off at most."""
    case: str = ""
    of_bound: float = 0.0
    """The same over the bound of the layer that is judged."""
    radius: float = 0.0
    """The greatest radius of a ball over the claim: how much of the comparison is the ball's own."""

    def add(self, error: float, claim: float, bound: float, radius: float, case: str) -> None:
        self.numbers += 1
        ratio = over(error, claim)
        if ratio > self.of_claim:
            self.of_claim, self.case = ratio, case
        self.of_bound, self.radius = max(self.of_bound, over(error, bound)), max(self.radius, over(radius, claim))


def over(part: float, whole: float) -> float:
    return 0.0 if part == 0 else part / whole if whole > 0 else float("inf")


Table = dict[tuple[str, str], Compared]
"""By the dtype of the layer and the observable in its mode."""


def compare(case: Case, dtype: str, seed: int, conventions: Conventions, table: Table) -> None:
    """Add one case to the table. Where something is not finite there is nothing to compare."""
    script = case.make(dtype, seed, conventions.momentum_for(case.new_weight))
    expected = expect(script, conventions)
    for channel in range(case.shape[1]):
        for number, values in enumerate(in_balls(script, channel, conventions)):
            if number < len(expected):
                add_step(
                    table, f"{case.id} {dtype}", (dtype, script.steps[number].op), values, expected[number], channel
                )


def in_balls(script: Script, channel: int, conventions: Conventions) -> Iterator[Values]:
    sessions = [Channel(setup, channel, conventions) for setup in script.setups]
    for step in script.steps:
        yield sessions[step.session].play(step, channel)


def add_step(
    table: Table, case: str, key: tuple[str, str], values: Values, expected: Expected, channel: int
) -> None:  # fmt: skip
    dtype, op = key
    for name, exact in values.items():
        given, bounds = (of_channel(a[name], channel) for a in (expected.values, expected.bounds))
        claims = bounds * (share if np.ndim(share := expected.shares[name].of_both()) == 0 else share[channel])
        if not all(np.isfinite(a.astype(np.float64)).all() for a in (given, bounds)):
            continue
        compared = table.setdefault((dtype, column(name, op)), Compared())
        for got, want, claim, bound in zip(given, exact, claims, bounds, strict=True):
            if not want.is_finite():
                compared.undefined += 1
                continue
            error = float((ball(got) - want).abs_upper())
            compared.add(error, float(claim), float(bound), float(want.rad()), case)


def of_channel(a: np.ndarray, channel: int) -> np.ndarray:
    """x's shape or (C,) -> the values of a channel."""
    return a[:, channel].ravel() if a.ndim > 1 else a[channel : channel + 1]


def whole_table(seeds: int) -> Table:
    table: Table = {}
    played = [(case, dtype) for case in CASES for dtype in case.dtypes]
    for case, dtype in [*played, *((BY_ID[case_id], dtype) for case_id, dtype in LONG)]:
        for seed in range(seeds if case.values_per_channel < 10_000 else 1):
            for conventions in CONVENTIONS:
                compare(case, dtype, seed, conventions, table)
        print(case.id, dtype, file=sys.stderr)
    return table


def as_markdown(table: Table, seeds: int) -> str:
    lines = [
        "# How far the oracle is from the exact values",
        "",
        "Made by `python -m tests.experiments.oracle`: every case of the suite, and those of 65,536 and 401,408",
        f"values a channel in float64 too, against balls of {BITS} bits from the very inputs; {seeds} seeds (one",
        "from 10,000 values a channel on). What the oracle may be off is allowed for in every bound. *error/claim*:",
        "the greatest error over what is allowed for it in that place, which it may not exceed; *error/bound*: the",
        "same over the bound of the layer that is judged; *radius/claim*: the greatest radius of a ball.",
        "*undefined*: numbers that are not compared, because there is no exact one (debiased by 1 - 1).",
        "",
        "| layer | oracle's bits | observable | numbers | undefined | error/claim | in | error/bound | radius/claim |",
        "|---|---:|---|---:|---:|---:|---|---:|---:|",
    ]
    for (dtype, name), c in sorted(table.items(), key=lambda item: DTYPES.index(item[0][0])):
        bits = str(round(-np.log2(unit_of(oracle_dtype(dtype)))))
        cells = (dtype, bits, name, f"{c.numbers:,}", str(c.undefined), f"{c.of_claim:.3f}", c.case)
        lines.append(f"| {' | '.join(cells)} | {c.of_bound:.1e} | {c.radius:.1e} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    table = whole_table(seeds)
    print(as_markdown(table, seeds))
    return 0 if all(compared.of_claim <= 1 for compared in table.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
