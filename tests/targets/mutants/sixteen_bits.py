"""Wrong in 16 bits: what a framework that differentiates by itself, or promotes to x's type, leaves of float32."""

from tests.targets.mutants.right import D2l, Flax


class RoundsItsParameters(Flax):
    """gamma and beta are cast to x's type before use, and in prediction the moving statistics; all else is right."""

    expected, case = "parameters_rounded", "sixteen_bits"
    dtypes = ("bfloat16", "float16")

    def train(self, x, dy):
        return self.with_rounded(("gamma", "beta"), super().train, x, dy)

    def eval(self, x, dy):
        kept = self.moving_mean, self.moving_var
        result = self.with_rounded(("gamma", "beta", "moving_mean", "moving_var"), super().eval, x, dy)
        self.moving_mean, self.moving_var = kept
        return result

    def with_rounded(self, names, step, x, dy):
        kept = {name: getattr(self, name) for name in ("gamma", "beta")}
        for name in names:
            setattr(self, name, getattr(self, name).astype(x.dtype).astype(self.work))
        try:
            return step(x, dy)
        finally:
            vars(self).update(kept)


class DxInParts(D2l):
    """dx is the sum of two parts, as casts to float32 in two places leave them: each is rounded to x's type."""

    expected, case = "low_precision_stats", "sixteen_bits"
    dtypes = ("bfloat16", "float16")
    given = None

    def train(self, x, dy):
        self.given = x.dtype
        return super().train(x, dy)

    def backward(self, dy, saved):
        dx, dgamma, dbeta = super().backward(dy, saved)
        direct = self.along(self.gamma * saved["scale"], dy) * dy
        parts = [part.astype(self.given) for part in (direct, dx - direct)]
        return (parts[0] + parts[1]).astype(self.work), dgamma, dbeta


class RoundsParametersAndParts(RoundsItsParameters, DxInParts):
    expected, case = ("parameters_rounded", "low_precision_stats"), "sixteen_bits"
