"""A restored layer that differs from the saved one, though nothing was left out: exchanged, converted, rounded."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np

from harness.judge.oracle import OracleLayer

PARTS = ("gamma", "beta", "average_mean", "average_var")


def exchanged(*pairs: tuple[str, str]) -> type[OracleLayer]:
    """Saved under one name and loaded under the other, as by a list in another order."""

    class Exchanged(OracleLayer):
        alone = True

        def restore(self):
            for a, b in pairs:
                first, second = getattr(self, a), getattr(self, b)
                setattr(self, a, second)
                setattr(self, b, first)
            super().restore()

    Exchanged.__name__ = "_and_".join(f"{a}_for_{b}" for a, b in pairs)
    return Exchanged


Convert = Callable[[np.ndarray, np.floating], np.ndarray]
"""From what was saved, and eps, to what is loaded."""


def converted(name: str, parts: tuple[str, ...], convert: Convert) -> type[OracleLayer]:
    """Loading converts `parts`."""

    class Converted(OracleLayer):
        alone = True

        def restore(self):
            for part in parts:
                saved = getattr(self, part)
                setattr(self, part, convert(saved, saved.dtype.type(self.eps)))
            super().restore()

    Converted.__name__ = name
    return Converted


def rounded_to(dtype: np.typing.DTypeLike) -> Convert:
    """Saved in fewer bits. The longest type goes by way of float64, from which ml_dtypes can convert."""
    return lambda saved, _: saved.astype(np.float64).astype(dtype).astype(np.float64).astype(saved.dtype)


VAR = ("average_var",)
STATISTICS = ("average_mean", "average_var")
RESTORE_CHANGES_LAYER = (
    exchanged(("average_mean", "average_var")),
    exchanged(("gamma", "beta")),
    exchanged(("average_mean", "average_var"), ("gamma", "beta")),
    exchanged(("gamma", "average_mean"), ("beta", "average_var")),
    converted("EpsSubtracted", VAR, lambda var, eps: var - eps),
    converted("EpsSubtractedAndClipped", VAR, lambda var, eps: np.maximum(var - eps, 0)),
    converted("EpsAdded", VAR, lambda var, eps: var + eps),
    converted("StdLoaded", VAR, lambda var, _: np.sqrt(var)),
    converted("StdOfEpsLoaded", VAR, lambda var, eps: np.sqrt(var + eps)),
    converted("VarSquared", VAR, lambda var, _: var**2),
    converted("InverseLoaded", VAR, lambda var, _: 1 / var),
    converted("InverseStdLoaded", VAR, lambda var, eps: 1 / np.sqrt(var + eps)),
    converted("MeanNegated", ("average_mean",), lambda mean, _: -mean),
    *(
        converted(f"{which}In{kind.__name__.title()}", parts, rounded_to(kind))
        for kind in (np.float16, ml_dtypes.bfloat16)
        for which, parts in (("Statistics", STATISTICS), ("All", PARTS))
    ),
)
