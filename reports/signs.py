"""How the pages show a verdict: the sign and the word carry what the colour says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sign:
    mark: str
    word: str
    style: str
    """The class of the style sheet: good, bad, open, told or none."""


SIGNS = {
    "agree": Sign("✓", "agree", "good"),
    "declared": Sign("≈", "declared", "told"),
    "noted": Sign("•", "noted", "told"),
    "known": Sign("◇", "known", "told"),
    "differ": Sign("✗", "differ", "bad"),
    "raised": Sign("✗", "raised", "bad"),
    "crashed": Sign("✗", "crashed", "bad"),
    "timed_out": Sign("✗", "timed out", "bad"),
    "inconclusive": Sign("?", "inconclusive", "open"),
    "unsupported": Sign("–", "unsupported", "open"),
    "not_run": Sign("○", "not run", "open"),
    "not_loaded": Sign("?", "not loaded", "open"),
    "not_installable": Sign("○", "not installable", "open"),
    "policy_only": Sign("•", "policy only", "none"),
    "not_asked": Sign("·", "not asked", "none"),
}
"""Every verdict on a target, a comparison or a pair, and what a cell without a verdict says."""

WITH_RATIO = ("agree", "differ", "known")
"""Verdicts that rest on numbers: their cells show the ratio."""


def word(verdict: str) -> str:
    return SIGNS[verdict].word
