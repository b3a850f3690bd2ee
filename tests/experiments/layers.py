"""Our layers against the frameworks' own, as a page, from what `bnproof bench layer --json` wrote.

    for n in 1 2; do bnproof bench layer --threads $n --json layers-$n.json; done
    python -m tests.experiments.layers layers-1.json layers-2.json --out layers.md

Several files may hold the same case, of runs one after the other: each gives a column.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Group = tuple[str, int | None]
"""(framework, threads)"""
HEAD = """# Our layers against the frameworks' own

Made by `python -m tests.experiments.layers` from `bnproof bench layer --json`: {rounds} paired rounds, {machine}.
{kernels}

Forward and backward in training, float32. Ratio: the framework's time / ours, median of the rounds and quartiles, of
each run; control: ours against ours. Copy's bandwidth: bytes that a single pass each way moves (20 an element) a
second, as a share of those of a copy of x. \\*: the framework's own y or dx is wrong by more than 1e-4 there.
"""


def key(record: Record) -> tuple:
    return record["name"], record["threads"], tuple(record["shape"]), record["layout"]


def page(records: list[Record], environment: Record, kernels: str) -> str:
    groups: dict[Group, dict[tuple, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        groups[record["name"], record["threads"]][key(record)].append(record)
    rounds = sorted({record["rounds"] for record in records})
    lines = [HEAD.format(rounds=" or ".join(map(str, rounds)), machine=machine(environment), kernels=kernels)]
    for (name, threads), cases in groups.items():
        lines += section(f"{NAMES[name]}, {threads} thread{'s' * (threads != 1)}", list(cases.values()))
    return "\n".join(lines) + "\n"


NAMES = {"torch": "PyTorch against torch.nn", "jax": "JAX against flax"}


def section(title: str, cases: list[list[Record]]) -> list[str]:
    middle = [statistics.geometric_mean(r["ratio"]["median"] for r in runs) for runs in cases]
    summary = (
        f"Geometric mean {statistics.geometric_mean(middle):.2f}, least {min(middle):.2f}, "
        f"{sum(value < 1 for value in middle)} of {len(middle)} below 1."
    )
    runs = max(map(len, cases))
    heads = ["shape", "memory", *(f"ratio, run {n + 1}" for n in range(runs)), "control", "ours ms", "copy's bandwidth"]
    table = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(row(of_case, runs) for of_case in cases)]
    return [f"## {title}", "", summary, "", *table, ""]


def row(of_case: list[Record], runs: int) -> str:
    first = of_case[0]
    ratios = [f"**{r['ratio']['median']:.2f}** ({r['ratio']['low']:.2f} to {r['ratio']['high']:.2f})" for r in of_case]
    fastest = min(of_case, key=lambda r: r["seconds"])
    star = "" if first["native_is_right"] else " \\*"
    cells = [
        f"({', '.join(map(str, first['shape']))}){star}",
        first["layout"].removeprefix("channels ") if len(first["shape"]) > 2 else "-",
        *ratios,
        *[""] * (runs - len(ratios)),
        " and ".join(f"{r['control']['low']:.2f} to {r['control']['high']:.2f}" for r in of_case),
        f"{1e3 * fastest['seconds']:.3f}",
        f"{fastest['single_pass_share']:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def machine(environment: Record) -> str:
    versions = ", ".join(f"{n} {environment['packages'][n]}" for n in ("torch", "jax", "flax"))
    held = "".join(f", {name}={value}" for name, value in environment.get("instructions", {}).items())
    return f"{environment['processor']}, {environment['cores']} cores{held}; {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--kernels", default="PyTorch's by the C++ kernels.", help="a sentence on how ours ran")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    read = [json.loads(path.read_text(encoding="utf-8")) for path in options.files]
    records = [record for one in read for record in one["records"]]
    about = max((one["environment"] for one in read), key=lambda environment: environment["cores"])  # some run on one
    options.out.write_text(page(records, about, options.kernels), encoding="utf-8")


if __name__ == "__main__":
    main()
