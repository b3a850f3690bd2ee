"""Which known mistake explains this? Never a guess: a mistake is named only if it explains every law observable.

In this order, the first class that succeeds: a fixed mistake; a mistake with one fitted number, which must hold over
two cases; rounding mistakes by envelope; two fixed mistakes; a fixed mistake and one of rounding. None: `unexplained`.
Ties inside a class are listed together. What no arithmetic explains (a modified input, a wrong shape) is set aside
first, by the reason that the judgement gives.
"""

from __future__ import annotations

from dataclasses import replace

from harness.diagnose import derivatives
from harness.diagnose.evidence import Evidence, input_size
from harness.diagnose.explanation import Explanation, only_in
from harness.diagnose.mistakes.known import KNOWN, TEXTS
from harness.diagnose.mistakes.rounded_parameters import SIXTEEN_BITS
from harness.diagnose.of_options import mistakes_with_options, of_the_ordinary_layer
from harness.diagnose.search import search
from harness.diagnose.suspects import Suspect, replica_suspects, transformed_suspects
from harness.diagnose.where import where
from harness.findings import Finding
from harness.judge.judgement import WRONG_FORM, Judgement, Reason, Verdict
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase, TargetReport, failing
from harness.targets.device import split_device
from reference.conventions import Conventions

WITH_FIRST_MESSAGE = ("wrong_form", "non_finite_output", "unexplained")
"""Findings that say little by themselves: the message of the first failure is added to their text."""


def diagnose(report: TargetReport) -> list[Finding]:
    """The findings of a target. Empty where no law judgement failed."""
    findings, failed = set_aside(failing(report.judgements))
    failed = [judgement for judgement in failed if judgement.verdict in (Verdict.differ, Verdict.raised)]
    of_derivatives = [judgement for judgement in failed if derivatives.is_derivative(judgement)]
    failed = [judgement for judgement in failed if not derivatives.is_derivative(judgement)]
    ordinary = [played for played in report.played if not derivatives.derives(played)]
    findings = findings_of_ordinary_steps(report, ordinary, failed, findings)
    if of_derivatives and not derivatives.follows_from(failed):
        findings = merged(findings, findings_of_derivatives(report, of_derivatives))
    if any(finding.id == "wrong_axis" for finding in findings):  # a result of another shape is what that leads to
        findings = [finding for finding in findings if finding.id != "wrong_form"]
    return findings


def findings_of_derivatives(report: TargetReport, failed: list[Judgement]) -> list[Finding]:
    """Those of forward mode and second derivatives, where everything else is right."""
    assert report.conventions is not None
    findings: list[Finding] = []
    for suspects, failures in derivatives.explained(report.played, failed, report.conventions):
        played = [case for case in report.played if any(step.op == failures[0].op for step in case.script.steps)]
        named = [
            finding(identity, failures, suspect.detail, suspect.condition)
            for suspect in suspects
            for identity in suspect.ids
        ]
        findings = merged(findings, named or [unexplained(failures, played)])
    return findings


def findings_of_ordinary_steps(
    report: TargetReport, played: list[PlayedCase], failed: list[Judgement], findings: list[Finding]
) -> list[Finding]:
    """`findings`, those that need no replaying, and those of training, prediction and saved state."""
    if not failed:
        return findings
    assert report.conventions is not None
    settled = {case for finding in findings for case in finding.cases}
    suspects = replica_suspects(split_device(report.target)[0]) + transformed_suspects(report.target)
    for sixteen_bits in (False, True):  # what 16 bits do to a sum is another matter than what a formula does
        failed_here = [judgement for judgement in failed if (judgement.dtype in SIXTEEN_BITS) is sixteen_bits]
        played_here = [case for case in played if (case.dtype in SIXTEEN_BITS) is sixteen_bits]
        if failed_here:
            all_failed, all_played = failed_here, played_here
            failed_here, played_here = of_the_ordinary_layer(failed_here, played_here)
            explanation = explain(played_here, failed_here, report.conventions, settled, suspects)
            if sixteen_bits and not any(judgement.dtype not in SIXTEEN_BITS for judgement in failed):
                wide = [case for case in played if case.dtype not in SIXTEEN_BITS]
                explanation = only_in("16 bits", explanation, wide, report.conventions)
            elif explanation.is_missing:
                explanation = by_dtype(played_here, failed_here, report.conventions, settled) or explanation
            findings, suspects = merged(findings, explanation.findings), explanation.suspects
            if played_here is not all_played:
                of_options = mistakes_with_options(all_failed, all_played, report.conventions)
                findings = merged(findings, [finding(suspect.ids[0], judged) for suspect, judged in of_options])
    return findings


def merged(findings: list[Finding], more: list[Finding]) -> list[Finding]:
    """One finding an id, with the cases of both."""
    by_id = {finding.id: finding for finding in findings}
    for finding in more:
        earlier = by_id.get(finding.id)
        cases = distinct([*(earlier.cases if earlier else ()), *finding.cases])
        by_id[finding.id] = replace(earlier or finding, cases=cases)
    return list(by_id.values())


def set_aside(failed: list[Judgement]) -> tuple[list[Finding], list[Judgement]]:
    """The findings that follow from a reason alone, and the failures that are left to explain."""
    rest: list[Judgement] = []
    by_id: dict[str, list[Judgement]] = {}
    for judgement in failed:
        identity = id_by_reason(judgement)
        if identity is None:
            rest.append(judgement)
        else:
            by_id.setdefault(identity, []).append(judgement)
    return [finding(identity, judgements) for identity, judgements in by_id.items()], rest


def id_by_reason(judgement: Judgement) -> str | None:
    """The id of a failure that needs no replaying."""
    if judgement.reason is Reason.input_modified:
        return "input_mutated"
    if judgement.reason is Reason.replicas_disagree:
        return "replicas_disagree"
    if judgement.reason in WRONG_FORM:
        return "wrong_form"
    if judgement.reason is Reason.step_failed and (judgement.op or "").startswith("restore"):
        return "state_not_saved"
    return None


def gave_wrong_form(played: PlayedCase) -> bool:
    """Whether arrays of a wrong shape came: of the numbers in the others, a replay says nothing then."""
    return any(judgement.reason is Reason.wrong_shape for judgement in played.judgements)


def explain(
    played: list[PlayedCase],
    failed: list[Judgement],
    conventions: Conventions,
    settled: set[str],
    earlier: list[Suspect],
) -> Explanation:
    """The simplest class of mistakes that explains every law observable of every case.

    What has explained other dtypes (`earlier`) is asked first: it needs no failure of its own here. `settled` are the
    cases in which an exception is a finding already, so that nothing is left to replay.
    """
    law = [case for case in played if case.case.policy != "all" and not (case.raised and case.case.id in settled)]
    law = [case for case in law if not gave_wrong_form(case)] or law
    alone = {case.case.id for case in played if case.case.trains_on_single_values}  # judged on their own
    single_value = [judgement for judgement in failed if judgement.case in alone]
    others = [judgement for judgement in failed if judgement.case not in alone]
    if not others:
        return Explanation([finding("single_value_wrong", single_value)])
    evidence = Evidence([case for case in law if case.case.id not in alone], conventions)
    raised = [case for case in evidence.played if case.raised]
    stray: list[Judgement] = []
    suspects = [suspect for suspect in earlier if all(evidence.fits(suspect, case) for case in evidence.played)]
    suspects = suspects or search(evidence, fixed_only=bool(raised), others=earlier)
    if not suspects and raised and len(raised) < len(evidence.failing):
        evidence = evidence.without(raised)
        stray = [judgement for judgement in others if judgement.verdict is Verdict.raised]
        suspects = search(evidence, others=earlier)
    if not suspects:
        lost = all(judgement.reason is Reason.not_finite for judgement in others)
        return Explanation([finding("non_finite_output", failed) if lost else unexplained(failed, law)])
    findings = findings_of(suspects, evidence, [judgement for judgement in others if judgement not in stray])
    if single_value and not covers_single_value(suspects, evidence, law, single_value):
        findings.append(finding("single_value_wrong", single_value))
    if stray and not any(finding.id == "wrong_axis" for finding in findings):  # wrong axes may fit no shape
        findings.append(unexplained(stray, law))
    return Explanation(findings, suspects)


def by_dtype(
    played: list[PlayedCase], failed: list[Judgement], conventions: Conventions, settled: set[str]
) -> Explanation | None:
    """Each type by itself, where one mistake is made in one and another in the other, and both are known."""
    cases_of = {dtype: {j.case for j in failed if j.dtype == dtype} for dtype in distinct([j.dtype for j in failed])}
    if len(set(map(frozenset, cases_of.values()))) < 2:  # where they fail alike it is one mistake, which is not known
        return None
    whole = Explanation([])
    for dtype in cases_of:
        here = [case for case in played if case.dtype == dtype]
        elsewhere = [case for case in played if case.dtype != dtype]
        alone = explain(here, [j for j in failed if j.dtype == dtype], conventions, settled, [])
        if alone.is_missing:
            return None
        alone = only_in(dtype, alone, elsewhere, conventions)
        whole = Explanation(merged(whole.findings, alone.findings), [*whole.suspects, *alone.suspects])
    return whole


def covers_single_value(
    suspects: list[Suspect], evidence: Evidence, law: list[PlayedCase], failed: list[Judgement]
) -> bool:
    """Whether the suspects also account for the failures with one value per channel."""
    ids = {identity for suspect in suspects for identity in suspect.ids}
    divides_by_n_minus_1 = any(known.single_value for known in KNOWN if known.id in ids)
    lost = all(judgement.verdict is Verdict.raised or judgement.reason is Reason.not_finite for judgement in failed)
    if (divides_by_n_minus_1 and lost) or "wrong_axis" in ids:
        return True
    wrong = {(judgement.case, judgement.dtype) for judgement in failed}
    cases = [case for case in law if (case.case.id, case.dtype) in wrong]
    return any(all(evidence.fits(suspect, case) for case in cases) for suspect in suspects)


def findings_of(suspects: list[Suspect], evidence: Evidence, failed: list[Judgement]) -> list[Finding]:
    """One finding an id, in the order of the suspects, with the cases that it is needed for."""
    findings: dict[str, Finding] = {}
    for suspect in suspects:
        for number, identity in enumerate(suspect.ids):
            cases = needed_for(suspect, number, evidence) or [judgement.case for judgement in failed]
            earlier = findings.get(identity)
            base = earlier or finding(identity, failed, suspect.detail, suspect.condition)
            findings[identity] = replace(base, cases=distinct([*(earlier.cases if earlier else ()), *cases]))
    return list(findings.values())


def needed_for(suspect: Suspect, number: int, evidence: Evidence) -> list[str]:
    """The failing cases that the rest of a pair does not explain, the smallest first. None for a single mistake."""
    if len(suspect.ids) == 1:
        return []
    if suspect.envelope is not None and suspect.envelope.lacking:
        rest = without_one(suspect, number)
    elif suspect.envelope is None:
        others = [layer for layer in suspect.classes if id_of(layer, suspect) != suspect.ids[number]]
        rest = Suspect((), tuple(others))
    elif number == len(suspect.ids) - 1:
        rest = replace(suspect, envelope=None)
    else:
        rest = replace(suspect, classes=(OracleLayer,))
    needed: dict[str, None] = {}
    for case in sorted(evidence.failing, key=input_size):
        if case.case.id not in needed and not evidence.fits(rest, case):  # one type that needs it is enough
            needed[case.case.id] = None
    return list(needed)


def without_one(suspect: Suspect, number: int) -> Suspect:
    """The suspect less one of its ids: first come those of its classes, in order, then those of its envelope."""
    assert suspect.envelope is not None
    identity = suspect.ids[number]
    if identity in suspect.envelope.ids:
        return replace(suspect, envelope=suspect.envelope.lacking.get(identity))
    others = tuple(layer for place, layer in enumerate(suspect.classes) if place != number)
    return replace(suspect, classes=others or (OracleLayer,))


def id_of(layer: type[OracleLayer], suspect: Suspect) -> str:
    """Which of the suspect's ids one of its classes stands for."""
    return next(known.id for known in KNOWN if known.id in suspect.ids and layer in known.variants)


def unexplained(failed: list[Judgement], played: list[PlayedCase]) -> Finding:
    """What is known of a deviation for which there is no name."""
    base = finding("unexplained", failed)
    place = where(failed, played)
    return replace(base, text=f"{base.text}: {place}") if place else base


def finding(identity: str, failed: list[Judgement], detail: str = "", condition: str = "") -> Finding:
    text = TEXTS[identity] + (f" ({detail})" if detail else "") + (f"; {condition}" if condition else "")
    if identity in WITH_FIRST_MESSAGE and failed[0].message:
        text += f"; first: {failed[0].message}"
    return Finding(identity, text, distinct([judgement.case for judgement in failed]), condition)


def distinct(cases: list[str]) -> tuple[str, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(cases))
