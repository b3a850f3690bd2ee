"""Mistakes in dgamma and dbeta, and in all gradients at once."""

from __future__ import annotations

from harness.diagnose.mistakes.in_mode import everywhere_or_in_one, only_in
from harness.judge.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows


class _Gradients(OracleLayer):
    """Mistakes that change what the two backward methods return."""

    def changed(self, dx, dgamma, dbeta, dy, cache):  # noqa: ARG002
        return dx, dgamma, dbeta

    def train_backward(self, dy, cache):
        return self.changed(*super().train_backward(dy, cache), dy, cache)

    def eval_backward(self, dy, cache):
        return self.changed(*super().eval_backward(dy, cache), dy, cache)


class DgammaNotNormalized(_Gradients):
    """dgamma = sum(dy (x - mean)): the division by the standard deviation is missing."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, dgamma / cache["scale"], dbeta


class _KeepsMean(_Gradients):
    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y, cache | {"mean": mean}


class DgammaOfRawInput(_KeepsMean):
    """dgamma = sum(dy x): x as it came, neither centred nor scaled."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, dgamma / cache["scale"] + cache["mean"] * dbeta, dbeta


class DgammaNotCentred(_KeepsMean):
    """dgamma = sum(dy x) / sqrt(var + eps)."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, dgamma + cache["scale"] * cache["mean"] * dbeta, dbeta


class DgammaOfOutput(_Gradients):
    """dgamma = sum(dy y)."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, self.gamma * dgamma + self.beta * dbeta, dbeta


class XHatOverwritten(OracleLayer):
    """y stands where x_hat was kept, in dgamma and in dx."""

    alone = True

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return y, cache | {"x_hat": y}


class DgammaTimesGamma(_Gradients):
    """dgamma = sum(dy gamma x_hat): the gradient of x_hat's own upstream."""

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, self.gamma * dgamma, dbeta


class DgammaDbetaSwapped(_Gradients):
    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        return dx, dbeta, dgamma


def averaged(which: tuple[str, ...], over_batch: bool) -> type[OracleLayer]:
    """The gradients in `which` ("dx", "dgamma", "dbeta") divided by the batch size, or by all n values."""

    class Averaged(_Gradients):
        def changed(self, dx, dgamma, dbeta, dy, cache):
            dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
            n = max(1, dy.shape[0] if over_batch else len(to_rows(dy, 1)))
            own = {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}
            dx, dgamma, dbeta = (value / n if name in which else value for name, value in own.items())
            return dx, dgamma, dbeta

    Averaged.__name__ = f"{'_'.join(which)}_averaged_over_{'batch' if over_batch else 'n'}"
    return Averaged


class GradsAccumulated(_Gradients):
    """dgamma and dbeta are added to those of the calls before, as when they are never set back to zero."""

    sums = (0.0, 0.0)

    def changed(self, dx, dgamma, dbeta, dy, cache):
        dx, dgamma, dbeta = super().changed(dx, dgamma, dbeta, dy, cache)
        self.sums = self.sums[0] + dgamma, self.sums[1] + dbeta
        return dx, *self.sums

    def restore(self):
        self.sums = self.loaded_into().sums  # gradients are no part of a layer's state
        super().restore()


def fed_into_dx(mistake: type[OracleLayer]) -> type[OracleLayer]:
    """The mistaken dgamma and dbeta also stand in training's dx = gamma r (dy - dbeta/n - x_hat dgamma/n)."""

    class FedIntoDx(mistake):  # type: ignore[valid-type, misc]
        def train_backward(self, dy, cache):
            dx, dgamma, dbeta = super().train_backward(dy, cache)
            _, right_dgamma, right_dbeta = OracleLayer.train_backward(self, dy, cache)
            n = max(1, len(to_rows(dy, 1)))
            off = (right_dbeta - dbeta) / n + cache["x_hat"] * (right_dgamma - dgamma) / n
            return dx + from_rows(self.gamma * cache["scale"] * off, dy.shape, 1), dgamma, dbeta

    FedIntoDx.__name__ = f"{mistake.__name__}FedIntoDx"
    return FedIntoDx


DGAMMA = (DgammaNotNormalized, DgammaOfRawInput, DgammaNotCentred, DgammaOfOutput, DgammaTimesGamma)
DGAMMA_NOT_NORMALIZED = (
    *everywhere_or_in_one(*DGAMMA),
    *(fed_into_dx(variant) for mistake in DGAMMA for variant in (mistake, only_in("train", mistake))),
)
ACCUMULATED = (GradsAccumulated, only_in("train", GradsAccumulated))
SWAPPED = everywhere_or_in_one(DgammaDbetaSwapped)
PARAMETERS_AVERAGED = tuple(
    averaged(which, over_batch)
    for over_batch in (False, True)
    for which in (("dgamma", "dbeta"), ("dgamma",), ("dbeta",))
)
WITH_DX_AVERAGED = tuple(
    averaged(which, over_batch) for over_batch in (False, True) for which in (("dx",), ("dx", "dgamma", "dbeta"))
)
GRADS_AVERAGED = (
    *everywhere_or_in_one(*PARAMETERS_AVERAGED, *WITH_DX_AVERAGED),
    *(fed_into_dx(variant) for mistake in PARAMETERS_AVERAGED for variant in (mistake, only_in("train", mistake))),
)
