"""What changed, as Markdown for a pull request (one screen of it) and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from harness.record.ledger import SCHEMA
from harness.record.outputs import ComparedTarget, CompareOutput
from reports.compare import Change, Comparisons, TargetChange, details
from reports.formats import excerpt, markdown_text, short

MARKS = {Change.worse: "✗", Change.better: "✓", Change.other: "•", Change.none: "="}
ROWS = 12
"""Of the table in Markdown, and of the list below it: one screen."""
LINES = 14
OF_A_TARGET = 3
LONGEST = 160


def ratio_words(change: TargetChange) -> str:
    """The largest error/bound: "0.51 → 3.0×10⁷", or once where it is the same."""
    before, after = map(short, change.ratios)
    return before if before == after else f"{before} → {after}"


def as_markdown(comparisons: Comparisons, title: str = "bnproof compare") -> str:
    """A sentence, a table of what changed, and why, in at most about forty lines."""
    lines = [f"## {markdown_text(title)}", "", f"{MARKS[worst(comparisons)]} {markdown_text(comparisons.sentence)}", ""]
    changed = comparisons.changed
    if not changed:
        return "\n".join(lines)
    lines += ["| target | | verdict | largest error/bound | versions |", "|---|---|---|---|---|"]
    lines += [row(change) for change in changed[:ROWS]]
    if len(changed) > ROWS:
        lines += ["", f"and {len(changed) - ROWS} more"]
    reasons = [
        f"- {markdown_text(change.target)}: {markdown_text(excerpt(text, LONGEST))}"
        for change in changed
        if change.change is not Change.other
        for text in details(change, OF_A_TARGET)
    ]
    if reasons:
        lines += ["", *reasons[:LINES]]
    if len(reasons) > LINES:
        lines.append(f"- and {len(reasons) - LINES} more lines; `bnproof compare --json` has all")
    return "\n".join(lines) + "\n"


def row(change: TargetChange) -> str:
    cells: Sequence[str] = (
        change.target,
        f"{MARKS[change.change]} {change.change}",
        change.verdicts,
        ratio_words(change),
        excerpt(", ".join(change.versions), LONGEST),
    )
    return f"| {' | '.join(map(markdown_text, cells))} |"


def worst(comparisons: Comparisons) -> Change:
    return comparisons.changed[0].change if comparisons.changed else Change.none


def compared_target(change: TargetChange) -> ComparedTarget:
    before, after = change.ratios
    return ComparedTarget(
        target=change.target,
        change=change.change.value,
        before=change.before.verdict if change.before else None,
        after=change.after.verdict if change.after else None,
        ratio_before=before,
        ratio_after=after,
        versions=change.versions,
        new_mistakes=change.new_mistakes,
        gone_mistakes=change.gone_mistakes,
        new_notes=change.new_notes,
        gone_notes=change.gone_notes,
        details=tuple(details(change, at_most=len(change.broken) + len(change.mended))),
    )


def as_output(comparisons: Comparisons) -> CompareOutput:
    targets = tuple(map(compared_target, comparisons.targets))
    return CompareOutput(SCHEMA, comparisons.sentence, comparisons.is_worse, targets)
