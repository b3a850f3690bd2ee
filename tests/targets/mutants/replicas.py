"""Layers over replicas that are synchronized wrongly. They are simulated in one process."""

import numpy as np

from tests.targets.mutants.right import D2l, Torch


def named_by_count(mutant):
    """By how many replicas it is played is part of a target's name."""
    mutant.__name__ = f"{mutant.__name__} over {mutant.count} replicas"
    return mutant


class Replicas:
    """Before a style of batch norm: a right synchronized one over `count` shards, merged by Chan's formula.

    Each method below is a step in which replicas can go wrong.
    """

    count = 2

    def train(self, x, dy):
        given, parts, dys = x, self.dealt(self.wide(x)), self.dealt(self.wide(dy))
        n, mean, var = self.merged([self.of_shard(part) for part in parts])
        if n == 1 and self.conventions == "torch":
            raise ValueError("Expected more than 1 value per channel when training")
        passed = [self.forward(part, mean, var) for part in parts]
        sums = [self.parameter_gradients(part, saved) for part, (_, saved) in zip(dys, passed, strict=True)]
        dgamma, dbeta = np.sum(sums, axis=0)
        dx = [
            self.dx_of_shard(part, saved, own, (dgamma, dbeta), n)
            for part, (_, saved), own in zip(dys, passed, sums, strict=True)
        ]
        self.move(mean, var, n, [self.count_of(part) for part in parts])
        y = np.concatenate([y for y, _ in passed])
        return self.results(given, y, np.concatenate(dx), *self.parameters_reduced(dgamma, dbeta))

    def dealt(self, x):
        return np.array_split(x, self.count)

    def count_of(self, x):
        return x.size // x.shape[self.axis]

    def of_shard(self, x):
        """(count, mean, sum of squared deviations)."""
        n = self.work.type(max(1, self.count_of(x)))
        mean = x.sum(axis=self.axes(x)) / n
        return self.count_of(x), mean, np.square(x - self.along(mean, x)).sum(axis=self.axes(x))

    def merged(self, shards):
        """(count, mean, variance) of all."""
        n, mean, deviations = shards[0]
        for n_b, mean_b, deviations_b in shards[1:]:
            both = max(1, n + n_b)
            delta = mean_b - mean
            mean = mean + delta * self.work.type(n_b / both)
            deviations = deviations + deviations_b + self.work.type(n * n_b / both) * delta * delta
            n += n_b
        return n, mean, deviations / self.work.type(max(1, n))

    def dx_of_shard(self, dy, saved, own, summed, n):  # noqa: ARG002
        return self.dx_by(dy, saved, summed, n)

    def dx_by(self, dy, saved, sums, n):
        dgamma, dbeta = (self.along(total / self.work.type(max(1, n)), dy) for total in sums)
        return self.along(self.gamma * saved["scale"], dy) * (dy - dbeta - saved["x_hat"] * dgamma)

    def parameters_reduced(self, dgamma, dbeta):
        return dgamma, dbeta

    def move(self, mean, var, n, counts):  # noqa: ARG002
        if n:
            self.track(mean, var, n)

    def replica_stats(self):
        return [self.stats()] * self.count


@named_by_count
class MeanOfVariancesOverThree(Replicas, D2l):
    """The replicas' variances are averaged: the variance between their means is lost."""

    expected, case, count = "stats_per_shard", "odd_batch", 3

    def merged(self, shards):
        n, mean, _ = super().merged(shards)
        return n, mean, sum(deviations for _, _, deviations in shards) / self.work.type(max(1, n))


@named_by_count
class MomentsOverReplicas(Replicas, D2l):
    """The replicas' E[x] and E[x^2] are averaged, by their counts, and the variance is their difference."""

    expected, case, count = "fast_variance", "large_mean_1e4", 4

    def merged(self, shards):
        n = sum(count for count, _, _ in shards)
        shares = [self.work.type(count / max(1, n)) for count, _, _ in shards]
        counts = [self.work.type(max(1, count)) for count, _, _ in shards]
        mean = sum(share * m for share, (_, m, _) in zip(shares, shards, strict=True))
        squares = sum(
            share * (deviations / count + m * m)
            for share, count, (_, m, deviations) in zip(shares, counts, shards, strict=True)
        )
        return n, mean, squares - mean * mean


@named_by_count
class UnweightedShards(Replicas, D2l):
    """A small shard weighs as much as a large one."""

    expected, case = "stats_per_shard", "odd_batch"

    def merged(self, shards):
        n = sum(count for count, _, _ in shards)
        filled = [(count, mean, deviations) for count, mean, deviations in shards if count] or shards[:1]
        mean = sum(m for _, m, _ in filled) / self.work.type(len(filled))
        variances = [d / self.work.type(max(1, count)) + np.square(m - mean) for count, m, d in filled]
        return n, mean, sum(variances) / self.work.type(len(filled))


@named_by_count
class UnweightedMoments(UnweightedShards):
    """E[x] and E[x^2] of the shards are averaged, a small one weighing as much as a large one."""

    expected, case = ("stats_per_shard", "fast_variance"), "large_mean_1e4"

    def merged(self, shards):
        n = sum(count for count, _, _ in shards)
        filled = [(count, mean, deviations) for count, mean, deviations in shards if count] or shards[:1]
        mean = sum(m for _, m, _ in filled) / self.work.type(len(filled))
        squares = sum(d / self.work.type(max(1, count)) + m * m for count, m, d in filled)
        return n, mean, np.maximum(squares / self.work.type(len(filled)) - mean * mean, 0)


@named_by_count
class GradientNotReduced(Replicas, Torch):
    """dx goes by the sums over the rank's own shard."""

    expected, case = "gradient_per_shard", "rank4"

    def dx_of_shard(self, dy, saved, own, summed, n):  # noqa: ARG002
        return self.dx_by(dy, saved, own, n)


@named_by_count
class GradientReducedTwice(Replicas, D2l):
    """The sums behind dx are added up over the replicas, and then again."""

    expected, case = "gradient_scaled", "rank4"

    def dx_of_shard(self, dy, saved, own, summed, n):  # noqa: ARG002
        return self.dx_by(dy, saved, [self.work.type(self.count) * total for total in summed], n)


@named_by_count
class ParametersReducedTwice(Replicas, D2l):
    """dgamma and dbeta are added up by the layer, and again by data parallelism."""

    expected, case, count = "gradient_scaled", "rank4", 3

    def parameters_reduced(self, dgamma, dbeta):
        return self.work.type(self.count) * dgamma, self.work.type(self.count) * dbeta


@named_by_count
class BesselByShard(Replicas, Torch):
    """Bessel's factor goes by the count of the first shard."""

    expected, case = "bessel_wrong", "rank4"

    def move(self, mean, var, n, counts):
        if n:
            self.track(mean, var, max(2, counts[0]))


@named_by_count
class FirstReplicaMoves(Replicas, D2l):
    """The moving statistics are those of the whole batch, and only the first replica moves its own."""

    expected, case = "replicas_disagree", "rank4"

    def __init__(self, setup):
        super().__init__(setup)
        self.left_behind = self.stats()

    def replica_stats(self):
        return [self.stats(), *[self.left_behind] * (self.count - 1)]
