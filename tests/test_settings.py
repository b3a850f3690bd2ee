"""A layer that ignores a setting is said to, and one that honours all of them is not; what is replaced is told."""

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.probe.settings import EPS, MOMENTA, ignored_settings
from harness.targets.in_process import InProcessTarget
from harness.targets.recognise import recognise
from tests.in_process import checked
from tests.targets.honest import HONEST
from tests.targets.mutants.moving import MomentumHardCoded, StartsFromItsOwn
from tests.targets.mutants.right import D2l, Debiasing, EpsOutsideRoot, Flax, Torch
from tests.targets.mutants.variance import EpsMissing


class EpsHardCoded(Torch):
    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(1e-3))


class EpsHardCodedInPrediction(D2l):
    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(1e-3 if var is self.moving_var else self.eps))


class Cumulative(Torch):
    """As torch's momentum=None: the mean of all batches so far."""

    updates = 0

    def track(self, mean, var, n):
        self.updates += 1
        super().track(mean, var, n)

    def weight(self):
        return self.work.type(1 / self.updates)


class GammaOfOnes(Flax):
    def __init__(self, setup):
        super().__init__(setup)
        self.gamma = np.ones_like(self.gamma)


class BetaOfZeros(D2l):
    def __init__(self, setup):
        super().__init__(setup)
        self.beta = np.zeros_like(self.beta)


class Frozen(D2l):
    """No setting is to blame where no statistic moves at all."""

    def track(self, mean, var, n):
        pass


class PredictsOnly:
    def __init__(self, setup):
        self.right = D2l(setup)

    def eval(self, x, dy):
        return {"y": self.right.eval(x, dy)["y"]}


def notes_on_settings(layer, dtype="float64"):
    axis = -1 if issubclass(layer, Flax) else 1
    return ignored_settings(InProcessTarget(layer), dtype, axis, (2, 4))


@pytest.mark.parametrize(
    ("layer", "identity", "words"),
    [
        (MomentumHardCoded, "momentum_ignored", f"the same with {MOMENTA[0]} and {MOMENTA[1]}"),
        (Cumulative, "momentum_ignored", "momentum is ignored: the moving statistics"),
        (EpsHardCoded, "eps_ignored", f"eps is ignored: y is the same with {EPS[0]:g} and {EPS[1]:g}"),
        (EpsMissing, "eps_ignored", "eps is ignored: y"),
        (EpsHardCodedInPrediction, "eps_ignored", "eps is ignored in prediction"),
        (GammaOfOnes, "gamma_ignored", "gamma that it is given is ignored"),
        (BetaOfZeros, "beta_ignored", "beta that it is given is ignored"),
        (StartsFromItsOwn, "start_ignored", "the moving statistics that it is given"),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_setting_that_is_ignored_is_told(layer, identity, words, dtype):
    (note,) = notes_on_settings(layer, dtype)
    assert note.id == identity
    assert words in note.text


class OutsideRoot(EpsOutsideRoot, Torch):
    pass


@pytest.mark.parametrize(
    "layer",
    [D2l, Torch, Flax, Debiasing, OutsideRoot, Frozen, PredictsOnly, *HONEST[::5]],
    ids=lambda layer: layer.__name__,
)
def test_a_layer_that_honours_its_settings_has_no_such_note(layer):
    assert notes_on_settings(layer) == []
    assert notes_on_settings(layer, "float32") == []


def undeclared(layer):
    return type(layer.__name__, (layer,), {"conventions": None})


TELLING = tuple(BY_ID[case] for case in ("rank2", "unusual_eps", "large_eps", "tiny_momentum"))


@pytest.mark.parametrize(
    ("layer", "finding", "number"),
    [
        (MomentumHardCoded, "momentum_wrong", "weighs 0.1"),
        (EpsHardCoded, "eps_wrong", "an eps of 0.001 is used"),
        (Cumulative, "momentum_wrong", ""),
    ],
)
def test_a_layer_with_conventions_owes_its_settings(layer, finding, number):
    report = checked(layer, cases=TELLING)
    assert report.verdict == "differ"
    assert [found.id for found in report.diagnosis] == [finding]
    assert number in report.diagnosis[0].text


def test_so_does_a_layer_whose_conventions_are_probed():
    report = checked(undeclared(EpsHardCoded), cases=TELLING)
    assert report.verdict == "differ"
    assert [found.id for found in report.diagnosis] == ["eps_wrong"]
    assert "eps_ignored" in {note.id for note in report.notes}


# --- settings that a wrapper replaces ---


def replaced(target):
    player = InProcessTarget(recognise(target))
    player.play(BY_ID["rank2"].make("float32", 0, 0.125), 1)
    return [note.text for note in player.notes() if note.id == "settings_replaced"]


def test_the_settings_of_a_built_torch_module_are_told():
    torch = pytest.importorskip("torch")
    (text,) = replaced(torch.nn.BatchNorm1d(5, eps=1e-3, momentum=None))
    assert "the layer comes with eps=0.001 and momentum=None; each case sets its own" in text
    assert "what it does with momentum=None, a cumulative average, is not judged" in text


def test_a_factory_whose_layer_has_settings_of_its_own_is_told():
    torch = pytest.importorskip("torch")
    (text,) = replaced(lambda num_features, eps=1e-5: torch.nn.BatchNorm1d(num_features, eps, momentum=0.3))
    assert "comes with momentum=0.3;" in text
    assert "eps" not in text
    assert "not judged" not in text


def test_nothing_is_replaced_in_a_class_that_takes_its_settings():
    torch = pytest.importorskip("torch")
    assert replaced(torch.nn.BatchNorm1d) == []
