"""A gradient, or one term of dx, times a constant: reduced twice, a 2 forgotten, a sign turned round."""

from __future__ import annotations

from harness.diagnose.mistakes.in_mode import everywhere_or_in_one
from harness.diagnose.mistakes.parameter_gradients import _Gradients
from harness.judge.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows


def times(factor: float, *names: str) -> type[OracleLayer]:
    """The gradients in `names` ("dx", "dgamma", "dbeta") multiplied by `factor`."""

    class Scaled(_Gradients):
        alone = True

        def changed(self, dx, dgamma, dbeta, dy, cache):
            values = dict(zip(("dx", "dgamma", "dbeta"), super().changed(dx, dgamma, dbeta, dy, cache), strict=True))
            return tuple(value * factor if name in names else value for name, value in values.items())

    Scaled.__name__ = f"{'_'.join(names)}_times_{factor:g}"
    return Scaled


def term_times(factor: float, term: str) -> type[OracleLayer]:
    """Training's dx with its term through the "mean" or the "var" multiplied by `factor`."""

    class TermScaled(OracleLayer):
        alone = True

        def train_backward(self, dy, cache):
            dx, dgamma, dbeta = super().train_backward(dy, cache)
            n = max(1, len(to_rows(dy, 1)))
            slope = self.variance_slope(cache["var"], cache["scale"])
            through = dbeta / n if term == "mean" else cache["x_hat"] * (slope * dgamma / n)
            rows = to_rows(dx, 1) + self.gamma * cache["scale"] * through * (1 - factor)
            return from_rows(rows, dy.shape, 1), dgamma, dbeta

    TermScaled.__name__ = f"{term}_term_times_{factor:g}"
    return TermScaled


WHICH = (("dx",), ("dgamma",), ("dbeta",), ("dgamma", "dbeta"), ("dx", "dgamma", "dbeta"))
GRADIENT_SCALED = (
    *everywhere_or_in_one(*(times(factor, *names) for factor in (2.0, 0.5, -1.0) for names in WHICH)),
    *(term_times(factor, term) for factor in (2.0, 0.5, -1.0) for term in ("mean", "var")),
)
"""The factors that are likely; any other is fitted (`harness/diagnose/factors.py`)."""
