"""Sums that lack the last values, where a vector register or a block does not come out even: the loop over the rest is
missing, or starts too late.
"""

from __future__ import annotations

from harness.judge.oracle import OracleLayer
from reference.batch_norm import to_rows


class TailSkipped(OracleLayer):
    """All sums over the values of a channel, for the statistics as for the gradients; means still divide by n."""

    alone = True
    width = 4
    by_sample = False
    """Whether the values of each sample are a loop of their own, as memory has them where channels come second."""
    cut: tuple[str, ...] = ("statistics", "gradients")
    """Which sums lack their last values."""
    summing = "gradients"
    samples = 1

    def play(self, step):
        self.samples = 1 if step.x is None else max(1, step.x.shape[0])
        return super().play(step)

    def batch_statistics(self, x):
        self.summing = "statistics"
        try:
            return super().batch_statistics(x)
        finally:
            self.summing = "gradients"

    def total(self, rows):
        return super().total(self.without_tail(rows) if self.summing in self.cut else rows)

    def without_tail(self, rows):
        """(n, C) -> (fewer, C)"""
        loops = self.samples if self.by_sample and len(rows) % self.samples == 0 else 1  # a mask leaves any number
        of_each = rows.reshape(loops, len(rows) // loops, rows.shape[1])
        even = of_each.shape[1] // self.width * self.width
        return of_each[:, :even].reshape(loops * even, rows.shape[1])


class TailSkippedInStatistics(TailSkipped):
    """Mean and variance alone; dx is the closed form of what comes of them."""

    cut = ("statistics",)


class TailSkippedInGradients(TailSkipped):
    """dgamma and dbeta, and dx, which is made of them."""

    cut = ("gradients",)


class TailSkippedInParameterGradients(TailSkipped):
    """dgamma and dbeta alone: dx has sums of its own."""

    cut = ()

    def train_backward(self, dy, cache):
        return super().train_backward(dy, cache)[0], *self.sums(to_rows(dy, 1), cache["x_hat"])

    def eval_backward(self, dy, cache):
        return super().eval_backward(dy, cache)[0], *self.sums(to_rows(dy, 1), cache["x_hat"])

    def sums(self, dy, x_hat):
        return self.total(self.without_tail(dy * x_hat)), self.total(self.without_tail(dy))


class TailSkippedInDgamma(TailSkippedInParameterGradients):
    """dgamma alone."""

    def sums(self, dy, x_hat):
        return super().sums(dy, x_hat)[0], self.total(dy)


KINDS = (
    TailSkipped,
    TailSkippedInStatistics,
    TailSkippedInGradients,
    TailSkippedInParameterGradients,
    TailSkippedInDgamma,
)
TAIL_SKIPPED: tuple[type[OracleLayer], ...] = tuple(
    type(f"{kind.__name__}{suffix}Of{width}", (kind,), {"width": width, "by_sample": bool(suffix)})
    for suffix in ("", "BySample")
    for width in (4, 8, 16)
    for kind in KINDS
)
"""Of 4, 8 and 16: as many numbers as a register of 128, 256 or 512 bits holds in float32."""
