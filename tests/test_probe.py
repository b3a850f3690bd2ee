"""The probe is right on every preset, on the frameworks' own layers, and says what it cannot see."""

from dataclasses import replace
from itertools import product

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge import kept_expected
from harness.judge.expected import expect
from harness.probe import hypotheses
from harness.probe.directly import channel_axis
from harness.probe.presets import notes_on_presets
from harness.probe.probe import probe
from harness.probe.translate import translation
from harness.targets.built_in import is_installed
from harness.targets.in_process import InProcessTarget
from harness.targets.load import load
from reference.conventions import PRESETS, conventions_from, same_behaviour
from reference.under_test import NumpyBatchNorm
from tests.targets.mutants.forward import LayerNorm


def following(conventions):
    """A NumPy batch norm of these conventions, defaults included, that declares nothing."""

    class Undeclared(NumpyBatchNorm):
        def __init__(self, setup):
            super().__init__(setup)
            self.layer.conventions = conventions
            self.layer.eps = conventions.default_eps if setup.eps is None else setup.eps
            self.layer.momentum = conventions.default_momentum if setup.momentum is None else setup.momentum

    Undeclared.conventions = None
    return Undeclared


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_found_with_its_defaults(name):
    probed = probe(InProcessTarget(following(PRESETS[name])))
    assert probed.conventions == PRESETS[name]
    assert probed.differs == ()
    assert probed.unseen == ()
    assert probed.observed["variance"] == "two-pass or as good"


def test_what_is_expected_of_hypotheses_is_kept_on_the_disk(monkeypatch, tmp_path):
    """Most of what probing takes: a process that begins finds it there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("BNPROOF_EXPECTED", "keep")
    kept_expected.folder.cache_clear()
    target = InProcessTarget(following(PRESETS["flax"]))
    fits = []
    for computes in (expect, None):
        hypotheses.expected_of.cache_clear()
        monkeypatch.setattr(kept_expected, "expect", computes)
        axis = channel_axis(target, "float32", (2, 4))
        plays = hypotheses.play_probing_cases(target, "float32", axis[0], (2, 4))
        fits.append((axis, hypotheses.best_fit(replace(PRESETS["d2l"], channel_axis=axis[0]), plays)))
    assert len([*(tmp_path / "bnproof" / "expected").iterdir()]) > 16
    assert fits[0] == fits[1]
    assert fits[0][1].misses == 0
    assert same_behaviour(fits[0][1].conventions, PRESETS["flax"]) == []
    kept_expected.folder.cache_clear()


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_layer_that_computes_float64_in_float32_is_seen_in_float32(name):
    class Narrow(following(PRESETS[name])):
        def __init__(self, setup):
            arrays = {
                field: getattr(setup, field).astype("float32")
                for field in ("gamma", "beta", "moving_mean", "moving_var")
            }
            super().__init__(replace(setup, dtype="float32", **arrays))

        def train(self, x, dy):
            return super().train(x.astype("float32"), dy.astype("float32"))

        def eval(self, x, dy):
            return super().eval(x.astype("float32"), dy.astype("float32"))

    probed = probe(InProcessTarget(Narrow))
    assert probed.conventions == PRESETS[name]
    assert probed.unseen == ()


COMBINATIONS = list(
    product(("keep", "new"), ("biased", "unbiased"), ("inside_sqrt", "outside_sqrt"), (1, -1), (False, True))
)


@pytest.mark.parametrize(("momentum", "moving_var", "eps_at", "channel_axis", "debias"), COMBINATIONS)
def test_every_combination_is_found(momentum, moving_var, eps_at, channel_axis, debias):
    conventions = replace(
        PRESETS["d2l"],
        momentum=momentum,
        moving_var=moving_var,
        eps_at=eps_at,
        channel_axis=channel_axis,
        debias=debias,
    )
    assert same_behaviour(probe(InProcessTarget(following(conventions))).conventions, conventions) == []


@pytest.mark.parametrize(
    ("target", "preset", "variance"),
    [
        ("torch-native", "torch", "two-pass or as good"),
        ("flax-nnx", "flax", "fast, E[x^2] - E[x]^2"),
        ("flax-linen", "flax", "fast, E[x^2] - E[x]^2"),
        ("impls.third_party.flax_nnx:TwoPass", "flax", "two-pass or as good"),
        ("impls.third_party.flax_linen:TwoPass", "flax", "two-pass or as good"),
        ("tutorial", "d2l", "two-pass or as good"),
    ],
)
def test_the_frameworks_own_layers(target, preset, variance):
    needs = "torch-native" if "flax" not in target and ":" not in target else "flax-nnx"
    if not is_installed(needs):
        pytest.skip(f"{needs} is not installed")
    probed = probe(InProcessTarget(load(target)))
    assert probed.conventions == PRESETS[preset]
    assert probed.observed["variance"] == variance


def test_a_combination_of_no_framework_names_the_nearest_and_what_differs():
    conventions = conventions_from({"preset": "d2l", "moving_var": "unbiased"})
    probed = probe(InProcessTarget(following(conventions)))
    note = next(note for note in probed.notes if note.id == "unknown_combination")
    assert probed.nearest == "d2l"
    assert probed.differs == ("moving_var",)
    assert "no known framework does this" in note.text
    assert "moving_var as torch" in note.text


@pytest.mark.parametrize(("axis", "preset"), [(1, "d2l"), (-1, "flax")])
def test_a_layer_norm_that_poses_as_batch_norm_is_not_taken_for_one_of_other_conventions(axis, preset):
    """Nothing is normalized per channel: the axis shows by gamma, and of the rest nothing is said but that."""
    posing = type("Posing", (LayerNorm,), {"axis": axis, "conventions": None})
    report = check_target(InProcessTarget(posing), CheckOptions((BY_ID["rank4"], BY_ID["all_axes_equal"])))
    assert [finding.id for finding in report.diagnosis] == ["wrong_axis"]
    assert report.conventions.channel_axis == axis
    assert report.conventions.eps_at == "inside_sqrt"
    notes = {note.id: note.text for note in report.notes}
    assert notes["not_seen"] == f"nothing shows debias, eps_at, moving_var, momentum: taken from {preset}"
    assert "unknown_combination" not in notes


def test_what_is_not_seen_is_blamed_on_no_framework():
    conventions = conventions_from({"preset": "d2l", "eps_at": "outside_sqrt"})
    (first, second) = notes_on_presets(conventions, "d2l", ("eps_at",), ("momentum", "moving_var"))
    assert (first.id, second.id) == ("unknown_combination", "not_seen")
    assert "momentum" not in first.text
    assert "moving_var" not in first.text
    assert "eps_at as nobody: no known framework does this; nearest is d2l" in first.text


def test_defaults_that_a_class_refuses_to_show_are_said_to_be_invisible():
    class Refuses(NumpyBatchNorm):
        conventions = None

        def __init__(self, setup):
            if setup.eps is None:
                raise ValueError("eps is needed")
            super().__init__(setup)

    probed = probe(InProcessTarget(Refuses))
    assert {"default_eps", "default_momentum"} <= set(probed.unseen)
    assert any(note.id == "defaults_not_visible" and "eps is needed" in note.text for note in probed.notes)


def test_prediction_only_shows_what_it_can():
    class PredictionOnly:
        def __init__(self, setup):
            self._right = NumpyBatchNorm(setup)

        def eval(self, x, dy):
            return {"y": self._right.eval(x, dy)["y"]}

    probed = probe(InProcessTarget(PredictionOnly))
    assert set(probed.unseen) >= {"momentum", "moving_var", "debias"}
    assert probed.conventions.eps_at == "inside_sqrt"


@pytest.mark.parametrize("declared", ["torch", {"preset": "onnx", "momentum": "new"}])
def test_what_nothing_shows_is_taken_from_the_preset_that_is_declared(declared):
    class PredictionOnly:
        conventions = declared

        def __init__(self, setup):
            self._right = NumpyBatchNorm(setup)

        def eval(self, x, dy):
            return {"y": self._right.eval(x, dy)["y"]}

    probed = probe(InProcessTarget(PredictionOnly))
    preset = declared if declared == "torch" else "onnx"
    assert probed.nearest == preset
    assert probed.conventions.momentum == PRESETS[preset].momentum
    assert probed.conventions.moving_var == PRESETS[preset].moving_var


def test_an_undeclared_target_is_judged_by_what_was_probed():
    target = InProcessTarget(following(PRESETS["torch"]))
    report = check_target(target, CheckOptions((BY_ID["rank4"], BY_ID["two_values"], BY_ID["one_value"])))
    assert report.source == "probed"
    assert report.verdict == "agree"


# --- translation ---


@pytest.mark.parametrize(("source", "target"), list(product(PRESETS, PRESETS)))
def test_translated_arguments_weigh_the_new_batch_alike(source, target):
    translated = translation(source, target, ["momentum=0.3", "eps=0.002"])
    numbers = translated.arguments
    assert PRESETS[target].new_weight(numbers["momentum"]) == pytest.approx(PRESETS[source].new_weight(0.3))
    assert 0.002 in numbers.values()
    assert bool(translated.cannot) == (
        bool(same_behaviour(PRESETS[source], PRESETS[target]))
        or PRESETS[source].single_value != PRESETS[target].single_value
    )


def test_one_minus_a_decimal_is_that_decimal():
    assert translation("flax", "torch", ["momentum=0.9"]).arguments["momentum"] == 0.1
