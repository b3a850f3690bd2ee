"""From the matrix's ledger to index.html and matrix.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from harness.observables import OBSERVABLES, STEP, column
from harness.record.files import write_whole
from harness.record.kinds import (
    CellRecord,
    Conventions,
    Environment,
    Header,
    LibraryFinding,
    NotInstalled,
    OverallPair,
    PairVerdict,
    TargetRecord,
)
from harness.record.read import Records, read
from reports.agreement import DTYPES
from reports.environments import html_environment, markdown_environment
from reports.formats import markdown_text
from reports.history import LibraryHistory, histories_in

COLUMNS = (*OBSERVABLES, *(column(name, "eval") for name in STEP))
FIELDS = tuple(field.name for field in fields(Conventions))


@dataclass(frozen=True)
class TargetRow:
    target: TargetRecord
    findings: tuple[int, ...]
    """The numbers, from 1, of the findings about it."""


@dataclass(frozen=True)
class DtypeTable:
    """One dtype: a row a target that plays it, its worst error/bound by observable."""

    dtype: str
    rows: tuple[tuple[str, tuple[CellRecord | None, ...]], ...]


@dataclass(frozen=True)
class Sameness:
    """How a target compares with each of the others."""

    target: str
    agree: tuple[str, ...]
    declared: tuple[str, ...]
    differ: tuple[str, ...]
    fields: tuple[str, ...]
    """The conventions that set it apart from the declared ones."""


@dataclass(frozen=True)
class MatrixView:
    header: Header
    environment: Environment
    targets: Sequence[TargetRow]
    not_installed: Sequence[NotInstalled]
    findings: Sequence[LibraryFinding]
    observables: Sequence[str]
    tables: Sequence[DtypeTable]
    fields: Sequence[str]
    same: Sequence[Sameness]
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
    return MatrixView(
        header=records.header,
        environment=records.header.environment,
        targets=[TargetRow(target, numbers(findings, target.target)) for target in records.targets],
        not_installed=records.not_installed,
        findings=findings,
        observables=COLUMNS,
        tables=[dtype_table(dtype, records) for dtype in DTYPES],
        fields=FIELDS,
        same=[sameness(target.target, records.overall_pairs) for target in records.targets],
        histories=histories,
    )


def finding_as_markdown(number: int, finding: LibraryFinding) -> str:
    """A finding; its code and output stand as they are, which a template that escapes everything cannot do."""
    about = f"Targets: {', '.join(finding.targets)}. Documented: {finding.documented}"
    output = "\n".join(finding.output)
    return (
        f"### {number}. {markdown_text(finding.title)}\n\n{markdown_text(about)}\n\n"
        f"```python\n{finding.code}\n```\n\nprints\n\n```\n{output}\n```\n"
    )


def numbers(findings: Sequence[LibraryFinding], target: str) -> tuple[int, ...]:
    return tuple(number for number, finding in enumerate(findings, 1) if target in finding.targets)


def dtype_table(dtype: str, records: Records) -> DtypeTable:
    cells = {(cell.target, cell.observable): cell for cell in records.cells if cell.dtype == dtype}
    played = {target for target, _ in cells}
    names = (target.target for target in records.targets if target.target in played)
    return DtypeTable(dtype, tuple((name, tuple(cells.get((name, column)) for column in COLUMNS)) for name in names))


def sameness(target: str, pairs: Sequence[OverallPair]) -> Sameness:
    of_target = [pair for pair in pairs if target in (pair.a, pair.b)]

    def others(verdict: PairVerdict) -> tuple[str, ...]:
        return tuple(pair.b if pair.a == target else pair.a for pair in of_target if pair.verdict is verdict)

    declared = {name for pair in of_target if pair.verdict is PairVerdict.declared for name in pair.declared_by}
    return Sameness(
        target,
        others(PairVerdict.agree),
        others(PairVerdict.declared),
        others(PairVerdict.differ),
        tuple(sorted(declared)),
    )
