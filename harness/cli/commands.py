"""What each command of `cli.py` does, between its options and its exit status."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.cases.catalogue import BY_ID, suite
from harness.check import CheckOptions
from harness.check import check as check_targets
from harness.cli import show
from harness.cli.output import AGREED, DIED, FAULTY, NOTHING_JUDGED, USAGE, write_json
from harness.errors import UsageError
from harness.judge.judgement import Verdict, counts
from harness.judge.report import TargetReport
from harness.record.environment import environment
from harness.record.files import ensure_writable, write_whole
from harness.record.ledger import SCHEMA


def check(
    targets: list[str],
    suite_name: str,
    case_ids: list[str] | None,
    seed: int,
    timeout: float,
    as_preset: str | None,
    input_file: Path | None,
    json_file: Path | None,
    known_file: Path | None = None,
    markdown_file: Path | None = None,
    layer: str = "",
) -> int:
    """Exit status: 2 before 3 before 1 before 4 before 0."""
    from harness.judge.known import excuse, read_known, stale
    from reference.conventions import conventions_from

    known = read_known(known_file) if known_file else {}
    differed: set[str] = set()
    if as_preset:
        try:
            conventions_from(as_preset)
        except ValueError as error:
            raise UsageError(f"--as: {error}") from None
    cases = chosen_cases(suite_name, case_ids, input_file)
    for file in (json_file, markdown_file):
        if file:
            ensure_writable(file)  # an unwritable place is an error before the work, not after it
    reports: list[TargetReport] = []
    with show.bar("starting", None) as update:
        for one in check_targets(
            targets,
            CheckOptions(
                cases,
                seed,
                timeout,
                as_preset,
                on_case=lambda name, case: update(description=f"{name}: {case}", advance=1),
                layer=layer,
            ),
        ):
            reports.append(one)
            differed |= excuse(one, known)
            show.report(one)
    outdated = stale(reports, known, differed)
    for case in outdated:
        show.err.print(f"[red]known difference that no longer differs:[/] {case}; take it out of {known_file}")
    write_json(json_file, as_json(reports))
    if markdown_file:
        from harness.cli.summary import summary

        write_whole(markdown_file, summary(reports, outdated))
    status = exit_status(reports)
    return FAULTY if outdated and status in (AGREED, NOTHING_JUDGED) else status


def matrix(suite_name: str, seed: int, out: Path) -> int:
    from harness.cli.matrix import make

    prepare_folder(out)
    return make(out, suite_name, seed)


def chosen_cases(suite_name: str, case_ids: list[str] | None, input_file: Path | None) -> tuple:
    """The cases to play. Raises UsageError for an unknown id, with the nearest."""
    import difflib

    if input_file is not None:
        from harness.cases.user_case import user_case

        return (user_case(input_file),)
    if not case_ids:
        return suite(suite_name)
    for case_id in case_ids:
        if case_id not in BY_ID:
            near = difflib.get_close_matches(case_id, BY_ID, n=1, cutoff=0)
            raise UsageError(f"unknown case {case_id!r}: did you mean {near[0]!r}? `bnproof list` names them all")
    return tuple(BY_ID[case_id] for case_id in case_ids)


def exit_status(reports: list[TargetReport]) -> int:
    verdicts = {one.verdict for one in reports}
    if any(one.load_error for one in reports):
        return USAGE
    if verdicts & {Verdict.crashed, Verdict.timed_out}:
        return DIED
    if verdicts & {Verdict.differ, Verdict.raised}:
        return FAULTY
    return AGREED if verdicts <= {Verdict.agree, Verdict.known} else NOTHING_JUDGED


def target_as_dict(one: TargetReport) -> dict[str, Any]:
    """A target for JSON and the ledger, without its cases."""
    conventions = None
    if one.conventions is not None:
        conventions = one.conventions.as_dict() | {"source": one.source}
    return {
        "target": one.target,
        "conventions": conventions,
        "verdict": one.verdict,
        "error": one.load_error,
        "versions": one.description.versions if one.description else {},
        "counts": counts(one.judgements),
        "diagnosis": [asdict(finding) for finding in one.diagnosis],
        "notes": [asdict(note) for note in one.notes],
    }


def as_json(reports: list[TargetReport]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "environment": environment(),
        "targets": [target_as_dict(one) | {"cases": [j.as_dict() for j in one.judgements]} for one in reports],
    }


def probe(target: str, json_file: Path | None) -> int:
    from harness.cli.show_probe import show_probe
    from harness.probe.probe import probe as probe_target
    from harness.targets.isolate import IsolatedTarget

    with IsolatedTarget(target) as isolated:
        isolated.describe()
        probed = probe_target(isolated)
    write_json(json_file, {"schema": SCHEMA, "target": target} | probed.as_dict())
    show_probe(target, probed)
    return AGREED


def translate(source: str, target: str, settings: list[str], json_file: Path | None) -> int:
    from harness.cli.show_probe import show_translation
    from harness.probe.translate import translation

    translated = translation(source, target, settings)
    write_json(json_file, {"schema": SCHEMA} | translated.as_dict())
    show_translation(translated)
    return AGREED


def load_data(data: Path | None):
    """Fashion-MNIST, and a loud line where it is only the sample."""
    from harness.train.fashion_mnist import load

    found = load(data)
    style = "bold red" if found.is_sample else "dim"
    show.out.print(f"data: {found.source}", style=style, highlight=False, soft_wrap=True)
    return found


def prepare_folder(folder: Path) -> None:
    """Make the folder and see that it can be written, before any work is done."""
    import os
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(f"cannot write to {folder}: {reason}; name another folder with --out") from error


def report(
    open_page: bool,
    quick: bool,
    seeds: int,
    steps: int,
    resume: Path | None,
    device: str,
    data: Path | None,
    seed: int,
    out: Path,
) -> int:
    from harness.cli.full_report import make
    from harness.cli.report_runs import Extent

    prepare_folder(out)
    page, status = make(out, extent=Extent(quick, seeds, steps, resume), device=device, data=load_data(data), seed=seed)
    if open_page:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    return status
