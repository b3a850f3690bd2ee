r"""TABLES.md: every mutant over several seeds, every honest variant over many.

    python -m tests.experiments.tables --mutant-seeds 20 --honest-seeds 200 --jobs 2 --keep rows \
        > tests/experiments/TABLES.md

With `--keep` the runs of each seed stay in a folder, and an interrupted command resumes from them. With `--on` the
seeds are a Dask cluster's work, whose workers run in a checkout.
A mutant counts as flagged if law makes its verdict `differ`, as claimed if the case that it names is among the
failures, as right if the ids of the diagnosis are exactly the true ones. Cases of many values are played on the
mutants that need them (`cases_for`), and on every honest variant at the first `WHOLE_SEEDS` seeds: they take two
thirds of the time.
"""

import argparse
import sys
import warnings
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.cases.catalogue import CASES
from harness.jobs.engines import open_engine, workers_of
from harness.jobs.job import Job
from harness.judge.prepare import forget_prepared
from tests.experiments.kept import kept_or_done
from tests.in_process import FEW_VALUES, cases_for, checked
from tests.targets.honest import HONEST
from tests.targets.mutants import PAIRS, SINGLE, expected_ids

WHOLE_SEEDS = 10


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


def mutants_at(seed, _tell):
    return runs_at(seed, run_mutants)


def honest_at(seed, _tell):
    return runs_at(seed, run_honest)


def runs_at(seed, run):
    with warnings.catch_warnings(action="ignore"):
        runs = list(run(seed))
    forget_prepared()  # expected values are shared by the targets of one seed, and of no use to the next
    return runs


def from_json(kind, fields):
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})


def runs_by_name(engine, at_seed, kind, seeds, keep):
    """{name: its runs, by seed}"""
    name = {MutantRun: "run_mutants", HonestRun: "run_honest"}[kind]
    results = kept_or_done(
        engine,
        [(f"{name}-{seed}.json", Job(at_seed, seed)) for seed in range(seeds)],
        keep,
        to_json=lambda runs: [asdict(run) for run in runs],
        from_json=lambda runs: [from_json(kind, run) for run in runs],
    )
    by_name = defaultdict(list)
    with closing(results):
        for done, runs in enumerate(results, 1):
            for run in runs:
                by_name[run.name].append(run)
            print(f"{name}: {done} of {seeds} seeds", file=sys.stderr)
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
    parser.add_argument("--jobs", type=int, help="how many processes")
    parser.add_argument("--on", metavar="SCHEDULER", help="of a Dask cluster: tcp://HOST:PORT")
    parser.add_argument("--keep", type=Path, help="a folder for the runs of each seed")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    lines = ["# Mutants and honest variants over many seeds", "", "Made by `python -m tests.experiments.tables`.", ""]
    with open_engine(workers_of(options.jobs, options.on)) as engine:
        if options.mutant_seeds:
            by_name = runs_by_name(engine, mutants_at, MutantRun, options.mutant_seeds, options.keep)
            lines += table_of_mutants(by_name, options.mutant_seeds)
        if options.honest_seeds:
            by_name = runs_by_name(engine, honest_at, HonestRun, options.honest_seeds, options.keep)
            lines += table_of_honest(by_name, options.honest_seeds)
    print("\n".join(lines).rstrip())


if __name__ == "__main__":
    from tests.experiments.tables import main as main_by_name  # jobs are sent by the names of their functions

    main_by_name()
