"""What goes wrong between replicas with right statistics: sums of the backward pass, Bessel's count, states apart.

Variants for two replicas and for four are always tried; of a target that says by how many it is played, and with which
shards, those as well (`of_replicas`).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from harness.diagnose.mistakes import shards
from harness.diagnose.mistakes.shards import _Sharded, into, split_by
from harness.judge.oracle import OracleLayer
from harness.targets.replicas.names import Replicas
from harness.targets.replicas.shards import ends
from reference.batch_norm import from_rows, to_rows


class GradientPerShard(_Sharded):
    """dx goes by the means of dy and dy * x_hat over the value's own shard."""

    def train_backward(self, dy, cache):
        _, dgamma, dbeta = super().train_backward(dy, cache)
        parts = [
            self.dx_of(dy_part, x_hat, len(cache["x_hat"]), cache)
            for dy_part, x_hat in zip(self.shards(to_rows(dy, 1)), self.shards(cache["x_hat"]), strict=True)
        ]
        return from_rows(np.concatenate(parts), dy.shape, 1), dgamma, dbeta

    def dx_of(self, dy, x_hat, n, cache):  # noqa: ARG002
        return self.dx_by(dy, x_hat, len(dy), cache)

    def dx_by(self, dy, x_hat, n, cache):
        slope = self.variance_slope(cache["var"], cache["scale"])
        through_var = x_hat * (slope * (dy * x_hat).sum(axis=0) / n)
        return self.gamma * cache["scale"] * (dy - dy.sum(axis=0) / n - through_var)


class GradientSumPerShard(GradientPerShard):
    """dx goes by the shard's sums over the count of the whole batch: they were not added up over the replicas."""

    def dx_of(self, dy, x_hat, n, cache):
        return self.dx_by(dy, x_hat, n, cache)


class ReducedTwice(_Sharded):
    """The sums behind dx are added up over the replicas twice: each counts as often as there are replicas."""

    in_dx, in_parameters = True, False
    replicas = 2

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        more = self.replicas - 1
        if self.in_dx:
            rows, n = to_rows(dx, 1), len(cache["x_hat"])
            slope = self.variance_slope(cache["var"], cache["scale"])
            through = self.gamma * cache["scale"] * (dbeta / n + cache["x_hat"] * (slope * dgamma / n))
            dx = from_rows(rows - more * through, dy.shape, 1)
        if self.in_parameters:
            dgamma, dbeta = dgamma * self.replicas, dbeta * self.replicas
        return dx, dgamma, dbeta


class ParametersReducedTwice(ReducedTwice):
    """dgamma and dbeta are added up by the layer, and again by data parallelism."""

    in_dx, in_parameters = False, True


class AllReducedTwice(ReducedTwice):
    in_parameters = True


class BesselByShard(_Sharded):
    """Bessel's factor goes by the count of the first shard."""

    def train(self, x):
        self.of_first = len(self.shards(to_rows(x, 1))[0]) if x.size else 0
        return super().train(x)

    def update(self, mean, var, n):
        if self.conventions.moving_var == "unbiased" and n > 1:
            of_first = self.of_first
            factor = of_first / (of_first - 1) if of_first > 1 else np.nan
            var = var * ((n - 1) / n * factor)
        super().update(mean, var, n)


class OwnStatistics(_Sharded):
    """Replicas that share nothing: each normalizes by its own shard and keeps its own moving statistics."""

    shares_at_start = False
    """Whether each step with gradients starts from the first replica's moving statistics, as torch's DDP sees to."""
    states = None

    def train_step(self, x, dy):
        return self._step(super().train_step, x, dy, self.shares_at_start)

    def train_no_grad_step(self, x):
        return {"y": self._step(super().train_step, x, np.zeros_like(x), False)["y"]}

    def eval_step(self, x, dy):
        return self._step(super().eval_step, x, dy, self.shares_at_start)

    def _step(self, step, x, dy, shares):
        bounds = self.split_with_empty(len(x))
        states = self.states or [self._averages()] * len(bounds)
        states = [states[0]] * len(bounds) if shares else states
        results, after = [], []
        for state, (a, b) in zip(states, bounds, strict=True):
            self.average_mean, self.average_var, self.updates = state
            results.append(self.of_shard(step, x[a:b], dy[a:b]))
            after.append(self._averages())
        self.states = after
        self.average_mean, self.average_var, self.updates = after[0]
        joined = {name: np.concatenate([result[name] for result in results]) for name in ("y", "dx")}
        return joined | {name: sum(result[name] for result in results) for name in ("dgamma", "dbeta")}

    def of_shard(self, step, x, dy):
        return step(x, dy)

    def split_with_empty(self, samples):
        """(begin, end) of every replica's shard. Replicas that get nothing for want of samples come last."""
        edges = self.split(samples)
        bounds = [*pairwise(edges)]
        return bounds + [(samples, samples)] * (self.replicas - len(bounds))

    replicas = 2

    def _averages(self):
        return self.average_mean, self.average_var, self.updates


class OwnStatisticsLost(OwnStatistics):
    """A replica whose shard is empty divides 0 by 0: its statistics are NaN from then on, and so is a sum with them."""

    def of_shard(self, step, x, dy):
        result = super().of_shard(step, x, dy)
        if not len(x):
            if self.playing == "train":
                self.average_mean, self.average_var = self.average_mean * np.nan, self.average_var * np.nan
            result["dgamma"] = result["dgamma"] + 0 * self.average_mean
        return result


class DataParallel(OwnStatistics):
    """Each step with gradients starts from the first replica's moving statistics."""

    shares_at_start = True


GRADIENT_PER_SHARD: tuple[type[OracleLayer], ...] = (
    GradientPerShard,
    GradientSumPerShard,
    *split_by(into(4), "IntoFour", GradientPerShard, GradientSumPerShard),
)
"""Always tried."""


class UnweightedWithEmpty(shards.Unweighted):
    """A shard of no values weighs as much as any other: its mean is 0/0."""


class UnweightedWithEmptyAutodiff(shards.UnweightedAutodiff):
    """As above, with its own gradient."""


_WITH_EMPTY = (UnweightedWithEmpty, UnweightedWithEmptyAutodiff, OwnStatistics)
_STATISTICS = (
    *shards.KINDS,
    UnweightedWithEmpty,
    UnweightedWithEmptyAutodiff,
    OwnStatistics,
    OwnStatisticsLost,
    DataParallel,
)
_REDUCED_TWICE = (ReducedTwice, ParametersReducedTwice, AllReducedTwice)


def of_replicas(replicas: Replicas) -> list[tuple[str, type[OracleLayer]]]:
    """(id, mistake) of everything that may go wrong between these replicas."""
    if replicas.count == 1:
        return []

    def split(samples: int) -> list[int]:
        return [0, *ends(samples, replicas.count, replicas.shards)]

    def without_empty(samples: int) -> list[int]:
        return sorted({*split(samples)})

    def variant(mistake: type[_Sharded]) -> type[OracleLayer]:
        keeps_empty = issubclass(mistake, _WITH_EMPTY)
        members = {"split": staticmethod(split if keeps_empty else without_empty), "replicas": replicas.count}
        return type(f"{mistake.__name__}{replicas.count}{replicas.shards.title()}", (mistake,), members)

    by_id = {
        "stats_per_shard": _STATISTICS,
        "gradient_per_shard": (GradientPerShard, GradientSumPerShard),
        "gradient_scaled": _REDUCED_TWICE,
        "bessel_wrong": (BesselByShard,),
    }
    return [(identity, variant(mistake)) for identity, mistakes in by_id.items() for mistake in mistakes]
