"""Which known mistake explains this? Never a guess: a mistake is named only if it explains every law observable.

In this order, the first class that succeeds: a fixed mistake; rounding mistakes by envelope; a mistake with one fitted
number, which must hold over two cases; two fixed mistakes together. None: `unexplained`. Ties are listed together.
What is a yes or no (a modified input, a wrong shape, one value per channel) is named by itself and set aside first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from harness.check import Played, TargetReport
from harness.mistakes.known import KNOWN, TEXTS, Known
from harness.oracle import OracleLayer, expect
from harness.replay import explains
from harness.verdict import CRASHED, DIFFER, RAISED, TIMED_OUT, Judgement
from reference.conventions import Conventions

Finding = dict[str, Any]
SIXTEEN_BITS = ("bfloat16", "float16")


@dataclass(frozen=True)
class Suspect:
    """Classes to stack over the oracle, and the ids that they stand for."""

    ids: tuple[str, ...]
    classes: tuple[type[OracleLayer], ...]

    def layer(self) -> type[OracleLayer]:
        return self.classes[0] if len(self.classes) == 1 else type("Stacked", self.classes, {})


def diagnose(report: TargetReport) -> list[Finding]:
    """The findings of a target: {"id", "text", "cases"}. Empty where no law judgement failed."""
    failed = [one for one in report.judgements if one.counts_against]
    if not failed:
        return []
    findings, failed = set_aside(failed)
    failed = [one for one in failed if one.verdict in (DIFFER, RAISED)]
    if not failed:
        return findings
    assert report.conventions is not None
    for sixteen_bits in (False, True):  # what 16 bits do to a sum is another matter than what a formula does
        mine = [one for one in failed if (one.dtype in SIXTEEN_BITS) is sixteen_bits]
        played = [one for one in report.played if (one.dtype in SIXTEEN_BITS) is sixteen_bits]
        if mine:
            known = {one["id"] for one in findings}
            findings += [one for one in explain(played, mine, report.conventions) if one["id"] not in known]
    return findings


def set_aside(failed: list[Judgement]) -> tuple[list[Finding], list[Judgement]]:
    """The yes-or-no findings, and the failures that are left to explain."""
    rest, kinds = [], {}
    for one in failed:
        kind = yes_or_no(one)
        if kind is None:
            rest.append(one)
        else:
            kinds.setdefault(kind, []).append(one)
    return [finding((kind,), ones) for kind, ones in kinds.items()], rest


def yes_or_no(one: Judgement) -> str | None:
    """The id of a failure that needs no replaying."""
    if one.verdict in (CRASHED, TIMED_OUT):
        return None
    message = one.message or ""
    if one.case.startswith("one_value") and one.observable is None:
        return "single_value_wrong"
    if "was modified" in message or (one.case == "read_only_input" and "read-only" in message):
        return "input_mutated"
    if message.startswith(("expected shape", "expected dtype", "expected a", "unknown name")):
        return "wrong_form"
    return None


def explain(played: list[Played], failed: list[Judgement], conventions: Conventions) -> list[Finding]:
    """The simplest class of mistakes that explains every law observable of every case."""
    from harness import envelopes, fitted

    to_explain = most_telling(played, failed)
    in_any_mode = [replace(one, expected=expect(one.script, conventions, any_mode=True)) for one in to_explain]
    singles = [suspect for known in KNOWN if known.applies(conventions) for suspect in suspects(known)]
    for found in (
        lambda: [s.ids for s in singles if explains(s.layer(), in_any_mode, conventions)],
        lambda: envelopes.explanations(to_explain, conventions),
        lambda: fitted.explanations(in_any_mode, conventions),
        lambda: [s.ids for s in pairs(singles, in_any_mode, conventions)],
        lambda: envelopes.explanations_with(singles, to_explain, conventions),
    ):
        explanations = found()
        if explanations:
            return merged(explanations, failed)
    lost = all((one.message or "").startswith("not finite") for one in failed)
    return [finding(("non_finite_output",) if lost else ("unexplained",), failed)]


def suspects(known: Known) -> Iterable[Suspect]:
    return (Suspect((known.id,), (variant,)) for variant in known.variants)


def most_telling(played: list[Played], failed: list[Judgement]) -> list[Played]:
    """The cases to explain, the worst failures first: a wrong suspect is dismissed by the first it does not fit.

    What is judged as a yes or no, and policy, plays no part.
    """
    worst: dict[tuple[str, str], float] = {}
    for one in failed:
        ratio = float("inf") if one.ratio is None else one.ratio
        worst[one.case, one.dtype] = max(worst.get((one.case, one.dtype), 0.0), ratio)
    judged = [one for one in played if one.case.policy != "all" and not one.case.id.startswith("one_value")]
    return sorted(judged, key=lambda one: -worst.get((one.case.id, one.dtype), 0.0))


def pairs(singles: Sequence[Suspect], played: list[Played], conventions: Conventions) -> Iterable[Suspect]:
    """Two fixed mistakes of different ids that together explain everything."""
    for a, b in combinations(singles, 2):
        if a.ids == b.ids or issubclass(a.classes[0], b.classes[0]) or issubclass(b.classes[0], a.classes[0]):
            continue
        both = Suspect(a.ids + b.ids, b.classes + a.classes)  # gradients, listed last, act on what the rest gives
        try:
            layer = both.layer()
        except TypeError:  # the two cannot be stacked in one order of inheritance
            continue
        if explains(layer, played, conventions):
            yield both


def merged(explanations: Iterable[Any], failed: list[Judgement]) -> list[Finding]:
    """One finding an id, in the order found. An explanation is a tuple of ids, or (ids, what was fitted)."""
    findings: dict[str, Finding] = {}
    for one in explanations:
        ids, detail = one if isinstance(one[0], tuple) else (one, "")
        for identity in ids:
            findings.setdefault(identity, finding((identity,), failed, detail))
    return list(findings.values())


def finding(ids: tuple[str, ...], failed: list[Judgement], detail: str = "") -> Finding:
    text = TEXTS[ids[0]] + (f" ({detail})" if detail else "")
    if ids[0] in ("wrong_form", "non_finite_output", "unexplained"):
        text += f"; first: {failed[0].message}" if failed[0].message else ""
    return {"id": ids[0], "text": text, "cases": list(dict.fromkeys(one.case for one in failed))}


def observations_to_notes(report: TargetReport, isolated: Any) -> list[dict[str, str]]:
    """Behaviour that is nobody's fault: policy cases, output, changed global state. One note an id."""
    from harness.notes import notes

    return notes(report, isolated)
