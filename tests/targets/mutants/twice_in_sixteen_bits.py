"""Right in ordinary steps, and in 16 bits where a derivative is differentiated or taken in forward mode."""

import numpy as np

from tests.targets.mutants.twice import Twice


class WideInside(Twice):
    """Right: 16-bit arrays, float32 between them."""

    dtypes = ("float32", "bfloat16", "float16")

    def train_jvp(self, x, tx, *tangents):
        return self.narrowed(super().train_jvp(self.wide(x), self.wide(tx), *tangents), x)

    def eval_jvp(self, x, tx, *tangents):
        return self.narrowed(super().eval_jvp(self.wide(x), self.wide(tx), *tangents), x)

    def train_double(self, x, dy, ddx, *directions):
        return self.narrowed(super().train_double(*map(self.wide, (x, dy, ddx)), *directions), x)

    def eval_double(self, x, dy, ddx, *directions):
        return self.narrowed(super().eval_double(*map(self.wide, (x, dy, ddx)), *directions), x)

    def narrowed(self, results, x):
        return {name: array.astype(x.dtype) if array.shape == x.shape else array for name, array in results.items()}


class Rounding(WideInside):
    """`rounded` rounds to x's type in the operation called `wrong`, and does nothing in others."""

    wrong, to = "", None

    def rounded(self, a):
        return a if self.to is None else a.astype(self.to).astype(self.work)

    def train_jvp(self, x, *tangents):
        return self.rounding("train_jvp", super().train_jvp, x, *tangents)

    def train_double(self, x, *given):
        return self.rounding("train_double", super().train_double, x, *given)

    def rounding(self, name, operation, x, *given):
        self.to = x.dtype if name == self.wrong else None
        try:
            return operation(x, *given)
        finally:
            self.to = None


class SecondByRoundedStatistics(Rounding):
    """Mean and scale were saved in float32, and are cast to x's type where backward is differentiated."""

    expected, case = "low_precision_stats", "double_sixteen_bits"
    wrong = "train_double"

    def statistics(self, x):
        mean, var = super().statistics(x)
        return self.rounded(mean), var

    def inverse_std(self, var):
        return self.rounded(super().inverse_std(var))


class JvpOfRoundedParts(Rounding):
    """Forward mode rounds x_hat and its tangent to x's type before gamma's own tangent meets them."""

    expected, case = "low_precision_stats", "jvp_sixteen_bits"
    wrong = "train_jvp"

    def tangent_of_output(self, t_hat, x_hat, tgamma, tbeta):
        return super().tangent_of_output(self.rounded(t_hat), self.rounded(x_hat), tgamma, tbeta)


class SecondGammaSummedInSixteenBits(WideInside):
    """In prediction dgamma2 is a sum of products in x's type."""

    expected, case = "low_precision_stats", "double_frozen_sixteen_bits"

    def eval_double(self, x, dy, ddx, *directions):
        products = (dy * ddx).astype(x.dtype)
        _, saved = self.forward(self.wide(x), *self.statistics_for_prediction(x))
        total = self.wide(products.sum(axis=self.axes(x), dtype=x.dtype)) * saved["scale"]
        return super().eval_double(x, dy, ddx, *directions) | {"dgamma2": np.asarray(total, self.work)}


class JvpFrozenRounded(WideInside):
    """In prediction forward mode rounds x_hat to x's type before the tangent of gamma meets it."""

    expected, case = "low_precision_stats", "jvp_frozen_sixteen_bits"

    def eval_jvp(self, x, tx, tgamma, tbeta):
        _, saved = self.forward(self.wide(x), *self.statistics_for_prediction(x))
        scale, x_hat = self.along(saved["scale"], x).astype(x.dtype), saved["x_hat"].astype(x.dtype)
        t_hat = tx * scale
        gamma, tgamma, tbeta = (self.along(a, x).astype(x.dtype) for a in (self.gamma, tgamma, tbeta))
        return {"ty": gamma * t_hat + tgamma * x_hat + tbeta}
