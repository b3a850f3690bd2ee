"""From a ledger to pages, and from nothing else: one HTML page that opens offline, and its twin in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.record.files import write_whole, write_whole_bytes
from harness.record.kinds import PublishedFigures
from harness.record.read import Records, read
from reports import matrix
from reports.companion import Companion, OfRecords, nothing
from reports.environments import html_environment, markdown_environment
from reports.findings import SCRIPTS, TargetFindings, script_name
from reports.history import LibraryHistory, histories_in
from reports.page import report_view


def render(ledger: Path, out: Path, finished: bool = True, companion_of: OfRecords = nothing) -> Path:
    """Write `out`/index.html and its twin, report.md or matrix.md by what the ledger is; returns the page.

    finished=False: the run that writes the ledger goes on. The pages then say so, and what is missing is still to
    come. companion_of: what a report shows beside its ledger, made of its records. Raises LedgerError for a ledger that
    does not read, or is finished and not whole; UsageError where a file cannot be written.
    """
    records = read(ledger, whole=finished)
    published = records.header.published
    if published is None:
        return matrix.write(records, out, histories_in(ledger.parent))
    histories = histories_in(ledger.parent) if finished else []
    return write(records, published, out, finished, companion_of(records), histories)


def write(
    records: Records,
    published: PublishedFigures,
    out: Path,
    finished: bool,
    companion: Companion,
    histories: Sequence[LibraryHistory] = (),
) -> Path:
    view = vars(report_view(records, published, finished, companion, histories))
    page = out / "index.html"
    text = markdown_environment().get_template("report.md").render(view)
    write_whole(page, html_environment().get_template("index.html").render(view))
    write_whole(out / "report.md", re.sub(r"\n{3,}", "\n\n", text))
    if finished:
        write_scripts(view["findings"], out / SCRIPTS)
    return page


def write_scripts(rows: Iterable[TargetFindings], folder: Path) -> None:
    """Those that are too long for the page, each with its arrays."""
    for row in rows:
        for failure in row.failures:
            if failure.script and failure.script.is_file:
                name = script_name(row.target, failure.case)
                write_whole(folder / f"{name}.py", failure.script.text)
                if failure.script.arrays:
                    write_whole_bytes(folder / f"{name}.npz", failure.script.arrays)
