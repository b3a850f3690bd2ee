"""What is said of wrong elements that nothing explains: they are 0, or lie in some of the channels."""

from dataclasses import replace

import numpy as np
import pytest

from harness.diagnose.deviations import channels_of, deviations, wrong_columns
from harness.diagnose.pattern import of_channels, of_zeros
from tests.played_by_hand import CASE, played

RNG = np.random.default_rng(0)
WANT = RNG.normal(size=(6, 5, 4))
LAW = replace(CASE, shape=WANT.shape)


def wrong(got, name="y", op="train", want=WANT):
    return wrong_columns(deviations([played((op, {name: (got, want)}), case=LAW, x=WANT)]))[
        name if op == "train" else f"eval {name}"
    ]


@pytest.mark.parametrize("op", ["train", "eval"])
def test_a_relu_is_told(op):
    assert of_zeros(wrong(np.maximum(WANT, 0), op=op)).startswith("0 where it should be negative: a ReLU")


def test_zeros_that_are_no_relu():
    assert of_zeros(wrong(np.zeros_like(WANT))) == "0 where it should not be"
    assert of_zeros(wrong(np.maximum(WANT, 0), "dx")) == "0 where it should not be"
    negative = -np.abs(WANT)
    assert of_zeros(wrong(np.zeros_like(WANT), want=negative)) == "0 where it should not be"  # no positive one is right
    positive_ones_too = np.where(RNG.random(WANT.shape) < 0.5, 0, WANT)
    assert of_zeros(wrong(positive_ones_too)) == "0 where it should not be"
    assert of_zeros(wrong(np.maximum(WANT, 0) + 1)) == ""
    few = WANT.copy()
    few[0, :3, 0] = 0
    assert of_zeros(wrong(few)) == ""


def in_channels(*channels):
    """Eight deviations, each in these channels alone."""
    got = WANT.copy()
    got[:, channels] += 1
    return wrong(got) * 8


def test_channels_that_are_right():
    assert of_channels(in_channels(1, 2, 3, 4)) == "channel 0 is right"
    assert of_channels(in_channels(4)) == "channels 0 to 3 are right"
    assert of_channels(in_channels(0, 4)) == ""
    assert of_channels(in_channels(4)[:1]) == ""  # one is chance
    assert of_channels(in_channels(4)[:7] + in_channels(0)) == ""
    one_channel = WANT[:, :1]
    assert of_channels(in_channels(4) + wrong(one_channel + 1, want=one_channel)) == "channels 0 to 3 are right"


@pytest.mark.parametrize(
    ("given", "words"), [([-1, 1, 1, -2, 1], "only where gamma is negative"), ([-1] * 3 + [1, 1], ""), (None, "")]
)
def test_channels_of_negative_gamma(given, words):
    made = in_channels(0, 3)
    gamma = None if given is None else np.array(given, np.float64)
    script = made[0].played.script
    setups = tuple(replace(setup, gamma=gamma) for setup in script.setups)
    of_it = replace(made[0].played, script=replace(script, setups=setups))
    assert of_channels([replace(each, played=of_it) for each in made]) == words


def test_gamma_is_that_of_the_session():
    of_second = played(("train'", {"y": (np.where(np.arange(5)[:, None] % 3, WANT, WANT + 1), WANT)}), case=LAW, x=WANT)
    first, second = (
        replace(setup, gamma=np.array([sign] * 5, np.float64))
        for setup, sign in zip(of_second.script.setups, (1, -1), strict=True)
    )
    of_it = replace(of_second, script=replace(of_second.script, setups=(first, second)))
    assert of_channels(wrong_columns(deviations([of_it]))["y"] * 8) == "only where gamma is negative"


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4)])
def test_the_channel_of_an_element(shape):
    channels = channels_of(np.zeros(shape))
    assert channels.shape == shape
    assert np.unique(channels).tolist() == [0, 1, 2]
    assert (np.moveaxis(channels, min(len(shape) - 1, 1), 0)[1] == 1).all()
