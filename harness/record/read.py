"""Reads a ledger into the types of its records. What is wrong with it is one line that says where and what to do."""

from __future__ import annotations

import importlib.util
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import UsageError
from harness.record.compressed import DamagedError, expanded
from harness.record.files import reason_of
from harness.record.kinds import (
    KINDS,
    AccuracyRecord,
    CellRecord,
    ComparisonRecord,
    EquivalenceRecord,
    Footer,
    Header,
    LayerThroughput,
    LibraryFinding,
    LockstepRecord,
    NotInstalled,
    OverallPair,
    Pair,
    ReleaseRecord,
    SuiteTiming,
    TargetRecord,
    TrainingResult,
    TrainingThroughput,
)
from harness.record.ledger import SCHEMA, LedgerError

INSTALL = "pip install msgspec"
PAGES = ("msgspec", "jinja2")
"""What making pages takes."""
AGAIN = "make it again with `bnproof report`, `matrix` or `history`"


@dataclass(frozen=True)
class Records:
    """A ledger, by what its records are, each in the order of its lines. `footer` is None where the run goes on."""

    header: Header
    footer: Footer | None = None
    not_installed: tuple[NotInstalled, ...] = ()
    targets: tuple[TargetRecord, ...] = ()
    comparisons: tuple[ComparisonRecord, ...] = ()
    pairs: tuple[Pair, ...] = ()
    overall_pairs: tuple[OverallPair, ...] = ()
    lockstep: tuple[LockstepRecord, ...] = ()
    trainings: tuple[TrainingResult, ...] = ()
    accuracy: tuple[AccuracyRecord, ...] = ()
    equivalence: tuple[EquivalenceRecord, ...] = ()
    throughput: tuple[TrainingThroughput, ...] = ()
    layers: tuple[LayerThroughput, ...] = ()
    suites: tuple[SuiteTiming, ...] = ()
    cells: tuple[CellRecord, ...] = ()
    findings: tuple[LibraryFinding, ...] = ()
    releases: tuple[ReleaseRecord, ...] = ()


def read(path: Path, whole: bool = True) -> Records:
    """The ledger at `path`, compressed or not. Unknown fields and kinds, which a later version may write, are passed
    over.

    whole=False: of a run that has not finished: there may be no footer, and a last line that is not yet complete.
    Raises LedgerError where the ledger cannot be read, is foreign, holds what does not fit, or is not whole;
    UsageError where msgspec is not installed.
    """
    convert = converter()
    lines = read_lines(path, whole)
    if not whole and lines and not lines[-1].endswith("\n"):
        lines.pop()
    held: dict[type, list[Any]] = {type_: [] for types in KINDS.values() for type_ in types}
    counts: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        place = f"{path}, line {number}"
        kind, fields = parse(line, place, is_first=number == 1)
        if held[Footer]:
            raise LedgerError(f"{place} stands after the footer: two ledgers in one file; {AGAIN}")
        if kind not in ("header", "footer"):
            counts[kind] += 1
        if kind in KINDS:
            type_ = type_of(kind, fields)
            held[type_].append(convert(fields, type_, f"{place}: a {kind} record"))
    if not held[Header]:
        raise LedgerError(f"{path} is empty; {AGAIN}")
    footer = held[Footer][0] if held[Footer] else None
    if whole and footer is None:
        raise LedgerError(f"{path} has no footer: the run that wrote it did not finish; {AGAIN}")
    if footer is not None and footer.counts != counts:
        raise LedgerError(f"{path} holds {dict(counts)}, its footer counts {footer.counts}; {AGAIN}")
    return Records(
        header=held[Header][0],
        footer=footer,
        not_installed=tuple(held[NotInstalled]),
        targets=tuple(held[TargetRecord]),
        comparisons=tuple(held[ComparisonRecord]),
        pairs=tuple(held[Pair]),
        overall_pairs=tuple(held[OverallPair]),
        lockstep=tuple(held[LockstepRecord]),
        trainings=tuple(held[TrainingResult]),
        accuracy=tuple(held[AccuracyRecord]),
        equivalence=tuple(held[EquivalenceRecord]),
        throughput=tuple(held[TrainingThroughput]),
        layers=tuple(held[LayerThroughput]),
        suites=tuple(held[SuiteTiming]),
        cells=tuple(held[CellRecord]),
        findings=tuple(held[LibraryFinding]),
        releases=tuple(held[ReleaseRecord]),
    )


def converter() -> Callable[[Any, type, str], Any]:
    """`convert(value, type, what)`: JSON as a dataclass; the words "nan", "inf", "-inf" are floats where one stands.

    Raises LedgerError naming `what` where the value does not fit.
    """
    msgspec = import_msgspec()

    def convert(value: Any, type_: type, what: str) -> Any:
        try:
            return msgspec.convert(value, type_, strict=False)
        except msgspec.ValidationError as error:
            raise LedgerError(f"{what} does not fit: {error}; {AGAIN}") from error

    return convert


def import_msgspec() -> ModuleType:
    """Imported late, so that a machine without it can check, measure and write ledgers."""
    try:
        import msgspec
    except ImportError as error:
        raise UsageError(f"reading a ledger, and so making pages, takes msgspec: {INSTALL}") from error
    return msgspec


def can_make_pages() -> bool:
    """Whether what making pages takes is installed."""
    return all(importlib.util.find_spec(name) is not None for name in PAGES)


def read_lines(path: Path, whole: bool = True) -> list[str]:
    """The lines with their ends, of a file that may be compressed. whole=False: of one that may have been cut off."""
    try:
        data = expanded(path.read_bytes(), whole)
    except OSError as error:
        raise LedgerError(f"cannot read {path}: {reason_of(error)}; name a ledger.jsonl") from error
    except DamagedError as error:
        raise LedgerError(f"{path} is a damaged gzip file: {error}; {AGAIN}") from error
    try:
        return list(io.StringIO(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise LedgerError(f"{path}, line {number} is not UTF-8: no ledger, or a damaged one; {AGAIN}") from error


def loads(text: str) -> Any:
    """The JSON, lone surrogates in its words written as their escapes: what a file's name or a target's message held.

    Raises ValueError or RecursionError.
    """
    value = json.loads(text)
    return without_surrogates(value) if "\\ud" in text or "\\uD" in text else value


def without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {without_surrogates(name): without_surrogates(each) for name, each in value.items()}
    return [without_surrogates(each) for each in value] if isinstance(value, list) else value


def parse(line: str, place: str, is_first: bool) -> tuple[str, dict[str, Any]]:
    """(the kind of record, its fields) of one line; the first must be a header of our schema, and no other."""
    try:
        record = loads(line)
    except (ValueError, RecursionError) as error:
        what = "no ledger of bnproof" if is_first else "the ledger was cut off or damaged there"
        raise LedgerError(f"{place} is not JSON: {what}; {AGAIN}") from error
    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
        raise LedgerError(f'{place} is no record, which is an object with a "type"; {AGAIN}')
    kind = record["type"]
    if is_first and (kind != "header" or record.get("schema") != SCHEMA):
        raise LedgerError(f"{place} is no header of schema {SCHEMA}: name a ledger.jsonl that this version wrote")
    if not is_first and kind == "header":
        raise LedgerError(f"{place} is a second header: two ledgers in one file; {AGAIN}")
    return kind, record


def type_of(kind: str, fields: dict[str, Any]) -> type:
    """What a record is, by its kind and what only one of the types of that kind has."""
    types = KINDS[kind]
    if kind == "pair":
        return Pair if "observable" in fields else OverallPair
    if kind == "throughput":
        return {"layer": LayerThroughput, "suite": SuiteTiming}.get(str(fields.get("bench")), TrainingThroughput)
    return types[0]
