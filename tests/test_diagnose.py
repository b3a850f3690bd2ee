"""What a diagnosis may and may not depend on: no sentence, no order of stacking; and each of its numbers is guarded."""

import warnings
from dataclasses import replace
from functools import lru_cache
from itertools import combinations, islice

import pytest

from harness.cases.catalogue import BY_ID
from harness.diagnose.conditions import StepCondition, only_under
from harness.diagnose.diagnose import diagnose
from harness.diagnose.envelopes import fast_variance
from harness.diagnose.evidence import Evidence
from harness.diagnose.pairs import cases_to_compare
from harness.diagnose.replay import replayed
from harness.diagnose.rounding import Errors
from harness.diagnose.suspects import single_suspects, stacked
from harness.judge.judge import judge
from harness.judge.judgement import overall
from harness.judge.oracle import OracleLayer
from harness.judge.prepare import prepare
from harness.judge.report import PlayedCase
from harness.targets.player import Failure, Malformed, Observation, StepResult
from reference.conventions import PRESETS
from tests.experiments.tuning import NUMBERS, tuned
from tests.in_process import FEW_VALUES, checked
from tests.targets.honest import HONEST
from tests.targets.mutants import PAIRS, SINGLE, expected_ids

GARBAGE = "agree differ raised modified the input x was modified shape state_dict NaN"
"""Words that a message might have been read for."""
ALL_MUTANTS = {mutant.__name__: mutant for mutant in SINGLE + PAIRS}


@pytest.fixture(autouse=True)
def _mutants_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- no sentence decides ---


def garbled(text):
    return None if text is None else GARBAGE


def garbled_failure(failure):
    return None if failure is None else Failure("Garbage", GARBAGE)


def garbled_observation(observation):
    """The same observation, but every message in it says something else."""
    steps = [
        replace(
            result,
            error=garbled_failure(result.error),
            unsupported=garbled(result.unsupported),
            malformed=result.malformed and Malformed(result.malformed.error, GARBAGE),
        )
        for result in observation.steps
    ]
    return Observation(steps, garbled_failure(observation.build_error), garbled(observation.build_unsupported))


def garbled_report(report):
    """The same report judged anew with every message replaced, those of the judgements too."""
    played = []
    for case in report.played:
        observation = garbled_observation(case.observation)
        judgements = [
            replace(judgement, message=garbled(judgement.message))
            for judgement in judge(case.case, case.script, case.expected, observation)
        ]
        played.append(PlayedCase(case.case, case.dtype, case.script, case.expected, observation, judgements))
    judgements = [judgement for case in played for judgement in case.judgements]
    return replace(report, played=played, judgements=judgements)


WITH_MESSAGES = (
    "WritesIntoInput",
    "MutatesAndDgamma",
    "SwappedAndUnsaved",
    "StateIncomplete",
    "NanLeaks",
    "DebiasByZero",
    "BesselByBatchSize",
    "GradientWrongByHalf",
    "KeepsDims",
    "SingleValueAccepted",
)
"""Mutants that are diagnosed from a reason rather than from numbers, and some that raise."""
TELLING = ("rank2", "rank4", "five_steps", "save_and_restore", "one_image", "sixteen_bits")
"""Cases that are enough, with the one that a mutant names, to diagnose each of them truly."""


@pytest.mark.parametrize("name", WITH_MESSAGES)
def test_no_message_decides_what_is_diagnosed(name):
    mutant = ALL_MUTANTS[name]
    report = checked(mutant, cases=tuple(BY_ID[case] for case in dict.fromkeys((*TELLING, mutant.case))))
    assert {finding.id for finding in report.diagnosis} == expected_ids(mutant)
    garbage = garbled_report(report)
    assert overall(garbage.judgements) == report.verdict
    assert [(j.verdict, j.reason) for j in garbage.judgements] == [(j.verdict, j.reason) for j in report.judgements]
    assert [(finding.id, finding.cases) for finding in diagnose(garbage)] == [
        (finding.id, finding.cases) for finding in report.diagnosis
    ]


@pytest.mark.parametrize("variant", HONEST[::23], ids=lambda variant: variant.__name__)
def test_no_message_makes_an_honest_layer_differ(variant):
    garbage = garbled_report(checked(variant, cases=FEW_VALUES, diagnosed=False))
    assert overall(garbage.judgements) == "agree"
    assert diagnose(garbage) == []


# --- two mistakes at once ---

CONVENTIONS = {
    "d2l": PRESETS["d2l"],
    "torch": PRESETS["torch"],
    "debiased": replace(PRESETS["d2l"], debias=True),
    "outside": replace(PRESETS["d2l"], eps_at="outside_sqrt"),
}
EVERY = 61
"""Of some 30,000 pairs under each of the conventions, one in so many is replayed."""


def as_if_played(conventions, case_id="all_axes_equal"):
    """A case in which no axis can be taken for another by its length, as a target would have played it."""
    case = BY_ID[case_id]
    prepared = prepare(case, "float32", 0, conventions)
    observation = Observation([StepResult(step.op, step.session) for step in prepared.script.steps])
    return PlayedCase(case, "float32", prepared.script, prepared.expected, observation, [])


@pytest.mark.parametrize("conventions", CONVENTIONS.values(), ids=CONVENTIONS)
def test_two_mistakes_replay_together_without_raising(conventions):
    played = as_if_played(conventions)
    singles = single_suspects(conventions)
    assert all(None not in list(replayed(single.layer, played, conventions)) for single in singles)
    raising = []
    paired = [single for single in singles if not single.layer.alone]
    for a, b in islice(combinations(paired, 2), 0, None, EVERY):
        both = stacked(a, b)
        if both and None in list(replayed(both.layer, played, conventions)):
            raising.append((a.layer.__name__, b.layer.__name__))
    assert raising == []


def test_debiasing_and_bessel_stack():
    """Both replace a convention while they call what lies below: each its own."""
    conventions = CONVENTIONS["torch"]
    by_name = {single.layer.__name__: single for single in single_suspects(conventions)}
    both = stacked(by_name["Debiased"], by_name["MovingVarBiased"])
    assert None not in list(replayed(both.layer, as_if_played(conventions), conventions))


# --- the numbers of harness/diagnose/tuning.py ---

INFINITY = float("inf")
IN_SIXTEEN_BITS = (
    "sixteen_bits sixteen_bits_thousand sixteen_bits_large_mean sixteen_bits_far_mean small_variance rank2"
)
MOVED = [
    ("SLACK", 2.0, "EpsOutsideKeras", "constant_inexact", {"unexplained"}),
    ("NUDGE_ULPS", 4.0, "EpsOutsideKeras", "constant_inexact", {"unexplained"}),
    ("NUDGED_REPLAYS", 1, "EpsOutsideKeras", "constant_inexact", {"unexplained"}),
    ("NOT_ROUNDING", 0.0, "EpsOutsideKeras", "constant_inexact", {"unexplained"}),
    ("MUST_SHRINK_TO", 0.0, "MomentumInvertedD2l", "decimal_momentum", {"momentum_inverted", "fast_variance"}),
    ("CLEAR_FACTOR", 0.01, "SwappedAndUnsaved", "save_and_restore", {"unexplained"}),
    ("SHARE_OF_ENVELOPE", 0.2, "SinglePrecisionInside", "rank2", {"unexplained"}),
    ("ERRORS_TO_TELL_SIDES", 10**6, "MeanTooLargeIn16Bits", IN_SIXTEEN_BITS, {"low_precision_stats"}),
    ("ONE_SIDED", 1.8, "MeanTooLargeIn16Bits", IN_SIXTEEN_BITS, {"low_precision_stats"}),
]
"""(number, another value, a mutant that it misnames, on which cases, what that is called then).

From tests/experiments/TUNING.md, which has the whole suite; here are the cases that decide.
"""
OTHERWISE = {"CASES_COMPARED", "FAR_MEAN_OVER_STD", "PAIRWISE_MARGIN"}
"""Guarded by the tests below: no mutant hangs on the first two, and the third is a note's."""


@lru_cache(1)
def undiagnosed(name, cases):
    return checked(ALL_MUTANTS[name], cases=tuple(BY_ID[case] for case in cases.split()), diagnosed=False)


def ids_of(report):
    return {finding.id for finding in diagnose(report)}


@lru_cache(1)
def ids_with_every_number_as_it_is(name, cases):
    return ids_of(undiagnosed(name, cases))


def test_every_number_is_guarded():
    assert {number for number, *_ in MOVED} | OTHERWISE == set(NUMBERS)


@pytest.mark.parametrize(
    ("number", "value", "name", "cases", "misnamed"), MOVED, ids=[f"{name}-{number}" for number, _, name, *_ in MOVED]
)
def test_a_number_that_is_moved_misnames_a_mutant(number, value, name, cases, misnamed):
    report = undiagnosed(name, cases)
    with tuned(**{number: value}):
        assert ids_of(report) == misnamed
    assert ids_with_every_number_as_it_is(name, cases) == expected_ids(ALL_MUTANTS[name]) != misnamed


def test_as_many_cases_are_compared_as_the_number_says():
    report = undiagnosed("MomentumAndBessel", "rank2 constant_channel one_value_image restore_small_variance")
    evidence = Evidence([played for played in report.played if played.case.policy != "all"], report.conventions)
    for number in (1, 2, 3):
        with tuned(CASES_COMPARED=number):
            assert len(cases_to_compare(evidence)) == number


def test_a_fast_variance_must_show_where_the_mean_is_far_from_zero():
    """A failure elsewhere alone is not taken for one, unless no case is far from zero."""
    cases = (BY_ID["rank2"], BY_ID["large_mean_1e4"])
    near, far = (played for played in checked(HONEST[0], cases=cases).played if played.dtype == "float32")
    envelope = fast_variance(PRESETS["d2l"])
    assert not envelope.shows(Errors([near], [near, far]))
    assert envelope.shows(Errors([near], [near]))
    assert envelope.shows(Errors([far], [near, far]))
    with tuned(FAR_MEAN_OVER_STD=INFINITY):
        assert envelope.shows(Errors([near], [near, far]))
    with tuned(FAR_MEAN_OVER_STD=0.1):
        assert envelope.shows(Errors([near], [near, far]))


def test_the_margin_tells_naive_sums_from_trees():
    def is_noted(name, margin):
        variant = next(variant for variant in HONEST if variant.__name__ == name)
        with tuned(PAIRWISE_MARGIN=margin):
            notes = checked(variant, cases=(BY_ID["many_values"],)).notes
        return "naive_summation" in {note.id for note in notes}

    assert is_noted("Sequential", NUMBERS["PAIRWISE_MARGIN"])
    assert not is_noted("Sequential", 8.0)
    assert not is_noted("Welford", NUMBERS["PAIRWISE_MARGIN"])
    assert is_noted("Welford", 1.0)


# --- a mistake in some steps only ---


@pytest.mark.parametrize("case", ["all_axes_equal", "load_into_used"])
def test_every_mistake_can_be_made_in_some_steps_only(case):
    """Whatever methods a mistake has of its own, it can be replayed; and where it is never made the layer is right."""
    never = StepCondition("never", lambda _: False)
    later = StepCondition("from training step 2 on", lambda layer: layer.trained >= 2)
    played = as_if_played(CONVENTIONS["torch"], case)
    right = list(replayed(OracleLayer, played, CONVENTIONS["torch"]))
    for single in single_suspects(CONVENTIONS["torch"]):
        assert list(replayed(only_under(later, single.layer), played, CONVENTIONS["torch"]))
        without = list(replayed(only_under(never, single.layer), played, CONVENTIONS["torch"]))
        for values, expected in zip(without, right, strict=True):
            assert all((values[name] == expected[name]).all() for name in expected), single.layer.__name__
