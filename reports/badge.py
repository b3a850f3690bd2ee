"""A badge for a README: an SVG with a verdict and the version that it holds for."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from harness.errors import UsageError
from harness.record.kinds import FAULTS, TargetVerdict
from harness.record.results import results_in
from reports.formats import excerpt, printable
from reports.signs import SIGNS

LABEL = "batch norm"
LONGEST = 60
"""Characters of a name or version; more is cut."""
BESIDE = ("numpy", "ml_dtypes", "jaxlib", "optax")
"""Packages that are there with others, and whose version says nothing of what was judged."""
WORDS = {
    TargetVerdict.agree: "agrees",
    TargetVerdict.differ: "differs",
    TargetVerdict.raised: "raises",
    TargetVerdict.crashed: "crashes",
    TargetVerdict.timed_out: "hangs",
}
"""As a verb; the other verdicts read as they are."""
COLOURS = {"good": "#1f6b43", "bad": "#a81818", "told": "#2b5c94", "open": "#6b500e", "none": "#55585c"}
"""White text has a contrast of 6 and more on each."""


@dataclass(frozen=True)
class Subject:
    """What a badge tells of: one target, and its verdict."""

    target: str
    verdict: TargetVerdict
    versions: dict[str, str]
    library: str = ""
    """The package that is meant; empty: the only one that can be."""

    @property
    def version(self) -> str:
        """ "timm 1.0.31"; empty where it is unknown whose version counts."""
        main = [self.library] if self.library in self.versions else [n for n in self.versions if n not in BESIDE]
        return f"{main[0]} {self.versions[main[0]]}" if len(main) == 1 else ""


@dataclass(frozen=True)
class Part:
    """One half of the badge."""

    text: str
    width: float
    """Of the text, in pixels."""


def subjects_in(path: Path) -> list[Subject]:
    """The targets of a ledger, or of what `bnproof check --json` wrote. Raises UsageError."""
    return [Subject(result.target, result.verdict, result.versions, result.library) for result in results_in(path)]


def chosen(subjects: Sequence[Subject], target: str | None, path: Path) -> list[Subject]:
    """That one, or all where none is named. Raises UsageError where there is none."""
    if not subjects:
        raise UsageError(f"{path} holds no verdict on a target")
    kept = [subject for subject in subjects if target in (None, subject.target)]
    if not kept:
        names = ", ".join(subject.target for subject in subjects)
        raise UsageError(f"{path} holds no target {target!r}; it has {excerpt(names)}")
    return kept


def badge(subjects: Sequence[Subject], version: str = "") -> str:
    """The SVG. Of several targets it says how many agree. version: in place of what was recorded."""
    word, style = told(subjects)
    mark = {"good": "✓", "bad": "✗"}.get(style, "?")
    version = clean(version or (subjects[0].version if len(subjects) == 1 else ""))
    right = f"{mark} {word}" + (f" · {version}" if version else "")
    name = clean(subjects[0].target) if len(subjects) == 1 else f"{len(subjects)} targets"
    texts = Part(LABEL, width(LABEL)), Part(right, width(right))
    return drawn(
        *texts, COLOURS[style], f"{LABEL} checked by bnproof: {name}: {word}" + (f", {version}" if version else "")
    )


def drawn(left: Part, right: Part, colour: str, title: str) -> str:
    """The SVG, without a template: a badge must not take Jinja2."""
    half = left.width + 14
    whole = round(half + right.width + 14, 1)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" aria-label="{escape(title)}">
<title>{escape(title)}</title>
<clipPath id="r"><rect width="{whole}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{whole}" height="20" fill="{colour}"/>\
<rect width="{round(half, 1)}" height="20" fill="#3a3d40"/></g>
<g fill="#fff" font-family="Verdana,'DejaVu Sans',Geneva,sans-serif" font-size="11">
<text x="7" y="14" textLength="{left.width}">{escape(left.text)}</text>
<text x="{round(half + 7, 1)}" y="14" textLength="{right.width}">{escape(right.text)}</text>
</g>
</svg>
"""


def told(subjects: Sequence[Subject]) -> tuple[str, str]:
    """The verdict in words, and the style of its sign."""
    if len(subjects) == 1:
        sign = SIGNS[subjects[0].verdict]
        return WORDS.get(subjects[0].verdict, sign.word), sign.style
    verdicts = [subject.verdict for subject in subjects]
    agree = sum(verdict in (TargetVerdict.agree, TargetVerdict.known) for verdict in verdicts)
    style = "bad" if any(verdict in FAULTS for verdict in verdicts) else "good" if agree == len(verdicts) else "open"
    return f"{agree} of {len(subjects)} agree", style


def clean(text: str) -> str:
    """On one line, without what XML forbids or what would turn the reading direction."""
    return excerpt(printable(text), LONGEST)


def width(text: str) -> float:
    """About what the text takes in 11 pixels of a sans-serif; the badge then sets it to exactly that."""
    return round(sum(map(advance, text)), 1)


def advance(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 11.5
    if character in "ijl.,:;'|!()[] ":
        return 4.0
    if character in 'frt-/"':
        return 5.0
    if character in "mwMW@%":
        return 10.5
    return 8.0 if character.isupper() else 7.0
