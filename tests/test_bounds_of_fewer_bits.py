"""How wide the bounds of fewer bits are, and those of gradients that are added up from parts of 16 bits."""

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.script import Script, Step
from harness.diagnose import fewer_bits
from harness.diagnose import in_parts as parts_module
from harness.diagnose.envelopes import low_precision
from harness.diagnose.fewer_bits import in_fewer_bits
from harness.diagnose.in_parts import by_parts, in_parts, parts_of_dx, suspects
from harness.diagnose.mistakes.rounded_parameters import RoundedParameters
from harness.diagnose.rounding import Errors
from harness.diagnose.suspects import Suspect
from harness.judge.expected import Expected, expect
from harness.judge.oracle import OracleLayer
from reference.error_bounds import Precision, precision_of
from tests.played_by_hand import played
from tests.small_evidence import D2L, case, evidence, known, play


def far(rng, shape):
    return rng.normal(size=shape) + 1e3


FAR, NEAR, MORE = case("far", data=far, shape=(8, 3)), case("near", shape=(8, 3)), case("more", shape=(9, 3))


# --- fewer bits ---


def bounds(made, name, **more):
    return in_fewer_bits(made, D2L, name, **more).expected[0].bounds


def test_the_narrower_the_type_the_wider_the_bounds():
    made = play(OracleLayer, NEAR, "float64")
    widths = [float(bounds(made, name)["moving_mean"].max()) for name in ("float32", "bfloat16")]
    own = float(made.expected[0].bounds["moving_mean"].max())
    assert own < 1e-3 * widths[0] < 1e-5 * widths[1]
    in_float32 = play(OracleLayer, NEAR, "float32")
    same = bounds(in_float32, "float32")["moving_mean"]
    assert same == pytest.approx(in_float32.expected[0].bounds["moving_mean"])


def test_inputs_may_be_rounded_first():
    """At a large mean most of what is lost is lost in x."""
    made = play(OracleLayer, FAR, "float32")
    x = made.script.steps[0].x.astype(np.float64)
    lost = np.abs(fewer_bits._rounded(x, fewer_bits.numpy_dtype("bfloat16")).mean(axis=0) - x.mean(axis=0))
    own, narrow = precision_of("float32"), precision_of("bfloat16")
    precision = Precision(narrow.io, own.io, own.work_tiny, own.io_tiny)
    (of_arithmetic, _) = expect(made.script, D2L, precision=precision)
    of_inputs = bounds(made, "bfloat16")["moving_mean"] - of_arithmetic.bounds["moving_mean"]
    assert (of_inputs >= 0.9 * made.case.new_weight * lost).all()
    step = made.script.steps[0]
    moved = fewer_bits._rounded_step(step, fewer_bits.numpy_dtype("bfloat16"))
    assert not np.array_equal(moved.dy, step.dy)
    assert not np.array_equal(moved.x, step.x)
    restores = replace(step, x=None, dy=None)
    assert fewer_bits._rounded_step(restores, fewer_bits.numpy_dtype("bfloat16")) is restores
    setup = fewer_bits._rounded_setup(replace(made.script.setups[0], beta=None), fewer_bits.numpy_dtype("bfloat16"))
    assert setup.beta is None
    assert not np.array_equal(setup.gamma, made.script.setups[0].gamma)


def test_a_step_that_must_raise_ends_the_widening():
    torch_one = case("one", shape=(1, 3), script=("train", "eval"))
    made = play(OracleLayer, torch_one, "float32", conventions=replace(D2L, single_value="error"))
    assert made.expected[0].raises
    expected = in_fewer_bits(made, replace(D2L, single_value="error"), "bfloat16").expected
    assert [e.raises for e in expected] == [True]


def test_what_overflows_float16_may_leave_anything_in_its_channel():
    def one_large(rng, shape):
        x = rng.normal(size=shape)
        x[:, 0] += 300.0
        x[:, 1] *= 1e-4
        return x

    made = play(OracleLayer, case("large", data=one_large), "float32")
    of_float16, of_bfloat16 = bounds(made, "float16"), bounds(made, "bfloat16")
    for name, axis in (("y", (0,)), ("moving_var", ())):
        assert np.isinf(of_float16[name]).all(axis=axis).tolist() == [True, True, False]
        assert np.isfinite(of_bfloat16[name]).all()
    later = in_fewer_bits(made, D2L, "float16").expected[1].bounds["y"]
    assert np.isinf(later).all(axis=0).tolist() == [True, True, False]
    assert np.isinf(bounds(play(OracleLayer, case("large", data=one_large), "float16"), "bfloat16")["y"]).any()


def test_a_sum_beyond_float16_is_lost_even_where_no_square_is():
    lost = {}
    for n in (100_000, 140_000):  # halves: the sums of their squares are 25,000 and 35,000
        x = np.full((n, 1), 0.5, np.float32)
        expected = Expected({}, {"y": np.ones((1, 1))})
        script = Script(case(shape=(2, 1)).make("float32", 0, 0.9).setups, (Step("train", x, x),))
        fewer_bits._widen_by_range(script, [expected])
        lost[n] = bool(np.isinf(expected.bounds["y"]).all())
    assert lost == {100_000: False, 140_000: True}


# --- gradients in parts ---


def test_dx_is_as_wide_as_its_parts_are_large():
    made = play(OracleLayer, NEAR, "bfloat16")
    layer = OracleLayer.from_setup(made.script.setups[0], D2L)
    step = made.script.steps[0]
    parts = parts_of_dx(step, layer)
    x, dy = (a.astype(np.float64) for a in (step.x, step.dy))
    scale = 1 / np.sqrt(x.var(axis=0) + made.case.eps)
    hat = (x - x.mean(axis=0)) * scale
    want = np.abs(layer.gamma * scale) * (np.abs(dy) + np.abs(dy.mean(axis=0)) + np.abs(hat * (dy * hat).mean(axis=0)))
    assert parts == pytest.approx(want, rel=1e-3)
    around = in_parts(D2L, promoted=False, fast=False).around(made).expected[0].bounds
    precision = precision_of("bfloat16")
    extra = around["dx"] - made.expected[0].bounds["dx"]
    assert extra == pytest.approx(2 * (precision.io * parts + precision.io_tiny), rel=1e-6)
    assert around["y"] == pytest.approx(made.expected[0].bounds["y"])


def test_a_layer_that_promotes_its_parameters_is_in_16_bits_in_prediction():
    made = play(OracleLayer, NEAR, "bfloat16")
    plain, promoted = (in_parts(D2L, by, fast=False).around(made).expected for by in (False, True))
    for step, names in ((0, {"dgamma", "dbeta"}), (1, {"y", "dx", "dgamma", "dbeta"})):
        widened = {n for n, b in promoted[step].bounds.items() if (b > 1.5 * plain[step].bounds[n]).any()}
        assert widened <= names
        assert widened >= {"dgamma", "dbeta"}


def test_of_a_fast_variance_in_parts_both_must_show():
    envelope = in_parts(D2L, promoted=False, fast=True)
    assert envelope.ids == ("fast_variance", "low_precision_stats")
    assert set(envelope.lacking) == set(envelope.ids)
    assert not envelope.is_narrow
    assert in_parts(D2L, promoted=False, fast=False).is_narrow
    made = play(OracleLayer, NEAR, "bfloat16")
    assert not envelope.shows(Errors([made], [made]))


def test_one_factor_is_no_matter_of_parts():
    long = np.arange(1.0, 13.0).reshape(6, 2)
    scaled = played(("train", {"dx": (2 * long, long)}), dtype="bfloat16")
    assert not in_parts(D2L, promoted=False, fast=False).shows(Errors([scaled], [scaled]))


class DxInParts(OracleLayer):
    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        return dx + 2.0**-8 * np.sign(dx) * np.abs(self.gamma * cache["scale"] * dy), dgamma, dbeta


def test_the_simplest_that_explains_16_bits_is_named():
    in_bfloat16 = [(NEAR, "bfloat16"), (MORE, "bfloat16")]
    (suspect,) = by_parts(evidence(DxInParts, *in_bfloat16), [])
    assert suspect.ids == ("low_precision_stats",)
    assert suspect.detail == parts_module.DETAIL
    assert list(by_parts(evidence(DxInParts, (NEAR, "float32")), [])) == []
    assert list(by_parts(evidence(known("stats_frozen"), *in_bfloat16), [])) == []


def test_what_explains_other_types_is_asked_besides():
    other = Suspect(
        ("eps_missing", "low_precision_stats"), (known("eps_missing"),), envelope=low_precision(D2L, "float32")
    )
    fast_alone = Suspect(("fast_variance",), (OracleLayer,))
    tried = list(suspects(D2L, [other]))
    assert [suspect.ids for suspect in tried[:4]] == [
        ("low_precision_stats",),
        ("eps_missing", "low_precision_stats"),
        ("parameters_rounded", "low_precision_stats"),
        ("eps_missing", "parameters_rounded", "low_precision_stats"),
    ]
    assert [suspect.classes for suspect in tried[2:4]] == [
        (RoundedParameters,),
        (known("eps_missing"), RoundedParameters),
    ]
    assert tried[4].ids == ("fast_variance", "low_precision_stats")
    assert len(tried) == 8
    assert len(list(suspects(D2L, [fast_alone]))) == 8
    assert len(list(suspects(D2L, [Suspect((), (known("eps_missing"),))]))) == 4
