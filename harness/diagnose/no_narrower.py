"""Wider bounds that are nowhere narrower than those that a target is judged by.

They are made for a layer that declares nothing. One that declares a fold is judged by wider bounds in prediction.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.judge.expected import Expected
from harness.judge.report import PlayedCase


def no_narrower(widened: PlayedCase, played: PlayedCase) -> PlayedCase:
    """`widened`, with the bounds of `played` where they are the wider ones."""
    return replace(widened, expected=[*map(_no_narrower, widened.expected, played.expected)])


def _no_narrower(wide: Expected, law: Expected) -> Expected:
    """The same object where nothing changes: yardsticks are kept by object."""
    narrower = {
        name: np.fmax(bound, law.bounds[name])
        for name, bound in wide.bounds.items()
        if name in law.bounds and (bound < law.bounds[name]).any()
    }
    return replace(wide, bounds=wide.bounds | narrower) if narrower else wide
