"""The work of `bnproof matrix`: every library through the full suite, each fault with a snippet.

Writes ledger.jsonl, index.html and matrix.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cli.jobs import done_behind_a_bar, show_failure
from harness.cli.kept_matrix import KeptMatrix, identity, kept, mark
from harness.cli.ledgers import open_ledger
from harness.cli.library_jobs import (
    Expectations,
    LibraryJob,
    MatrixEntry,
    NoEnvironment,
    SnippetJob,
    judge_library,
    not_judged,
    show_finding,
)
from harness.cli.output import AGREED, FAULTY, coloured, say
from harness.cli.output import out as console
from harness.cli.snippets import heading, snippets
from harness.errors import UsageError
from harness.jobs.engines import IN_TURN, Engine, Workers, open_engine
from harness.jobs.job import Job, JobFailure
from harness.judge.judgement import SEVERITY, Judgement, Kind
from harness.judge.pair import PAIR_SEVERITY, Pair
from harness.judge.pairs import compare_pairs
from harness.judge.report import TargetReport
from harness.observables import column
from harness.record.checked import target_as_dict
from harness.record.environment import environment
from harness.record.kinds import CellRecord, OverallPair
from harness.record.ledger import Ledger
from harness.targets.built_in import BUILT_IN, built_in
from harness.targets.device import split_device
from harness.targets.left_out import LEFT_OUT, TRIED
from harness.targets.remember import forget
from harness.targets.replicas.targets import REPLICATED

OVER_REPLICAS = (
    "several processes or devices share each batch, up to five minutes a target; replicas.md has it on the cases that "
    "tell replicas apart, and `bnproof check {target} --replicas 2` plays all"
)
"""Why replicated targets are in no matrix."""

AT_ONCE = 2
"""A target's process and the judging of another keep two cores busy."""


@dataclass(frozen=True)
class MatrixOptions:
    out: Path
    suite: str = "full"
    seed: int = 0
    only_here: bool = False
    """Whether nothing is installed."""
    targets: tuple[str, ...] = tuple(BUILT_IN)
    workers: Workers = IN_TURN
    resume: Path | None = None
    """Where the targets' answers are kept."""


def make(options: MatrixOptions) -> int:
    """Write the matrix. Returns the exit status: 1 where an installed target cannot be loaded."""
    from reports.matrix import render

    for name in options.targets:
        if name in REPLICATED:
            raise UsageError(f"{name!r} is no target of the matrix: {OVER_REPLICAS.format(target=name)}")
        if split_device(name)[0] not in BUILT_IN:
            raise UsageError(f"{name!r} is no target of the matrix; `bnproof list` names them all")
    top, path = header(options.suite, options.seed), options.out / "ledger.jsonl"
    of = identity(top, options.targets, options.only_here)
    earlier = kept(options.resume, path, of)
    if earlier.is_whole:
        return status_of_finished(options, path, earlier)
    with open_engine(options.workers) as engine:
        ledger = open_ledger(path, top, options.resume)
        if options.resume:
            mark(options.resume, path, of)
        entries = list(judged(engine, options, ledger, earlier))
        for pair in pairs([entry.report for entry in entries]):
            ledger.add("pair", pair)
        if {*options.targets} == {*BUILT_IN}:
            add_left_out(ledger)
        add_findings(engine, ledger, [entry.report.target for entry in entries], options.only_here)
    ledger.close()
    if options.resume:
        forget(options.resume, options.targets)
    say(f"matrix: {render(ledger.path, options.out)}")
    return FAULTY if any(entry.report.load_error for entry in entries) else AGREED


def status_of_finished(options: MatrixOptions, ledger: Path, earlier: KeptMatrix) -> int:
    """The pages of a matrix that was finished before, and its exit status."""
    from reports.matrix import render

    page = render(ledger, options.out)
    say(f"matrix: {page}, finished before; without {options.resume} it is made anew")
    return FAULTY if any(records[0]["error"] for records in earlier.targets.values()) else AGREED


def add_left_out(ledger: Ledger) -> None:
    """What is no target of it, and why: a matrix of every target lists it."""
    for name, left_out in LEFT_OUT.items():
        ledger.add(
            "not_installed",
            {"target": name, "install": left_out.install, "reason": f"{left_out.reason} ({TRIED})"},
        )
    for name, target in REPLICATED.items():
        reason = f"{target.what}: {OVER_REPLICAS.format(target=name)}"
        ledger.add("not_installed", {"target": name, "install": target.install, "reason": reason})


def judged(engine: Engine, options: MatrixOptions, ledger: Ledger, earlier: KeptMatrix) -> Iterator[MatrixEntry]:
    """The entries of the libraries that are installed, here or where the engine works. All go into the ledger.

    Of what an earlier run has judged the records are taken over, and only its plays are made anew, for the pairs.
    """
    expectations = Expectations()
    jobs = [
        LibraryJob(name, options.suite, options.seed, options.only_here, options.resume, name in earlier.targets)
        for name in options.targets
        if name not in earlier.absent
    ]
    outcomes = done_behind_a_bar("matrix", engine, [Job(judge_library, job) for job in jobs])
    with contextlib.closing(outcomes):
        for name in options.targets:
            if name in earlier.absent:
                ledger.add("not_installed", without_type(earlier.absent[name]))
                continue
            outcome = next(outcomes)
            if isinstance(outcome, NoEnvironment):
                install = built_in(name).install
                ledger.add("not_installed", {"target": name, "install": install, "reason": outcome.reason})
                continue
            entry = not_judged(name, outcome) if isinstance(outcome, JobFailure) else outcome
            expectations.share(entry.report)
            if name in earlier.targets:
                for record in earlier.targets[name]:
                    ledger.add(record["type"], without_type(record))
            else:
                add_entry(ledger, entry)
            console.print(f"{name}: {coloured(entry.report.verdict)} [dim]{entry.seconds:.0f} s[/]")
            yield entry


def without_type(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "type"}


def add_findings(engine: Engine, ledger: Ledger, targets: Sequence[str], only_here: bool) -> None:
    """The snippets about these targets, each run in the environment of the first of them that it is about."""
    jobs = []
    for path in snippets(targets):
        target = next(name for name in heading(path).targets if name in targets)
        jobs.append(Job(show_finding, SnippetJob(path.name, target, only_here)))
    with contextlib.closing(done_behind_a_bar("findings", engine, jobs)) as outcomes:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, JobFailure):
                show_failure(job.argument.file, outcome)
                continue
            ledger.add("finding", outcome)
            console.print(f"{outcome.file}: {[*outcome.output[-1:]] or 'not reproduced'}", markup=False)


def header(suite_name: str, seed: int) -> dict[str, Any]:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return {"made": made, "suite": suite_name, "seed": seed, "environment": environment()}


def add_entry(ledger: Ledger, entry: MatrixEntry) -> None:
    """The target, then its cells."""
    name, probed = entry.report.target, entry.probed
    ledger.add(
        "target",
        target_as_dict(entry.report)
        | {
            "what": built_in(name).what,
            "versions": entry.versions,
            "probed": probed.conventions.as_dict() if probed else None,
            "unseen": probed.unseen if probed else [],
            "observed": probed.observed if probed else {},
            "seconds": round(entry.seconds, 1),
        },
    )
    for cell in cells(entry.report):
        ledger.add("cell", cell)


def cells(report: TargetReport) -> Iterator[CellRecord]:
    """The worst law judgement of each dtype, mode and observable."""
    worst: dict[tuple[str, str], Judgement] = {}
    for judgement in report.judgements:
        if judgement.kind is not Kind.law or judgement.op is None or judgement.op.startswith("restore"):
            continue
        key = judgement.dtype, column(judgement.observable or "y", judgement.op)
        if key not in worst or _badness(judgement) > _badness(worst[key]):
            worst[key] = judgement
    for (dtype, observable), judgement in worst.items():
        yield CellRecord(
            target=report.target,
            dtype=dtype,
            observable=observable,
            verdict=judgement.verdict,
            case=judgement.case,
            step=judgement.step,
            error=judgement.error,
            bound=judgement.bound,
            ratio=judgement.ratio,
            message=judgement.message,
        )


def _badness(judgement: Judgement) -> tuple[int, float]:
    return -SEVERITY.index(judgement.verdict), judgement.ratio or 0.0


def pairs(reports: Sequence[TargetReport]) -> list[OverallPair]:
    """One record a pair of targets: the same, different as declared, or different otherwise, and where."""
    overall: dict[tuple[str, str], OverallPair] = {}
    for pair in compare_pairs([*reports]):
        so_far = overall.get((pair.a, pair.b), OverallPair(pair.a, pair.b, PAIR_SEVERITY[-1], (), None, None))
        overall[pair.a, pair.b] = _joined(so_far, pair)
    return [*overall.values()]


def _joined(overall: OverallPair, pair: Pair) -> OverallPair:
    verdict = min(overall.verdict, pair.verdict, key=PAIR_SEVERITY.index)
    declared_by = tuple(sorted({*overall.declared_by, *pair.declared_by}))
    overall = replace(overall, verdict=verdict, declared_by=declared_by)
    if pair.ratio is None or (overall.ratio is not None and pair.ratio <= overall.ratio):
        return overall
    return replace(overall, ratio=pair.ratio, where=f"{pair.observable} in {pair.dtype}, {pair.case}")
