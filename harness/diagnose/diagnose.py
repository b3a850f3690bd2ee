"""Which known mistake explains this? Never a guess: a mistake is named only if it explains every law observable.

In this order, the first class that succeeds: a fixed mistake; a mistake with one fitted number, which must hold over
two cases; rounding mistakes by envelope; two fixed mistakes; a fixed mistake and one of rounding. None: `unexplained`.
Ties inside a class are listed together. What is a yes or no (a modified input, a wrong shape) is set aside first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.check import Played, TargetReport
from harness.diagnose.mistakes.known import KNOWN, TEXTS
from harness.diagnose.suspects import Evidence, Suspect, raises, search
from harness.judge.oracle import OracleLayer
from harness.judge.verdict import CRASHED, DIFFER, RAISED, TIMED_OUT, Judgement
from reference.conventions import Conventions

Finding = dict[str, Any]
SIXTEEN_BITS = ("bfloat16", "float16")
SINGLE_VALUE = "one_value"
"""How the ids of the cases with one value per channel begin: they are judged on their own."""


def diagnose(report: TargetReport) -> list[Finding]:
    """The findings of a target: {"id", "text", "cases"}. Empty where no law judgement failed."""
    failed = [one for one in report.judgements if one.counts_against]
    findings, failed = set_aside(failed)
    failed = [one for one in failed if one.verdict in (DIFFER, RAISED)]
    if not failed:
        return findings
    assert report.conventions is not None
    settled = {one["id"]: one["cases"] for one in findings}
    suspects: list[Suspect] = []
    for sixteen_bits in (False, True):  # what 16 bits do to a sum is another matter than what a formula does
        mine = [one for one in failed if (one.dtype in SIXTEEN_BITS) is sixteen_bits]
        played = [one for one in report.played if (one.dtype in SIXTEEN_BITS) is sixteen_bits]
        if mine:
            more, suspects = explain(played, mine, report.conventions, settled, suspects)
            _add(findings, more)
    if any(one["id"] == "wrong_axis" for one in findings):  # a result of another shape is what that leads to
        findings = [one for one in findings if one["id"] != "wrong_form"]
    return findings


def _add(findings: list[Finding], more: list[Finding]) -> None:
    """One finding an id."""
    known = {one["id"]: one for one in findings}
    for one in more:
        if one["id"] in known:
            known[one["id"]]["cases"] = list(dict.fromkeys(known[one["id"]]["cases"] + one["cases"]))
        else:
            findings.append(one)


def set_aside(failed: list[Judgement]) -> tuple[list[Finding], list[Judgement]]:
    """The yes-or-no findings, and the failures that are left to explain."""
    rest: list[Judgement] = []
    kinds: dict[str, list[Judgement]] = {}
    for one in failed:
        kind = yes_or_no(one)
        if kind is None:
            rest.append(one)
        else:
            kinds.setdefault(kind, []).append(one)
    return [finding(kind, ones) for kind, ones in kinds.items()], rest


def yes_or_no(one: Judgement) -> str | None:
    """The id of a failure that needs no replaying."""
    if one.verdict in (CRASHED, TIMED_OUT):
        return None
    message = one.message or ""
    if "was modified" in message or (one.case == "read_only_input" and "read-only" in message):
        return "input_mutated"
    if message.startswith(("expected shape", "expected dtype", "expected a", "unknown name")):
        return "wrong_form"
    if one.verdict == RAISED and one.op == "restore":
        return "state_not_saved"
    return None


def explain(
    played: list[Played],
    failed: list[Judgement],
    conventions: Conventions,
    settled: dict[str, list[str]],
    earlier: list[Suspect],
) -> tuple[list[Finding], list[Suspect]]:
    """The simplest class of mistakes that explains every law observable of every case, and the mistakes as suspects.

    What has explained other dtypes is asked first: it needs no failure of its own here.
    """
    law = [one for one in played if one.case.policy != "all" and not _raised_and_settled(one, settled)]
    evidence = Evidence([one for one in law if not one.case.id.startswith(SINGLE_VALUE)], conventions)
    single_value = [one for one in failed if one.case.startswith(SINGLE_VALUE)]
    others = [one for one in failed if not one.case.startswith(SINGLE_VALUE)]
    if not others:
        return [finding("single_value_wrong", single_value)], []
    raised = [one for one in evidence.played if raises(one)]
    found, stray = [one for one in earlier if all(evidence.fits(one, case) for case in evidence.played)], []
    found = found or search(evidence, fixed_only=bool(raised))
    if not found and raised and len(raised) < len(evidence.failing):
        evidence = evidence.without(raised)
        stray = [one for one in others if one.verdict == RAISED]
        found = search(evidence)
    if not found:
        lost = all((one.message or "").startswith("not finite") for one in others)
        return [finding("non_finite_output" if lost else "unexplained", failed)], []
    findings = _findings(found, evidence, [one for one in others if one not in stray])
    wrong = {(one.case, one.dtype) for one in single_value}
    single = [one for one in law if (one.case.id, one.dtype) in wrong]
    if single_value and not _covers_single_value(found, evidence, single, single_value):
        findings.append(finding("single_value_wrong", single_value))
    if stray and not any(one["id"] == "wrong_axis" for one in findings):  # wrong axes may fit no shape
        findings.append(finding("unexplained", stray))
    return findings, found


def _raised_and_settled(one: Played, settled: dict[str, list[str]]) -> bool:
    """An exception that is a finding by itself leaves nothing to replay."""
    return raises(one) and any(one.case.id in cases for cases in settled.values())


def _covers_single_value(
    found: list[Suspect], evidence: Evidence, single: list[Played], failed: list[Judgement]
) -> bool:
    """Whether what was found also accounts for the failures with one value per channel."""
    ids = {identity for one in found for identity in one.ids}
    by_n_minus_1 = any(known.single_value for known in KNOWN if known.id in ids)
    lost = all(one.verdict == RAISED or (one.message or "").startswith("not finite") for one in failed)
    if (by_n_minus_1 and lost) or "wrong_axis" in ids:
        return True
    return any(all(evidence.fits(one, case) for case in single) for one in found)


def _findings(found: list[Suspect], evidence: Evidence, failed: list[Judgement]) -> list[Finding]:
    """One finding an id, in the order found, with the cases that it is needed for."""
    findings: dict[str, Finding] = {}
    for suspect in found:
        for number, identity in enumerate(suspect.ids):
            cases = _needed_for(suspect, number, evidence) or [one.case for one in failed]
            merged = findings.setdefault(identity, finding(identity, failed, suspect.detail))
            merged["cases"] = list(dict.fromkeys((merged["cases"] if "ready" in merged else []) + cases))
            merged["ready"] = True
    for one in findings.values():
        del one["ready"]
    return list(findings.values())


def _needed_for(suspect: Suspect, number: int, evidence: Evidence) -> list[str]:
    """The failing cases that the rest of a pair, alone, does not explain. Of a single mistake: all of them."""
    if len(suspect.ids) == 1:
        return []
    if suspect.envelope is None:
        others = [one for one in suspect.classes if (suspect.ids[number],) != _ids_of(one, suspect)]
        rest = Suspect((), tuple(others))
    elif number == len(suspect.ids) - 1:
        rest = replace(suspect, envelope=None)
    else:
        rest = replace(suspect, classes=(OracleLayer,))
    needed: dict[str, None] = {}
    for one in evidence.failing:
        if one.case.id not in needed and not evidence.fits(rest, one):
            needed[one.case.id] = None
    return list(needed)


def _ids_of(layer: type[OracleLayer], suspect: Suspect) -> tuple[str, ...]:
    return next((known.id,) for known in KNOWN if known.id in suspect.ids and layer in known.variants)


def finding(identity: str, failed: list[Judgement], detail: str = "") -> Finding:
    text = TEXTS[identity] + (f" ({detail})" if detail else "")
    if identity in ("wrong_form", "non_finite_output", "unexplained"):
        text += f"; first: {failed[0].message}" if failed[0].message else ""
    return {"id": identity, "text": text, "cases": list(dict.fromkeys(one.case for one in failed))}


def observations_to_notes(report: TargetReport, isolated: Any) -> list[dict[str, str]]:
    """Behaviour that is nobody's fault: policy cases, output, changed global state. One note an id."""
    from harness.diagnose.notes import notes

    return notes(report, isolated)
