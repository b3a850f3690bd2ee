"""Numbers, dates and text as people read them, in HTML and in Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def short(value: float | None) -> str:
    """A number in two significant digits: 0.048, 4,500, 7.0×10¹⁵. Near 1, where a verdict turns, it has as many
    digits as tell it from 1, and at least four."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    if 0.9 < abs(value) < 1.1:
        digits = next((d for d in range(4, 17) if value == 1 or float(f"{value:.{d}g}") != 1), 17)
        return with_minus(f"{value:.0f}" if abs(value) == 1 else f"{value:#.{digits}g}")
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    power = int(exponent)
    if -4 < power < 0:
        return with_minus(f"{value:.{1 - power}f}")
    if 0 <= power < 5:
        return with_minus(f"{float(f'{value:.2g}'):,.{1 if power == 0 else 0}f}")
    return with_minus(f"{mantissa}×10{str(power).translate(SUPERSCRIPTS)}")


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with `digits` decimals and thousands' commas."""
    return short(value) if value is None or not math.isfinite(value) else with_minus(f"{value:,.{digits}f}")


def exact(value: float | None) -> str:
    """A number as it stands in the ledger."""
    return short(value) if value is None or not math.isfinite(value) else repr(value)


def with_minus(text: str) -> str:
    """With a minus sign in place of the hyphen."""
    return text.replace("-", "−")


def in_words(value: object) -> str:
    """A convention's value."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        text = f"{value:g}"
        return text if "e" in text else with_minus(text)
    return str(value).replace("_", " ")


def day(text: str) -> str:
    """An ISO time as a date to read; anything else as it stands."""
    try:
        made = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{made.day} {made:%B %Y, %H:%M} {made.tzname() or ''}".strip()


def excerpt(text: str, length: int = 240) -> str:
    """The beginning of a long message."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def printable(text: str, keep: str = "") -> str:
    """`text` without control characters, and without what would turn the reading direction: a space for each.

    keep: characters that may stay all the same, such as ends of lines.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character in keep else " " for character in text)


def listed(names: Iterable[str]) -> str:
    """a, b and c"""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def markdown_text(value: object) -> str:
    """`value` as plain text on one line: nothing in it is Markdown or HTML, and a table's cell stays one cell."""
    text = " ".join(printable(str(value)).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~#$!])", r"\\\1", text)
    return re.sub(r"^([-+]|\d+[.)])(?=\s)", lambda match: f"{match[0][:-1]}\\{match[0][-1]}", text)


def anchor(kind: str, name: str) -> str:
    """An id for a page's element: what cannot stand in a link as it is, is written as its code."""
    return f"{kind}-" + re.sub(r"[^\w.-]", lambda match: f"~{ord(match[0]):x}", name, flags=re.ASCII)
