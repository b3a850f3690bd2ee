"""Mistakes of rounding: how wide their bounds are, which of them is named, and where they must show."""

from dataclasses import replace

import numpy as np
import pytest

from harness.diagnose import envelopes
from harness.diagnose.envelopes import NARROW, Envelope, fast_in_float32, fast_variance, low_precision
from harness.diagnose.rounding import Errors
from harness.diagnose.search import by_envelope, with_fast_variance
from harness.diagnose.suspects import Suspect
from harness.judge.oracle import OracleLayer
from tests.small_evidence import D2L, A, case, evidence, known, play


def far(rng, shape):
    return rng.normal(size=shape) + 1e3


FAR, NEAR, MORE = case("far", data=far, shape=(8, 3)), case("near", shape=(8, 3)), case("more", shape=(9, 3))


class FastVariance(OracleLayer):
    """E[x^2] - E[x]^2 in float32."""

    def batch_statistics(self, rows):
        narrow = rows.astype(np.float32)
        mean = narrow.mean(axis=0, dtype=np.float32)
        var = (narrow * narrow).mean(axis=0, dtype=np.float32) - mean * mean
        return mean.astype(rows.dtype), np.maximum(var, 0).astype(rows.dtype)


class InFewBits(OracleLayer):
    """Each statistic off by a share of itself, up and down in turn: as bfloat16 would have it."""

    share = 2.0**-6

    def batch_statistics(self, rows):
        off = 1 + self.share * np.array([1, -1, 1])
        return tuple(statistic * off for statistic in super().batch_statistics(rows))


class InMoreBits(InFewBits):
    """As float16 would have it."""

    share = 2.0**-11


def wider(made, envelope):
    """By how much each bound of the first step is wider, at its widest."""
    around = envelope.around(made)
    return {name: float((around.expected[0].bounds[name] / bound).max()) for name, bound in
            made.expected[0].bounds.items()}  # fmt: skip


def found(envelopes_tried, made):
    return [(suspect.ids, suspect.detail) for suspect in by_envelope(envelopes_tried, made)]


def narrowest_first():
    """New ones for each target: they keep its cases."""
    return [fast_variance(D2L), *(low_precision(D2L, name) for name in NARROW)]


def test_a_fast_variance_is_told_from_fewer_bits():
    plays = [(FAR, "float32"), (NEAR, "float32")]
    assert found(narrowest_first(), evidence(FastVariance, *plays)) == [(("fast_variance",), "")]
    in_16_bits = evidence(InFewBits, (NEAR, "float32"), (MORE, "float32"))
    assert found(narrowest_first(), in_16_bits) == [
        (("low_precision_stats",), "the errors are of the size of bfloat16's roundoff")
    ]
    ((_, words),) = found(narrowest_first(), evidence(InMoreBits, (NEAR, "float32"), (MORE, "float32")))
    assert words == "the errors are of the size of float16's roundoff"
    assert found(narrowest_first()[:2], in_16_bits) == []
    assert found(narrowest_first(), evidence(known("dgamma_not_normalized"), *plays)) == []


def test_a_fast_variance_must_show_where_the_mean_is_far():
    near, far_from_zero = play(FastVariance, NEAR, "float32"), play(FastVariance, FAR, "float32")
    envelope = fast_variance(D2L)
    assert not envelope.shows(Errors([near], [near, far_from_zero]))
    assert envelope.shows(Errors([far_from_zero], [near, far_from_zero]))
    assert envelope.shows(Errors([near], [near]))


def test_a_fast_variance_widens_where_the_mean_is_far():
    assert wider(play(OracleLayer, FAR, "float32"), fast_variance(D2L))["y"] > 1e2
    assert wider(play(OracleLayer, NEAR, "float32"), fast_variance(D2L))["y"] < 1e2
    predicted = case("predicted", script=("eval",), data=far)
    plain, any_mode = (fast_variance(D2L, any_mode=by).around(play(OracleLayer, predicted, "float32"))
                       for by in (False, True))  # fmt: skip
    assert (any_mode.expected[0].bounds["y"] > 2 * plain.expected[0].bounds["y"]).any()


def test_bounds_are_made_once():
    made, envelope = play(OracleLayer, A, "float32"), low_precision(D2L, "bfloat16")
    assert not envelope.is_made(made)
    assert envelope.around(made) is envelope.around(made)
    assert envelope.is_made(made)
    assert not envelope.is_made(play(OracleLayer, A, "float64"))


@pytest.mark.parametrize("rule", ["errors_are_of_its_size", "errors_are_one_sided", "are_rounding"])
def test_each_sign_of_rounding_is_asked(monkeypatch, rule):
    made = evidence(InFewBits, (FAR, "float32"), (NEAR, "float32"))
    assert low_precision(D2L, "bfloat16").shows(made.errors)
    monkeypatch.setattr(envelopes, rule, lambda *_: rule == "errors_are_one_sided")
    assert not low_precision(D2L, "bfloat16").shows(made.errors)


def test_of_both_at_once_no_narrow_number_is_asked(monkeypatch):
    made = evidence(FastVariance, (FAR, "float64"), (NEAR, "float64"))
    monkeypatch.setattr(envelopes, "are_rounding", lambda *_: False)
    assert fast_in_float32(D2L).shows(made.errors)
    assert found([fast_in_float32(D2L)], made) == [
        (("fast_variance", "low_precision_stats"), "float64 is computed in float32")
    ]


def test_a_mistake_on_top_of_a_fast_variance():
    both = type("Both", (known("momentum_inverted"), FastVariance), {})
    made = evidence(both, (FAR, "float32"), (NEAR, "float32"))
    singles = [Suspect((name,), (known(name),)) for name in ("momentum_inverted", "stats_frozen")]
    (suspect,) = with_fast_variance(singles, fast_variance(D2L), made)
    assert suspect.ids == ("momentum_inverted", "fast_variance")
    nowhere = Envelope(("x",), "", lambda played: played)
    nowhere.shows = lambda _: False  # type: ignore[method-assign]
    assert list(with_fast_variance(singles, nowhere, made)) == []


def test_inside_an_envelope_the_oracle_needs_no_slack():
    made = evidence(FastVariance, (FAR, "float32"), (NEAR, "float32"))
    (wrong,), near = made.failing, made.played[1]
    bare, with_layer = (Suspect(("x",), (layer,), envelope=fast_variance(D2L)) for layer in
                        (OracleLayer, known("beta_ignored")))  # fmt: skip
    assert made.fits(bare, wrong)
    assert made.fits(bare, near)
    assert not made.fits(with_layer, near)
    just_beyond = Envelope(("x",), "", lambda played: replace(played, expected=[
        replace(e, bounds={name: np.abs(r.values[name] - e.values[name]) / 2 + 1e-30 for name in e.bounds})
        for e, r in zip(played.expected, played.observation.steps, strict=True)]))  # fmt: skip
    assert not made.fits(Suspect(("x",), (OracleLayer,), envelope=just_beyond), wrong)
    leniently = Suspect(("x",), (type("Same", (OracleLayer,), {}),), envelope=just_beyond)
    assert made.fits(leniently, wrong)
