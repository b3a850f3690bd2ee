"""eps and momentum kept in float32 by a layer that computes in float64: a library's attributes often have 32 bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.cases.script import Setup
from harness.judge.oracle import OracleLayer, oracle_dtype
from reference.conventions import Conventions


class RoundedSettings(OracleLayer):
    rounded: tuple[str, ...] = ("eps", "momentum")

    @classmethod
    def from_setup(cls, setup: Setup, conventions: Conventions) -> OracleLayer:
        if setup.dtype == "float64":
            for name in cls.rounded:
                setup = replace(setup, **{name: in_float32(getattr(setup, name))})
        return super().from_setup(setup, conventions)


def in_float32(number: float | None) -> Any:
    return None if number is None else float(np.float32(number))


class RoundedEps(RoundedSettings):
    rounded = ("eps",)


class RoundedMomentum(RoundedSettings):
    rounded = ("momentum",)


class RoundedNewWeight(OracleLayer):
    """The weight of the new value is what is rounded, whichever of the two momentum is."""

    @classmethod
    def from_setup(cls, setup: Setup, conventions: Conventions) -> OracleLayer:
        if setup.dtype == "float64" and setup.momentum is not None:
            setup = replace(setup, momentum=1 - float(np.float32(1 - setup.momentum)))
        return super().from_setup(setup, conventions)


class RoundedWeights(RoundedEps):
    """eps and each of the two weights are rounded by themselves, as numbers that meet arrays may be."""

    def weights(self):
        keep, new = super().weights()
        if self.gamma.dtype == oracle_dtype("float32"):
            return keep, new
        return tuple(weight.dtype.type(np.float32(weight)) for weight in (keep, new))
