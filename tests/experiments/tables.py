r"""TABLES.md: every mutant over several seeds, every honest variant over many.

    python -m tests.experiments.tables --mutant-seeds 20 --honest-seeds 200 --jobs 2 --keep rows \
        > tests/experiments/TABLES.md

With `--keep` the runs of each seed stay in a folder, and an interrupted command resumes from them.
A mutant counts as flagged if law makes its verdict `differ`, as claimed if the case that it names is among the
failures, as right if the ids of the diagnosis are exactly the true ones. Cases of many values are played on the
mutants that need them (`cases_for`), and on every honest variant at the first `WHOLE_SEEDS` seeds: they take two
thirds of the time.
"""

import argparse
import json
import sys
import warnings
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from harness.cases.catalogue import CASES
from harness.judge.prepare import forget_prepared
from tests.in_process import FEW_VALUES, cases_for, checked
from tests.targets.honest import HONEST
from tests.targets.mutants import PAIRS, SINGLE, expected_ids

WHOLE_SEEDS = 20


@dataclass(frozen=True)
class MutantRun:
    """A mutant at one seed."""

    name: str
    seed: int
    flagged: bool
    claimed: bool
    ids: tuple[str, ...]
    """Of the diagnosis, in alphabetical order."""


@dataclass(frozen=True)
class HonestRun:
    """An honest variant at one seed."""

    name: str
    seed: int
    judgements: int
    greatest_ratio: float
    failures: tuple[str, ...]


def run_mutants(seed):
    for mutant in sorted(SINGLE + PAIRS, key=lambda mutant: str(mutant.conventions)):  # they share expected values
        report = checked(mutant, seed, cases_for(mutant))
        failing = {judgement.case for judgement in report.judgements if judgement.counts_against}
        ids = tuple(sorted(finding.id for finding in report.diagnosis))
        yield MutantRun(mutant.__name__, seed, bool(failing), mutant.case in failing, ids)


def run_honest(seed):
    cases = CASES if seed < WHOLE_SEEDS else FEW_VALUES
    for variant in sorted(HONEST, key=lambda variant: str(variant.conventions)):
        report = checked(variant, seed, cases, diagnosed=False)
        law = [judgement for judgement in report.judgements if judgement.kind == "law"]
        agreeing = [judgement for judgement in law if judgement.verdict == "agree"]
        failures = tuple(f"{j.case} {j.dtype} {j.op} {j.observable} {j.ratio}" for j in law if j.counts_against)
        greatest = max((judgement.ratio for judgement in agreeing if judgement.ratio is not None), default=0.0)
        yield HonestRun(variant.__name__, seed, len(agreeing), greatest, failures)


def runs_at(seed, run, kind, keep):
    """The runs of a seed, from the folder `keep` if they are there."""
    path = keep / f"{run.__name__}-{seed}.json" if keep else None
    if path and path.exists():
        return [from_json(kind, fields) for fields in json.loads(path.read_text())]
    with warnings.catch_warnings(action="ignore"):
        runs = list(run(seed))
    forget_prepared()  # expected values are shared by the targets of one seed, and of no use to the next
    if path:
        path.write_text(json.dumps([asdict(each) for each in runs]))
    return runs


def from_json(kind, fields):
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})


def runs_by_name(pool, run, kind, seeds, keep):
    """{name: its runs, by seed}"""
    runs = []
    at_seed = partial(runs_at, run=run, kind=kind, keep=keep)
    for done, part in enumerate(pool.imap_unordered(at_seed, range(seeds)), 1):
        runs += part
        print(f"{run.__name__}: {done} of {seeds} seeds", file=sys.stderr)
    by_name = defaultdict(list)
    for each in sorted(runs, key=lambda run: run.seed):
        by_name[each.name].append(each)
    return by_name


def table_of_mutants(by_name, seeds):
    totals = Counter()
    lines = []
    for mutant in SINGLE + PAIRS:
        runs, truth = by_name[mutant.__name__], tuple(sorted(expected_ids(mutant)))
        counts = {
            "flagged": sum(run.flagged for run in runs),
            "claimed": sum(run.claimed for run in runs),
            "right": sum(run.ids == truth for run in runs),
        }
        totals += Counter(counts, named=sum(set(truth) <= set(run.ids) for run in runs), runs=len(runs))
        wrong = Counter(run.ids for run in runs if run.ids != truth)
        others = "; ".join(f"{'+'.join(ids) or 'nothing'} x{count}" for ids, count in wrong.items())
        numbers = " | ".join(str(count) for count in counts.values())
        lines.append(f"| {mutant.__name__} | {' + '.join(truth)} | {mutant.case} | {numbers} | {others} |")
    share = {key: 100 * totals[key] / totals["runs"] for key in ("flagged", "claimed", "right", "named")}
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


def table_of_honest(by_name, seeds):
    lines = []
    for variant in HONEST:
        runs = by_name[variant.__name__]
        failures = sorted({f"seed {run.seed}: {run.failures[0]}" for run in runs if run.failures})
        lines.append(
            f"| {variant.__name__} | {sum(not run.failures for run in runs)} of {len(runs)} "
            f"| {sum(run.judgements for run in runs)} | {max(run.greatest_ratio for run in runs):.3f} "
            f"| {'; '.join(failures[:3])} |"
        )
    runs = [run for runs in by_name.values() for run in runs]
    alarms, judgements = sum(bool(run.failures) for run in runs), sum(run.judgements for run in runs)
    return [
        f"## {len(HONEST)} honest variants: {seeds} seeds each",
        "",
        f"{alarms} false alarms in {len(runs)} runs, {judgements} judgements; cases of more than 1,024 values "
        f"a channel at {min(WHOLE_SEEDS, seeds)} of the seeds, all others at each.",
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
    parser.add_argument("--keep", type=Path, help="a folder for the runs of each seed")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    lines = ["# Mutants and honest variants over many seeds", "", "Made by `python -m tests.experiments.tables`.", ""]
    with Pool(options.jobs) as pool:
        if options.mutant_seeds:
            by_name = runs_by_name(pool, run_mutants, MutantRun, options.mutant_seeds, options.keep)
            lines += table_of_mutants(by_name, options.mutant_seeds)
        if options.honest_seeds:
            by_name = runs_by_name(pool, run_honest, HonestRun, options.honest_seeds, options.keep)
            lines += table_of_honest(by_name, options.honest_seeds)
    print("\n".join(lines).rstrip())


if __name__ == "__main__":
    main()
