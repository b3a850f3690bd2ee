r"""TIGHTNESS.md: how many times the error of honest code the bounds are, on ordinary data.

    python -m tests.experiments.tightness --numbers now.json
    python -m tests.experiments.tightness --numbers now.json --before tests/experiments/tightness_before.json \
        > tests/experiments/TIGHTNESS.md

Normal x with kappa = |mean|/std, normal dy, float32. A channel's bound/error is that of its worst element. A cell is
the median over channels: of the honest algorithm that comes nearest to the bound, and of pairwise code.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from reference.error_bounds import precision_of
from reference.summation_error import SUMMATIONS
from tests.experiments.bounds.measured import conclusive
from tests.experiments.commit import commit_of_this_checkout
from tests.experiments.evolve.evaluate import Population, Setting, computed, exact_step
from tests.targets.honest.forty import ALGORITHMS, PAIRWISE

OBSERVABLES = ("y", "dx", "dgamma", "dbeta", "moving_mean", "moving_var", "eval_y", "eval_dx", "eval_dgamma")
LENGTHS = (5, 50, 500, 1024, 4096, 65_536)
KAPPAS = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5)

DECLARED_CHANNELS, DECLARED_KAPPAS = 1000, (0.1, 1.0, 10.0)

Cell = dict[str, float | str | bool]


def ordinary(n: int, kappa: float, channels: int, seed: int) -> tuple[Population, Setting]:
    rng = np.random.default_rng([seed, n, int(10 * kappa)])
    T = np.float32
    x, dy = kappa + rng.normal(size=(n, channels)), rng.normal(size=(n, channels))
    gamma, beta = rng.uniform(0.5, 2, (2, channels)) * rng.choice([-1, 1], (2, channels))
    moving_mean, moving_var = kappa + rng.normal(size=channels), rng.uniform(0.5, 2, channels)
    arrays = (a.astype(T) for a in (x, dy, gamma, beta, moving_mean, moving_var))
    return Population(*arrays), Setting(1e-5, "inside_sqrt", 0.9, unbiased=True)


def measure(n: int, kappa: float, channels: int, seed: int = 0) -> dict[str, Cell]:
    """By observable: the bound in units of the error, for the least accurate algorithm and for pairwise code.

    `declared`: of pairwise code again, by the bounds of a target that declares pairwise sums in order.
    """
    population, setting = ordinary(n, kappa, channels, seed)
    want, bound = exact_step(population, setting)
    _, sharper = exact_step(population, setting, summation="pairwise_in_order")
    of_pairwise = computed(population, setting, PAIRWISE)
    medians: dict[str, dict[str, float]] = {name: {} for name in OBSERVABLES}
    for algorithm in ALGORITHMS:
        got = computed(population, setting, algorithm)
        for name in OBSERVABLES:
            medians[name][algorithm.name] = median_slack(got[name], want[name], bound[name])
    unit = precision_of("float32").work
    cells: dict[str, Cell] = {}
    for name, of in medians.items():
        worst = min(of, key=lambda algorithm: of[algorithm])
        proves = float(np.mean(conclusive(want[name], bound[name], unit)))
        declared = median_slack(of_pairwise[name], want[name], sharper[name])
        cells[name] = {"worst": of[worst], "by": worst, "pairwise": of[PAIRWISE.name], "declared": declared,
                       "conclusive": proves}  # fmt: skip
    return cells


def median_slack(got: np.ndarray, want: np.ndarray, bound: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        ratio = np.abs(got - want) / bound
        per_channel = ratio if ratio.ndim == 1 else ratio.max(axis=0)
        return float(1 / np.median(per_channel))


def key(name: str, n: int, kappa: float) -> str:
    return f"{name} {n} {kappa:g}"


def measured(channels: int) -> dict[str, Cell]:
    return measured_declarations() | {
        key(name, n, kappa): cell
        for n in LENGTHS
        for kappa in KAPPAS
        for name, cell in measure(n, kappa, max(30, min(channels, channels * 500 // n))).items()
    }


def as_markdown(after: dict[str, Cell], before: dict[str, Cell], channels: int, commit: str) -> str:
    lines = [
        "# How tight the bounds are",
        "",
        f"Made by `python -m tests.experiments.tightness` at {commit}: the bound over the error of honest code, "
        f"float32, normal x and dy, the median of {channels} channels (300 for the bounds of before; fewer from "
        "n = 1,024 on), each by its worst element. Numbers of a "
        f"cell: the least accurate of {len(ALGORITHMS)} honest algorithms / pairwise code / pairwise code that "
        "declares `pairwise_in_order`; with the bounds of before, which were fitted in part, and with those that are "
        "proved. In brackets where fewer than half of the channels are conclusive.",
        "",
        *of_declarations(after),
    ]
    for name in OBSERVABLES:
        lines += [f"## {name}", "", f"| n | bounds | {' | '.join(f'kappa {kappa:g}' for kappa in KAPPAS)} |",
                  "|---:|---|" + "---:|" * len(KAPPAS)]  # fmt: skip
        for n in LENGTHS:
            for which, cells in (("fitted", before), ("proved", after)):
                row = [entry(cells.get(key(name, n, kappa))) for kappa in KAPPAS]
                lines.append(f"| {n:,} | {which} | {' | '.join(row)} |")
        lines.append("")
    return "\n".join(lines)


def of_declarations(cells: dict[str, Cell]) -> list[str]:
    lines = ["## What a declaration is worth", "", f"The bound over the error of pairwise code at n = 1,024, by what a "
             f"target declares, at kappa {' / '.join(f'{kappa:g}' for kappa in DECLARED_KAPPAS)}: medians of "
             f"{DECLARED_CHANNELS:,} channels. (Wide sums err less than pairwise ones: theirs is the narrowest bound.)",
             "", f"| observable | {' | '.join(SUMMATIONS)} |", "|---|" + "---:|" * len(SUMMATIONS)]  # fmt: skip
    for name in OBSERVABLES:
        row = [" / ".join(number(cells[f"declared {key(name, 1024, kappa)}"][summation]) for kappa in DECLARED_KAPPAS)
               for summation in SUMMATIONS]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(row)} |")
    return [*lines, ""]


def measured_declarations() -> dict[str, Cell]:
    """What each declaration is worth: the bound in units of the error of pairwise code, n = 1,024."""
    cells: dict[str, Cell] = {}
    for kappa in DECLARED_KAPPAS:
        population, setting = ordinary(1024, kappa, DECLARED_CHANNELS, seed=1)
        got = computed(population, setting, PAIRWISE)
        steps = {summation: exact_step(population, setting, summation) for summation in SUMMATIONS}
        for name in OBSERVABLES:
            cells[f"declared {key(name, 1024, kappa)}"] = {
                summation: median_slack(got[name], want[name], bound[name])
                for summation, (want, bound) in steps.items()
            }
    return cells


def entry(cell: Cell | None) -> str:
    if cell is None:
        return ""
    text = " / ".join(number(cell[which]) for which in ("worst", "pairwise", "declared") if which in cell)
    return text if float(cell["conclusive"]) >= 0.5 else f"({text})"


def number(value: float | str | bool) -> str:
    value = float(value)
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}" if value < 1e5 else f"{value:.0e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=300)
    parser.add_argument("--numbers", type=Path, required=True, help="measured numbers: written, or read if there")
    parser.add_argument("--before", type=Path, help="numbers of other bounds, to stand beside them")
    options = parser.parse_args()
    if not options.numbers.exists():
        numbers = {"commit": commit_of_this_checkout(), "cells": measured(options.channels)}
        options.numbers.write_text(json.dumps(numbers, indent=0) + "\n")
    before = json.loads(options.before.read_text()) if options.before else {}
    after = json.loads(options.numbers.read_text())
    print(as_markdown(after["cells"], before, options.channels, after["commit"]), end="")


if __name__ == "__main__":
    main()
