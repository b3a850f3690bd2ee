"""Statistics of parts of the batch: replicas that do not agree, ghost batches."""

import numpy as np

from tests.targets.mutants.right import D2l, Flax, Torch


def halves(x):
    """The batch in two, the first part larger; one part where there is one sample."""
    return [part for part in np.array_split(x, 2) if len(part)]


class MeanOfVariances(Flax):
    """Two replicas whose variances are averaged: the variance between their means is lost."""

    expected, case = "stats_per_shard", "rank4"

    def statistics(self, x):
        mean, _ = super().statistics(x)
        parts = halves(x)
        weights = [self.work.type(len(part) / len(x)) for part in parts]
        return mean, sum(w * super(MeanOfVariances, self).statistics(p)[1] for w, p in zip(weights, parts, strict=True))


class UnevenReplicas(D2l):
    """Moments of replicas are averaged, though the last replica has fewer samples."""

    expected, case = "stats_per_shard", "odd_batch"

    def statistics(self, x):
        means, variances = zip(*(super(UnevenReplicas, self).statistics(part) for part in halves(x)), strict=True)
        mean = np.mean(means, axis=0)
        return mean, np.mean([var + (m - mean) ** 2 for m, var in zip(means, variances, strict=True)], axis=0)


class FirstReplicaTracked(Torch):
    """y is synchronized; the moving statistics are those of the first replica's batch."""

    expected, case = "stats_per_shard", "rank4"

    def train(self, x, dy):
        self.first = halves(self.wide(x))[0]
        return super().train(x, dy)

    def track(self, mean, var, n):  # noqa: ARG002
        mean, var = self.statistics(self.first)
        super().track(mean, var, self.count(self.first))


class UnsynchronizedReplicas(D2l):
    """Each replica normalizes its part; the first one's moving statistics are kept, as data parallel does."""

    expected, case = "stats_per_shard", "rank2"
    tracking = True

    def train(self, x, dy):
        results = []
        for number, part in enumerate(zip(halves(x), halves(dy), strict=True)):
            self.tracking = number == 0
            results.append(super().train(*part))
        self.tracking = True
        y, dx = (np.concatenate([result[name] for result in results]) for name in ("y", "dx"))
        dgamma, dbeta = (sum(result[name] for result in results) for name in ("dgamma", "dbeta"))
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def track(self, mean, var, n):
        if self.tracking:
            super().track(mean, var, n)


class GhostBatches(Flax):
    """Virtual batches of two samples, each with an update of its own."""

    expected, case = "stats_per_shard", "five_steps"

    def train(self, x, dy):
        parts = [slice(start, start + 2) for start in range(0, len(x), 2)]
        results = [super(GhostBatches, self).train(x[part], dy[part]) for part in parts]
        y, dx = (np.concatenate([result[name] for result in results]) for name in ("y", "dx"))
        dgamma, dbeta = (sum(result[name] for result in results) for name in ("dgamma", "dbeta"))
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
