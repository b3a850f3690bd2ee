r"""EXACT.md: how much finer data whose results are all exact see, once a target declares how it sums.

python -m tests.experiments.exact_family > tests/experiments/EXACT.md
"""

from __future__ import annotations

from harness.cases.case import Case
from harness.cases.catalogue import BY_ID
from harness.judge.prepare import prepare
from tests.experiments.resolution import CONVENTIONS, MISTAKES, smallest_caught

FAMILY = ("exact_1024", "exact_4096", "values_65536")
DECLARED = ("any", "pairwise", "pairwise_in_order", "wide")


def smallest(case: Case, mistake: str, summation: str) -> float:
    """The least relative size of a mistake that is caught in float32; infinite where none is."""
    return smallest_caught(MISTAKES[mistake], case, "float32", prepare(case, "float32", 0, CONVENTIONS, summation))


def as_markdown() -> str:
    lines = [
        "# Exact data",
        "",
        "Made by `python -m tests.experiments.exact_family`: the smallest relative size of a mistake that is caught in",
        "float32, by what a target declares of its sums; `-`: not even a size of 1 is caught. Statistics, scale and",
        "results of these cases are exactly representable, and no sum of what is given rounds.",
        "",
    ]
    for case in FAMILY:
        n = BY_ID[case].values_per_channel
        lines += [f"## {case}: n = {n:,}", "", f"| mistake | {' | '.join(DECLARED)} |", "|---" + "|---:" * 4 + "|"]
        for mistake in MISTAKES:
            sizes = (smallest(BY_ID[case], mistake, summation) for summation in DECLARED)
            lines.append(f"| {mistake} | {' | '.join(f'{size:.1e}' if size < 2 else '-' for size in sizes)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    print(as_markdown())
