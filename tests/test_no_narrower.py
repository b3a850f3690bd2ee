"""No bound of a mistake is narrower than the one that the target was judged by: what agreed would not be explained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.diagnose.envelopes import fast_variance
from harness.diagnose.no_narrower import no_narrower
from harness.judge.expected import Expected, expect
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from tests.small_evidence import D2L, case, play

PREDICTS_FIRST = case("predicts_first", script=("eval", "train"), moving_scale=(1e4, 1.0))
"""With statistics that are given: nothing but the fold's own roundings makes its bounds wider."""


@pytest.fixture(scope="module")
def judged_as_a_fold() -> PlayedCase:
    made = play(OracleLayer, PREDICTS_FIRST, "float32")
    return replace(made, expected=expect(made.script, D2L, folded=True))


def is_narrower(widened: PlayedCase, law: PlayedCase) -> bool:
    pairs = zip(widened.expected, law.expected, strict=True)
    return any((wide.bounds[name] < of_law.bounds[name]).any() for wide, of_law in pairs for name in of_law.bounds)


def test_an_envelope_is_nowhere_narrower_than_the_law(judged_as_a_fold):
    envelope = fast_variance(D2L)
    assert is_narrower(envelope.widen(judged_as_a_fold), judged_as_a_fold)
    assert not is_narrower(envelope.around(judged_as_a_fold), judged_as_a_fold)


def test_what_is_wide_enough_stays_the_same_object():
    """Yardsticks are kept by object."""
    made, envelope = play(OracleLayer, PREDICTS_FIRST, "float32"), fast_variance(D2L)
    for kept, wide in zip(envelope.around(made).expected, envelope.widen(made).expected, strict=True):
        assert kept is wide


def test_element_by_element_the_wider_one():
    made = play(OracleLayer, PREDICTS_FIRST, "float32")

    def bounded(**bounds):
        arrays = {name: np.array(each, np.float64) for name, each in bounds.items()}
        return replace(made, expected=[Expected({}, arrays)])

    wide = bounded(y=[1, 4, 3, 3], dx=[2, 2], dgamma=[1])
    law = bounded(y=[2, 2, 3, np.nan], dx=[1, 2], dbeta=[9])
    (made_of_both,) = no_narrower(wide, law).expected
    assert {name: bound.tolist() for name, bound in made_of_both.bounds.items()} == {
        "y": [2, 4, 3, 3], "dx": [2, 2], "dgamma": [1],
    }  # fmt: skip
