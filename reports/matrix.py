"""From the matrix's ledger to index.html and matrix.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from harness.observables import DERIVATIVES, ORDINARY, STEP, column
from harness.record.files import write_whole
from harness.record.kinds import CellRecord, Conventions, Environment, Header, LibraryFinding, NotInstalled
from harness.record.read import Records, read
from reports.agreement import DTYPES
from reports.environments import html_environment, markdown_environment
from reports.formats import markdown_text
from reports.history import LibraryHistory, histories_in
from reports.matrix_targets import Mistake, TargetRow, headline, mistakes, target_rows

COLUMNS = (*ORDINARY, *(column(name, "eval") for name in STEP))
DERIVED = tuple(dict.fromkeys(column(name, op) for op, names in DERIVATIVES.items() for name in names))
"""The columns of forward mode and second derivatives, which few targets have: a table of their own."""
FENCES = {".py": "python", ".js": "javascript", ".cpp": "cpp"}
FIELDS = tuple(field.name for field in fields(Conventions))


@dataclass(frozen=True)
class Grid:
    """A row a target that has any of the observables, with its worst error/bound of each."""

    observables: tuple[str, ...]
    rows: tuple[tuple[TargetRow, tuple[CellRecord | None, ...]], ...]


@dataclass(frozen=True)
class DtypeTable:
    """One dtype."""

    dtype: str
    ordinary: Grid
    derived: Grid


@dataclass(frozen=True)
class Choices:
    """What the list of targets can be filtered by, beside words."""

    library: Sequence[str]
    language: Sequence[str]
    verdict: Sequence[str]
    mistake: Sequence[str]


@dataclass(frozen=True)
class MatrixView:
    header: Header
    environment: Environment
    headline: str
    targets: Sequence[TargetRow]
    choices: Choices
    mistakes: Sequence[Mistake]
    not_installed: Sequence[NotInstalled]
    findings: Sequence[LibraryFinding]
    tables: Sequence[DtypeTable]
    fields: Sequence[str]
    histories: Sequence[LibraryHistory]


def render(ledger: Path, out: Path) -> Path:
    """Write both pages into `out`, with the histories whose ledgers stand beside the matrix's; returns the HTML one.

    Raises LedgerError for a ledger that is not whole.
    """
    return write(read(ledger), out, histories_in(ledger.parent))


def write(records: Records, out: Path, histories: Sequence[LibraryHistory] = ()) -> Path:
    view = matrix_view(records, histories)
    page = out / "index.html"
    text = markdown_environment().get_template("matrix.md").render(vars(view))
    described = [finding_as_markdown(number, finding) for number, finding in enumerate(view.findings, 1)]
    write_whole(page, html_environment().get_template("matrix.html").render(vars(view)))
    write_whole(out / "matrix.md", re.sub(r"\n{3,}", "\n\n", "\n".join([text, *described])))
    return page


def matrix_view(records: Records, histories: Sequence[LibraryHistory]) -> MatrixView:
    findings = [finding for finding in records.findings if finding.reproduced]
    rows = target_rows(records.targets, findings, records.overall_pairs)
    return MatrixView(
        header=records.header,
        environment=records.header.environment,
        headline=headline(rows),
        targets=rows,
        choices=choices(rows),
        mistakes=mistakes(rows),
        not_installed=records.not_installed,
        findings=findings,
        tables=[dtype_table(dtype, rows, records.cells) for dtype in DTYPES],
        fields=FIELDS,
        histories=histories,
    )


def choices(rows: Sequence[TargetRow]) -> Choices:
    return Choices(
        library=sorted({row.library for row in rows} - {""}, key=str.lower),
        language=sorted({row.language for row in rows} - {""}),
        verdict=list(dict.fromkeys(row.target.verdict for row in rows)),
        mistake=sorted({id_ for row in rows for id_ in row.ids}),
    )


def finding_as_markdown(number: int, finding: LibraryFinding) -> str:
    """A finding; its code and output stand as they are, which a template that escapes everything cannot do."""
    about = f"Targets: {', '.join(finding.targets)}. Documented: {finding.documented}"
    output = "\n".join(finding.output)
    return (
        f"### {number}. {markdown_text(finding.title)}\n\n{markdown_text(about)}\n\n"
        f"```{FENCES.get(Path(finding.file).suffix, '')}\n{finding.code}\n```\n\nprints\n\n```\n{output}\n```\n"
    )


def dtype_table(dtype: str, rows: Sequence[TargetRow], cells: Sequence[CellRecord]) -> DtypeTable:
    of_dtype = {(cell.target, cell.observable): cell for cell in cells if cell.dtype == dtype}
    seen = {observable for _, observable in of_dtype}
    derived = tuple(name for name in DERIVED if name in seen)
    return DtypeTable(dtype, grid(COLUMNS, rows, of_dtype), grid(derived, rows, of_dtype))


def grid(observables: tuple[str, ...], rows: Sequence[TargetRow], cells: Mapping[tuple[str, str], CellRecord]) -> Grid:
    of_targets = [(row, tuple(cells.get((row.target.target, name)) for name in observables)) for row in rows]
    return Grid(observables, tuple((row, found) for row, found in of_targets if any(found)))
