"""The catalogue keeps its promises: each case separates what it says, and every mistake has a case."""

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.case import numpy_dtype, parameter_dtype
from harness.cases.catalogue import BY_ID, CASES, suite
from harness.diagnose.mistakes.known import KNOWN, NOT_REPLAYED, TEXTS
from harness.diagnose.mistakes.known_derivatives import OF_DERIVATIVES
from harness.diagnose.replay import replayed
from harness.judge.expected import expect
from harness.judge.judge import judge
from harness.judge.oracle import NoOracleError
from harness.judge.prepare import prepare
from harness.judge.report import PlayedCase
from harness.observables import LIKE_X
from harness.targets.player import Failure, Observation, StepResult
from reference.batch_norm import BatchNorm
from reference.conventions import PRESETS, Conventions
from tests.in_process import checked
from tests.targets.mutants import SINGLE, expected_ids

IDS = [
    "momentum_inverted", "momentum_wrong", "moving_var_biased", "moving_var_unbiased", "batch_var_unbiased",
    "eps_outside_sqrt", "eps_missing", "eps_wrong", "fast_variance", "naive_summation", "low_precision_stats",
    "eval_uses_batch_stats", "train_uses_moving_stats", "stats_frozen", "stats_updated_in_eval",
    "stats_updated_twice", "debiased", "not_debiased", "dx_ignores_mean", "dx_ignores_var", "eval_dx_as_training",
    "dgamma_not_normalized", "dgamma_dbeta_swapped", "grads_averaged", "wrong_axis", "gamma_ignored", "beta_ignored",
    "input_mutated", "state_not_saved", "mode_follows_grad", "single_value_wrong", "empty_batch_wrong",
    "non_finite_output", "unexplained",
]  # fmt: skip
ANY_WRONG = ("wrong_form", "replicas_disagree", "unexplained")
"""Ids that no case is made for: any case may show them."""
WITNESS = 100
"""By how many bounds a mistake must move something."""
CONVENTIONS = {
    "d2l": PRESETS["d2l"],
    "torch": PRESETS["torch"],
    "debiased": replace(PRESETS["d2l"], debias=True),
    "outside": replace(PRESETS["d2l"], eps_at="outside_sqrt"),
}
VARIANTS = [(known, variant) for known in KNOWN + OF_DERIVATIVES for variant in known.variants]


def test_ids_are_unique_and_known():
    assert len(BY_ID) == len(CASES)
    assert all(identity in TEXTS for case in CASES for identity in case.separates)
    assert all(case.why for case in CASES)
    assert set(IDS) <= set(TEXTS)


def test_every_id_is_separated_by_a_case():
    separated = {identity for case in CASES for identity in case.separates}
    assert set(TEXTS) - separated == set(ANY_WRONG)


SHOWS_NOT_IN = {
    ("settings_rounded", "float32"),
    ("CountAndEpsilon", "float32"),
    ("parameters_rounded", "float32"),
    ("parameters_rounded", "float64"),
}
"""A number of 32 bits is all that a layer in float32 has, and 1e-7 is below its unit roundoff for more than one. Only
x of 16 bits is narrower than the parameters."""


def test_the_quick_suite_is_part_of_the_full_one():
    assert set(suite("quick")) < set(suite("full"))
    quick = {identity for case in suite("quick") for identity in case.separates}
    forward_mode = {identity for identity in TEXTS if identity.startswith("jvp_")}
    assert set(TEXTS) - quick <= {"empty_batch_wrong", "naive_summation", *ANY_WRONG, "state_shared", *forward_mode}
    with pytest.raises(ValueError, match="quick or full"):
        suite("half")


@pytest.mark.parametrize(
    ("known", "variant", "dtype"),
    [
        (known, variant, dtype)
        for known, variant in VARIANTS
        for dtype in ("float64", "float32")
        if not {(known.id, dtype), (variant.__name__, dtype)} & SHOWS_NOT_IN
    ],
    ids=lambda v: getattr(v, "__name__", getattr(v, "id", v)),
)
def test_a_mistake_has_a_witness_among_the_cases_that_claim_it(known, variant, dtype):
    """Some law observable of some case moves by a hundred bounds, where the bound proves anything, or is not finite."""
    claiming = [case for case in CASES if known.id in case.separates and dtype in case.dtypes]
    ratios = (
        worst_ratio(variant, case, dtype, conventions)
        for name, conventions in CONVENTIONS.items()
        if known.applies(conventions) and (name == "debiased" or not variant.acts_through)
        for case in claiming
    )
    assert any(ratio >= WITNESS for ratio in ratios)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_mistake_that_a_case_claims_moves_it(case):
    """By a hundred bounds: in one of the ways in which the mistake is made, in one dtype, under one convention."""
    for identity in set(case.separates) - set(NOT_REPLAYED):
        ratios = (
            worst_ratio(variant, case, dtype, conventions)
            for known, variant in VARIANTS
            if known.id == identity
            for conventions in CONVENTIONS.values()
            if known.applies(conventions)
            for dtype in case.dtypes
        )
        assert any(ratio >= WITNESS for ratio in ratios), identity


def worst_ratio(mistake, case, dtype, conventions):
    """The greatest error/bound over the law observables of a layer with the mistake; infinite where it raises."""
    try:
        prepared = prepare(case, dtype, 0, conventions)
    except NoOracleError:
        pytest.skip("no type that is wide enough to judge float64 here")
    observation = observation_of(mistake, case, dtype, prepared, conventions)
    judgements = judge(case, prepared.script, prepared.expected, observation)
    against = [judgement for judgement in judgements if judgement.counts_against]
    return max((np.inf if judgement.ratio is None else judgement.ratio for judgement in against), default=0.0)


def observation_of(mistake, case, dtype, prepared, conventions):
    """What a layer with the mistake gives in extended precision, rounded to the dtypes that a target returns."""
    no_result = Observation([StepResult(step.op, step.session) for step in prepared.script.steps])
    played = PlayedCase(case, dtype, prepared.script, prepared.expected, no_result, [])
    steps = []
    for step, values in zip(prepared.script.steps, replayed(mistake, played, conventions), strict=False):
        if values is None:
            steps.append(StepResult(step.op, step.session, error=Failure("Exception", "")))
            break
        with np.errstate(all="ignore"):
            rounded = {
                name: value.astype(numpy_dtype(dtype) if name in LIKE_X else parameter_dtype(dtype))
                for name, value in values.items()
            }
        steps.append(StepResult(step.op, step.session, rounded))
    return Observation(steps)


NOTES = {"naive_summation", "empty_batch_wrong"}
"""Ids of policy: noted as behaviour, never a verdict."""


@pytest.mark.parametrize("identity", sorted(set(NOT_REPLAYED) - NOTES - {"unexplained"}))
def test_what_cannot_be_replayed_has_a_mutant_as_its_witness(identity):
    """A batch norm with that mistake, and with no other, differs in a case that claims it."""
    mutants = [mutant for mutant in SINGLE if expected_ids(mutant) == {identity}]
    assert mutants
    largest = []
    for mutant in mutants:
        claiming = tuple(case for case in CASES if identity in case.separates or case.id == mutant.case)
        with np.errstate(all="ignore"):
            report = checked(mutant, cases=claiming, diagnosed=False)
        against = [judgement for judgement in report.judgements if judgement.counts_against]
        assert against
        largest.append(max(judgement.ratio or 0.0 for judgement in against))
    if identity in ("fast_variance", "low_precision_stats"):
        assert max(largest) >= WITNESS


def test_exact_statistics_are_exact_for_two_passes_of_float32():
    case = BY_ID["exact_statistics"]
    for seed in range(20):
        script = case.make("float32", seed, 0.875)
        layer = BatchNorm(case.shape[1], dtype=np.float32)
        for step in script.steps:
            rows = np.moveaxis(step.x, 1, -1).reshape(-1, case.shape[1])
            wide = rows.astype(np.longdouble)
            mean, var = layer.batch_statistics(rows)
            assert mean.dtype == var.dtype == np.float32
            assert np.array_equal(mean, wide.mean(axis=0))
            assert np.array_equal(var, ((wide - wide.mean(axis=0)) ** 2).mean(axis=0))
            backwards = rows[::-1].cumsum(axis=0, dtype=np.float32)[-1] / np.float32(len(rows))
            assert np.array_equal(mean, backwards)


def test_exact_data_need_a_power_of_two():
    case = replace(BY_ID["exact_statistics"], shape=(3, 5))
    with pytest.raises(ValueError, match="power of two"):
        case.make("float32", 0, 0.875)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_a_case_is_the_same_for_the_same_seed_and_another_for_another(dtype):
    case = BY_ID["rank4"]
    first, same, other = (case.make(dtype, seed, 0.9).steps[0].x for seed in (1, 1, 2))
    assert first.dtype == numpy_dtype(dtype)
    assert first.tobytes() == same.tobytes()
    assert first.tobytes() != other.tobytes()


def test_defaults_hide_nothing():
    """Parameters and moving statistics differ from 1 and 0, and between channels."""
    for case in set(CASES) - {BY_ID["untouched_parameters"]}:
        setup = case.make("float64", 0, 0.9).setups[0]
        given = {name: getattr(setup, name) for name in ("gamma", "beta", "moving_mean")}
        assert {name for name, array in given.items() if array is None} == {*given} & {*case.options.absent}
        for values in (setup.beta, setup.moving_mean):
            if values is not None:
                assert (values != 0).all()
                assert len(set(values)) == len(values)
        if setup.gamma is not None:
            gamma = setup.gamma[setup.gamma != 0] if case.id == "gamma_zero" else setup.gamma
            assert (gamma != 1).all()


def test_a_debiased_convention_survives_a_new_batch_that_weighs_nothing():
    """1 - 1^t is 0: the oracle says NaN or infinity there, and does not stop."""
    conventions: Conventions = CONVENTIONS["debiased"]
    case = BY_ID["momentum_zero"]
    expected = expect(case.make("float32", 0, conventions.momentum_for(case.new_weight)), conventions)
    assert len(expected) == len(case.script)
