r"""The tables of TABLES.md: every mutant over several seeds, every honest variant over many.

    python -m tests.experiments.tables --mutant-seeds 20 --honest-seeds 200 --jobs 2 --keep rows \
        > tests/experiments/TABLES.md

With `--keep` the rows of each seed stay in a folder, and a run that was cut off goes on from them.
A mutant counts as flagged if law makes its verdict `differ`, as claimed if the case that it names is among the
failures, as right if the ids found are exactly those that are true.
"""

import argparse
import json
import sys
import warnings
from collections import Counter, defaultdict
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from harness.judge.prepare import forget_prepared
from tests.in_process import checked
from tests.targets.honest import HONEST
from tests.targets.mutants import PAIRS, SINGLE, expected_ids


def mutants_at(seed):
    """[(name, seed, flagged, claimed, ids found)]"""
    rows = []
    for mutant in SINGLE + PAIRS:
        report = checked(mutant, seed)
        failing = {one.case for one in report.judgements if one.counts_against}
        found = sorted(finding.id for finding in report.diagnosis)
        rows.append((mutant.__name__, seed, bool(failing), mutant.case in failing, found))
    return rows


def honest_at(seed):
    """[(name, seed, judgements, greatest error/bound, [what failed])]"""
    rows = []
    for variant in HONEST:
        report = checked(variant, seed, diagnosed=False)
        law = [one for one in report.judgements if one.kind == "law"]
        failed = [f"{one.case} {one.dtype} {one.op} {one.observable} {one.ratio}" for one in law if one.counts_against]
        greatest = max((one.ratio for one in law if one.ratio is not None and one.verdict == "agree"), default=0.0)
        rows.append((variant.__name__, seed, sum(one.verdict == "agree" for one in law), greatest, failed))
    return rows


def rows_of(seed, work, keep):
    """The rows of a seed: those that were kept, or made now. What the oracle owes is computed once a seed."""
    path = keep / f"{work.__name__}-{seed}.json" if keep else None
    if path and path.exists():
        return json.loads(path.read_text())
    with warnings.catch_warnings(action="ignore"):
        rows = work(seed)
    forget_prepared()
    if path:
        path.write_text(json.dumps(rows))
    return rows


def gathered(pool, work, seeds, keep):
    rows = []
    for done, part in enumerate(pool.imap_unordered(partial(rows_of, work=work, keep=keep), range(seeds)), 1):
        rows += part
        print(f"{work.__name__}: {done} of {seeds} seeds", file=sys.stderr)
    return sorted(rows, key=lambda row: row[1])


def table_of_mutants(rows, seeds):
    by_name = defaultdict(list)
    for name, *rest in rows:
        by_name[name].append(rest)
    exact = Counter()
    lines = []
    for mutant in SINGLE + PAIRS:
        mine, want = by_name[mutant.__name__], sorted(expected_ids(mutant))
        flagged, claimed = sum(row[1] for row in mine), sum(row[2] for row in mine)
        right = sum(row[3] == want for row in mine)
        named = sum(set(want) <= set(row[3]) for row in mine)
        exact += Counter(flagged=flagged, claimed=claimed, right=right, named=named, all=len(mine))
        others = "; ".join(
            f"{'+'.join(found) or 'nothing'} x{n}"
            for found, n in Counter(tuple(row[3]) for row in mine if row[3] != want).items()
        )
        lines.append(
            f"| {mutant.__name__} | {' + '.join(want)} | {mutant.case} | {flagged} | {claimed} | {right} | {others} |"
        )
    share = {key: 100 * exact[key] / exact["all"] for key in ("flagged", "claimed", "right", "named")}
    return [
        f"## {len(SINGLE)} mutants with one mistake, {len(PAIRS)} with two: {seeds} seeds each",
        "",
        f"Flagged {share['flagged']:.2f}%, by the case that claims it {share['claimed']:.2f}%. "
        f"Diagnosis exactly right {share['right']:.2f}%; the true id among the findings {share['named']:.2f}%.",
        "",
        "| mutant | truth | claimed by | flagged | claimed | right | found otherwise |",
        "|---|---|---|---:|---:|---:|---|",
        *lines,
        "",
    ]


def table_of_honest(rows, seeds):
    by_name = defaultdict(list)
    for name, *rest in rows:
        by_name[name].append(rest)
    alarms = sum(bool(row[4]) for row in rows)
    lines = []
    for variant in HONEST:
        mine = by_name[variant.__name__]
        agreed = sum(not row[3] for row in mine)
        failed = "; ".join(sorted({f"seed {row[0]}: {row[3][0]}" for row in mine if row[3]})[:3])
        lines.append(
            f"| {variant.__name__} | {agreed} of {len(mine)} | {sum(row[1] for row in mine)} "
            f"| {max(row[2] for row in mine):.3f} | {failed} |"
        )
    return [
        f"## {len(HONEST)} honest variants: {seeds} seeds each",
        "",
        f"{alarms} false alarms in {len(rows)} runs of the full suite, {sum(row[2] for row in rows)} judgements.",
        "",
        "| variant | agrees | judgements | greatest error/bound | flagged |",
        "|---|---:|---:|---:|---|",
        *lines,
        "",
    ]


def main():
    parser = argparse.ArgumentParser(description="Mutants and honest variants over many seeds, as Markdown.")
    parser.add_argument("--mutant-seeds", type=int, default=20)
    parser.add_argument("--honest-seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the rows of each seed")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    lines = ["# Mutants and honest variants over many seeds", "", "Made by `python -m tests.experiments.tables`.", ""]
    with Pool(options.jobs) as pool:
        if options.mutant_seeds:
            lines += table_of_mutants(
                gathered(pool, mutants_at, options.mutant_seeds, options.keep), options.mutant_seeds
            )
        if options.honest_seeds:
            lines += table_of_honest(
                gathered(pool, honest_at, options.honest_seeds, options.keep), options.honest_seeds
            )
    print("\n".join(lines).rstrip())


if __name__ == "__main__":
    main()
