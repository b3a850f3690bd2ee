"""Moving statistics that are kept in a narrower type: what shows it, and which bounds are wider for it."""

import numpy as np
import pytest

from harness.cases.case import numpy_dtype
from harness.diagnose.kept_statistics import OWN, in_every_narrow_type, kept_in
from harness.diagnose.search import by_envelope
from harness.judge.oracle import OracleLayer
from tests.small_evidence import D2L, A, B, Target, case, evidence, play

TWICE = case("twice", script=("train", "train", "eval", "train"))


def keeping(name, off=1.0):
    """A layer whose statistics are numbers of that type, times a number."""

    class Keeping(OracleLayer):
        def update(self, mean, var, n):
            super().update(mean, var, n)
            self.average_mean, self.average_var = (
                average.astype(numpy_dtype(name)).astype(average.dtype) * off
                for average in (self.average_mean, self.average_var)
            )

    return Keeping


def told(layer, *plays, dtypes=("float32", "float64")):
    made = evidence(layer, *plays)
    return [suspect.detail for suspect in by_envelope(in_every_narrow_type(D2L, {*dtypes}), made)]


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_the_type_is_told(name):
    plays = [(each, dtype) for each in (A, B, TWICE) for dtype in ("float32", "float64")]
    assert told(keeping(name), *plays) == [f"they are kept in {name}"]


def test_float32_is_narrower_than_float64_alone():
    assert told(keeping("float32"), (A, "float64"), (TWICE, "float64")) == ["they are kept in float32"]
    assert not kept_in(D2L, "float32").shows(evidence(keeping("bfloat16"), (TWICE, "float32")).errors)


def test_sixteen_bits_each_in_their_own_type():
    class InXsOwn(OracleLayer):
        def play(self, step):
            self.kept = step.x.dtype if step.x is not None else self.kept
            return super().play(step)

        def update(self, mean, var, n):
            super().update(mean, var, n)
            self.average_mean, self.average_var = (
                average.astype(self.kept).astype(average.dtype) for average in (self.average_mean, self.average_var)
            )

    both = ("bfloat16", "float16")
    plays = [(each, dtype) for each in (A, TWICE) for dtype in both]
    assert told(InXsOwn, *plays, dtypes=both) == [f"they are kept in {OWN}"]
    assert told(InXsOwn, *plays[::2], dtypes=both[:1]) == ["they are kept in bfloat16"]


def test_bits_may_be_cut_off():
    class CutOff(OracleLayer):
        def update(self, mean, var, n):
            super().update(mean, var, n)
            self.average_mean, self.average_var = (
                (average.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32).astype(average.dtype)
                for average in (self.average_mean, self.average_var)
            )

    one_update = case("one update", shape=(4, 30), new_weight=0.95)
    assert told(CutOff, (one_update, "float32"), (TWICE, "float32")) == ["they are kept in bfloat16"]


def test_what_the_type_cannot_hold_may_be_anything():
    far = case("far", data=lambda rng, shape: 1e3 * rng.normal(size=shape), script=("train", "eval", "train"))
    assert np.isinf(play(keeping("float16"), far, "float32").observation.steps[0].values["moving_var"]).any()
    assert told(keeping("float16"), (far, "float32"), (TWICE, "float32")) == ["they are kept in float16"]


def test_values_that_are_no_numbers_of_the_type_are_something_else():
    assert told(keeping("bfloat16", 1 + 1e-3), (A, "float32"), (TWICE, "float32")) == []


def test_numbers_of_the_type_that_are_too_far_off_are_something_else():
    assert told(keeping("bfloat16", 1.5), (A, "float32"), (TWICE, "float32")) == []


def test_few_values_tell_nothing():
    assert told(keeping("bfloat16"), (case("one", shape=(4, 1), script=("train",)), "float32")) == []


def test_training_is_judged_as_ever():
    """A y of training that is off by as much is no matter of what is kept."""
    also_in_y = Target(keeping("bfloat16"), change=lambda op, name, a: a * (1 + 1e-3 * (op == "train" and name == "y")))
    assert told(also_in_y, (A, "float32"), (TWICE, "float32")) == []


def test_only_what_hangs_on_the_moving_statistics_is_wider():
    made = play(OracleLayer, TWICE, "float32")
    wider = kept_in(D2L, "bfloat16").around(made)
    for step, (plain, kept) in enumerate(zip(made.expected, wider.expected, strict=True)):
        for name, bound in plain.bounds.items():
            grows = kept.bounds[name] > 100 * bound
            moves = name.startswith("moving") or (step == 2 and name in ("y", "dx", "dgamma"))
            assert grows.all() if moves else np.array_equal(kept.bounds[name], bound), (step, name)
