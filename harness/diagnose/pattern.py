"""What wrong elements have in common that a name is not needed for: they are 0, or lie in some of the channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.diagnose.deviations import ENOUGH, Deviation

RESULTS = ("y", "eval y")


def of_zeros(of_column: Sequence[Deviation]) -> str:
    """Words that follow "y is" where all that is wrong is 0; "" where it is not.

    A y that is 0 where it should be negative, and right elsewhere, has been through a ReLU.
    """
    got, want = (np.concatenate([getattr(d, side)[d.beyond] for d in of_column]) for side in ("got", "want"))
    if len(got) < ENOUGH or got.any():
        return ""
    if of_column[0].column in RESULTS and (want < 0).all() and any((d.want > 0).any() for d in of_column):
        return "0 where it should be negative: a ReLU follows, or is fused with it"
    return "0 where it should not be"


def of_channels(wrong: Sequence[Deviation]) -> str:
    """Which channels are right wherever others are wrong: the first ones, or those with a positive gamma."""
    several = [(d, _wrong_channels(d)) for d in wrong if d.channel.max(initial=0) > 0]
    if len(several) < ENOUGH:
        return ""
    first = min(channels.min() for _, channels in several)
    if first > 0:
        return "channel 0 is right" if first == 1 else f"channels 0 to {first - 1} are right"
    if all((gamma < 0).all() for gamma in _gammas(several)):
        return "only where gamma is negative"
    return ""


def _wrong_channels(deviation: Deviation) -> np.ndarray:
    return np.unique(deviation.channel[deviation.beyond])


def _gammas(several: Sequence[tuple[Deviation, np.ndarray]]) -> Iterator[np.ndarray]:
    """Those of the wrong channels, of each deviation. None is below 0 where a layer has no gamma."""
    for deviation, channels in several:
        script = deviation.played.script
        gamma = script.setups[script.steps[deviation.step].session].gamma
        yield np.zeros(1) if gamma is None else gamma[channels]
