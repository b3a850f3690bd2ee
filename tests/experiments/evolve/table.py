"""What the islands found together, and its Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.experiments.evolve.island import Champion, Result

HEADING = """# Error over bound, on data that seek the bounds

Made by `python -m tests.experiments.evolve --published`. An evaluation is one channel computed by one honest algorithm:
a training step, the moving statistics, and prediction, with statistics that were given (`eval`) and with those that the
step has moved (`after`). Seven islands of eight are in float32, against float64; the others in float64, against an
80-bit type. How wrong these two may be themselves is in [ORACLE.md](ORACLE.md); bounds of declared sums, which may be
narrower than that, are widened by it, as they are where a layer is judged.
"""


@dataclass
class Totals:
    title: str
    seed: int
    generations: int
    min_n: int = 2
    islands: int = 0
    channels: int = 0
    evaluations: int = 0
    """Channels times the algorithms that computed them."""
    by_length: Counter[int] = field(default_factory=Counter)
    """Evaluations by the number of digits of n."""
    best: dict[str, dict[str, Champion]] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        self.islands += 1
        self.channels += result.channels
        evaluations = result.channels * len(result.best)
        self.evaluations += evaluations
        self.by_length[len(str(result.n))] += evaluations
        for algorithm, row in result.best.items():
            known = self.best.setdefault(algorithm, {})
            for observable, champion in row.items():
                if observable not in known or champion.ratio > known[observable].ratio:
                    known[observable] = champion

    def violations(self) -> int:
        """Pairs of an algorithm and an observable whose error exceeded the bound somewhere."""
        return sum(champion.ratio > 1 for row in self.best.values() for champion in row.values())


def as_markdown(totals: Totals) -> str:
    how = f"that evolve for {totals.generations} generations" if totals.generations > 1 else "drawn at random"
    observables = list(dict.fromkeys(o for row in totals.best.values() for o in row))
    greatest = {o: max(totals.best, key=lambda name: totals.best[name][o].ratio) for o in observables}
    decades = ("2-9", "10-99", "100-999", "1,000-4,096")
    lengths = ", ".join(f"n {decades[digits - 1]}: {count:,}" for digits, count in sorted(totals.by_length.items()))
    lines = [
        f"## {totals.title}",
        "",
        f"{totals.channels:,} channels {how} (seed {totals.seed}, {totals.islands} islands) and {len(totals.best)} "
        f"algorithms: **{totals.evaluations:,} evaluations**, with n from {totals.min_n} to 4,096 ({lengths}).",
        "",
        f"Pairs of an algorithm and an observable that exceeded a bound: **{totals.violations()}** of "
        f"{sum(len(row) for row in totals.best.values())}.",
        "",
        "| observable | greatest error/bound | algorithm | where |",
        "|---|---:|---|---|",
    ]
    for observable, name in greatest.items():
        champion = totals.best[name][observable]
        lines.append(f"| {observable} | {number(champion.ratio)} | {name} | {champion.where} |")
    lines += [
        "",
        f"| algorithm | {' | '.join(observables)} |",
        "|---|" + "---:|" * len(observables),
    ]
    for name, row in totals.best.items():
        lines.append(f"| {name} | {' | '.join(number(row[o].ratio) for o in observables)} |")
    return "\n".join(lines) + "\n"


def number(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 100 else f"{ratio:.1e}"
