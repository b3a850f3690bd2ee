"""Jinja's two environments: HTML, in which everything is escaped, and Markdown, in which everything is plain text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.record.kinds import FAULTS, ComparisonRecord
from reports.agreement import Cell
from reports.findings import SCRIPTS, script_name
from reports.formats import anchor, day, exact, excerpt, fixed, in_words, listed, markdown_text, printable, short
from reports.signs import SIGNS, word
from reports.sources import linked

TEMPLATES = Path(__file__).parent / "templates"


def html_environment() -> Environment:
    """Everything that a template prints is escaped, and without characters that are not printed."""
    return _with_filters(Environment(autoescape=True, finalize=shown, **OPTIONS), soft=soft, linked=linked)


def markdown_environment() -> Environment:
    """Everything that a template prints goes through `markdown_text`."""
    return _with_filters(
        Environment(autoescape=False, finalize=markdown_text, keep_trailing_newline=True, **OPTIONS)
    )  # fmt: skip


def shown(value: object) -> object:
    """Text without control characters but the ends of lines; anything else, and what is HTML already, as it is."""
    return printable(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value


def place(cell: Cell) -> str:
    """Where a cell's ratio was seen, and what was compared: for a tooltip."""
    record = cell.record
    if record is None:
        return word(cell.verdict)
    where = f"case {record.case}"
    if not isinstance(record, ComparisonRecord):
        if cell.ratio is None:
            return f"{word(cell.verdict)}: {where}. {excerpt(cell.detail)}".strip()
        return f"{record.observable}: ratio {short(cell.ratio)} in {where}"
    if record.step is not None:
        where += f", step {record.step} ({record.op})"
    if cell.ratio is None:
        return f"{word(cell.verdict)}: {where}. {excerpt(cell.detail)}".strip()
    return f"{where}: error {short(record.error)}, bound {short(record.bound)}; {cell.total} comparisons"


def sortable(cell: Cell) -> str:
    """What tables.js sorts a cell by: its ratio, or beyond every number where the target is at fault without one."""
    if not cell.shows_ratio:
        return "Infinity" if cell.verdict in FAULTS else ""
    ratio = cell.ratio
    return f"{ratio:.3g}" if ratio is not None and math.isfinite(ratio) else "Infinity"


def soft(value: object) -> Markup:
    """Long names may break after an underscore, a dot, a slash or a colon."""
    text = str(value)
    if re.fullmatch(r"[\w./: +-]*", text) is None:
        return escape(text)
    return Markup(re.sub(r"([_./:])(?=\w)", r"\1<wbr>", text))


OPTIONS: dict = {
    "loader": FileSystemLoader(TEMPLATES),
    "undefined": StrictUndefined,
    "trim_blocks": True,
    "lstrip_blocks": True,
}

FILTERS: dict[str, Callable] = {
    "short": short,
    "fixed": fixed,
    "exact": exact,
    "in_words": in_words,
    "day": day,
    "excerpt": excerpt,
    "place": place,
    "word": word,
    "listed": listed,
    "anchor": anchor,
    "sortable": sortable,
}


def _with_filters(environment: Environment, **more: Callable) -> Environment:
    environment.filters |= FILTERS | more
    environment.globals |= {"signs": SIGNS, "faults": FAULTS, "scripts": SCRIPTS, "script_name": script_name}
    return environment
