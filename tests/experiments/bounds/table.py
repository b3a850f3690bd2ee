"""The Markdown of what was measured: reference/error_bounds_table.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.experiments.bounds.exact import EXTENDED, Named
from tests.experiments.bounds.measured import (
    KAPPA_DECADES,
    N_DECADES,
    OBSERVABLES,
    Table,
    cases_counted,
    fast_variance,
)
from tests.targets.honest.forty import ALGORITHMS


@dataclass(frozen=True)
class Run:
    """How the table was made."""

    cases: int
    seed: int
    seconds: float


def as_markdown(table: Table, of_reference: dict[str, Named], run: Run) -> str:
    """`of_reference`: error/bound of the reference itself, by dtype and observable."""
    blocks = (
        _summary(table, run),
        _by_observable(table),
        _of_reference(of_reference),
        _of_fast_variance(run.seed),
        _every_cell(table),
    )
    return "\n".join(line for block in blocks for line in block) + "\n"


def _summary(table: Table, run: Run) -> list[str]:
    cells = [cell for cell in table.values() if cell.conclusive]
    lowest = min(cell.p99()[0] for cell in cells)
    (observable, dtype, _, _), worst = max(table.items(), key=lambda item: item[1].worst)
    violations = sum(cell.worst > 1 for cell in table.values())
    return [
        "# Error over bound, measured",
        "",
        f"`python -m tests.experiments.bounds --cases {run.cases} --seed {run.seed}`: {cases_counted(table):,} "
        f"one-channel cases, {len(ALGORITHMS)} honest algorithms each, {run.seconds:.0f} s. A row: cases; how many "
        "of them are conclusive; the largest error/bound of all cases and algorithms (must be <= 1); the "
        "99th percentile of error/bound in conclusive channels for the least accurate algorithm (must be "
        "> 0.02). kappa is |mean|/std; its last class holds the constant channels.",
        "",
        f"Violations: **{violations}** of {len(table)} cells; worst ratio "
        f"{worst.worst:.2f} ({observable}, {dtype}, {worst.worst_by}). "
        f"Lowest p99 of the {len(cells)} conclusive cells: {lowest:.3f}.",
        "",
    ]


def _by_observable(table: Table) -> list[str]:
    lines = [
        "## By observable",
        "",
        "| observable | dtype | max ratio | by | lowest p99 | highest p99 |",
        "|---|---|---:|---|---:|---:|",
    ]
    for name in OBSERVABLES:
        for dtype in EXTENDED:
            cells = [cell for key, cell in table.items() if key[:2] == (name, dtype)]
            top = max(cells, key=lambda cell: cell.worst)
            p99s = [cell.p99()[0] for cell in cells if cell.conclusive]
            low, high = min(p99s), max(p99s)
            lines.append(f"| {name} | {dtype} | {top.worst:.3f} | {top.worst_by} | {low:.3f} | {high:.3f} |")
    return [*lines, ""]


def _of_reference(of_reference: dict[str, Named]) -> list[str]:
    lines = ["## The reference itself", "", "Its error over the same bounds, in 50 digits, N <= 12:", ""]
    for dtype, ratios in of_reference.items():
        lines.append(f"* {dtype}: " + ", ".join(f"{name} {float(ratio[0]):.1e}" for name, ratio in ratios.items()))
    return [*lines, ""]


def _of_fast_variance(seed: int) -> list[str]:
    lines = [
        "## Fast variance",
        "",
        "E[x^2] - E[x]^2 in float32, 1,000 channels each (Gaussian, std 1, eps 1e-5): error/bound as "
        "1st percentile / median / maximum over channels. The median of y must exceed 100 at kappa "
        "1e4, N <= 64.",
        "",
        "| kappa | N | algorithm | y | var | moving_var |",
        "|---:|---:|---|---|---|---|",
    ]
    rng = np.random.default_rng(seed)
    for kappa in (1e2, 1e3, 1e4):
        for n in (4, 16, 64, 256, 1024):
            for algorithm, ratios in fast_variance(kappa, n, rng).items():
                quantiles = (np.quantile(ratios[name], [0.01, 0.5, 1]) for name in ("y", "var", "moving_var"))
                columns = " | ".join(" / ".join(f"{q:.3g}" for q in three) for three in quantiles)
                lines.append(f"| {kappa:.0e} | {n} | {algorithm} | {columns} |")
    return [*lines, ""]


def _every_cell(table: Table) -> list[str]:
    lines = [
        "## Every cell",
        "",
        "| observable | dtype | N | kappa | cases | conclusive | max ratio | by | p99 | by |",
        "|---|---|---|---|---:|---:|---:|---|---:|---|",
    ]
    for key in sorted(table, key=lambda key: (OBSERVABLES.index(key[0]), *key[1:])):
        (name, dtype, n, kappa), cell = key, table[key]
        p99, by = cell.p99() if cell.conclusive else (0.0, "")
        lines.append(
            f"| {name} | {dtype} | {N_DECADES[n]} | {KAPPA_DECADES[kappa]} | {cell.count} "
            f"| {cell.conclusive} | {cell.worst:.3f} | {cell.worst_by} "
            f"| {f'{p99:.3f}' if cell.conclusive else 'inconclusive'} | {by} |"
        )
    return lines
