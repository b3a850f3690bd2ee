"""Statistics of parts of the batch in place of those of the whole: unsynchronized replicas, ghost batches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from harness.judge.oracle import OracleLayer
from reference.batch_norm import from_rows, to_rows

Split = Callable[[int], list[int]]
"""From the number of samples to where the parts begin and where the last one ends."""


def into(count: int) -> Split:
    """`count` parts of nearly the same size, the first ones larger; fewer if there are fewer samples."""

    def split(samples: int) -> list[int]:
        sizes = [len(part) for part in np.array_split(np.arange(samples), count)]
        return [0, *np.cumsum([size for size in sizes if size]).tolist()]

    return split


def in_half(samples: int) -> list[int]:
    """Two parts, the second one larger where they differ."""
    return [0, samples // 2, samples] if samples > 1 else [0, samples]


def of(size: int) -> Split:
    """Parts of `size` samples; the last one may be smaller."""
    return lambda samples: [*range(0, samples, size), samples]


class _Sharded(OracleLayer):
    alone = True
    split: Split = staticmethod(into(2))
    samples = 1

    def play(self, step):
        self.samples = 1 if step.x is None else max(1, step.x.shape[0])
        return super().play(step)

    def shards(self, rows):
        """Rows (n, C) by part; the rows of one sample follow each other."""
        of_sample = len(rows) // self.samples
        return [rows[a * of_sample : b * of_sample] for a, b in pairwise(self.split(self.samples))]

    def of_shards(self, rows):
        """(sizes, means, variances) of the parts: (parts, 1), (parts, C), (parts, C)."""
        shards = self.shards(rows)
        means, variances = zip(*(OracleLayer.batch_statistics(self, shard) for shard in shards), strict=True)
        return np.array([[len(shard)] for shard in shards]), np.stack(means), np.stack(variances)


class MeanOfVariances(_Sharded):
    """The variance is the mean of the parts' variances, by their sizes; the mean is right."""

    def batch_statistics(self, x):
        sizes, _, variances = self.of_shards(x)
        return x.mean(axis=0), (sizes * variances).sum(axis=0) / len(x)


class MeanOfVariancesAutodiff(MeanOfVariances):
    """As above, with its own gradient: each value's deviation from the mean of its part."""

    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        within = np.concatenate([shard - shard.mean(axis=0) for shard in self.shards(x) if len(shard)])
        return y, cache | {"within": within * cache["scale"]}

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        n = len(to_rows(dy, 1))
        off = (cache["x_hat"] - cache["within"]) * (self.variance_slope(cache["var"], cache["scale"]) * dgamma / n)
        return dx + from_rows(self.gamma * cache["scale"] * off, dy.shape, 1), dgamma, dbeta


class MeanOfVariancesOfLanes(MeanOfVariances):
    """The parts are lanes: every `lanes`-th value of a channel, as a vector register adds them up."""

    lanes = 4

    def shards(self, rows):
        return [rows[start :: self.lanes] for start in range(min(self.lanes, len(rows)))]


class MeanOfVariancesOfRuns(MeanOfVariances):
    """The parts are runs of values, as threads take them, wherever a sample ends."""

    runs = 2

    def shards(self, rows):
        return [run for run in np.array_split(rows, self.runs) if len(run)]


class PlainMeanOfVariances(_Sharded):
    """Means and variances of the parts are averaged, a small part weighing as much as a large one."""

    def batch_statistics(self, x):
        _, means, variances = self.of_shards(x)
        return means.mean(axis=0), variances.mean(axis=0)


class Unweighted(_Sharded):
    """The parts' first and second moments are averaged, a small part weighing as much as a large one."""

    def batch_statistics(self, x):
        _, means, variances = self.of_shards(x)
        mean = means.mean(axis=0)
        return mean, (variances + (means - mean) ** 2).mean(axis=0)


class UnweightedAutodiff(Unweighted):
    """As above, with its own gradient: a value of a small part weighs more."""

    def train_backward(self, dy, cache):
        _, dgamma, dbeta = super().train_backward(dy, cache)
        rows, x_hat, scale = to_rows(dy, 1), cache["x_hat"], cache["scale"]
        shards = self.shards(rows)
        weights = np.concatenate([np.full((len(shard), 1), 1 / (len(shards) * max(1, len(shard)))) for shard in shards])
        through_var = self.variance_slope(cache["var"], scale) * dgamma * x_hat
        dx = self.gamma * scale * (rows - weights.astype(rows.dtype) * (dbeta + through_var))
        return from_rows(dx, dy.shape, 1), dgamma, dbeta


class FirstShardForAll(_Sharded):
    """The whole batch is normalized by the statistics of its first part."""

    def batch_statistics(self, x):
        return super().batch_statistics(self.shards(x)[0])


class EverySecondForAll(_Sharded):
    """The whole batch is normalized by the statistics of every second sample."""

    def batch_statistics(self, x):
        by_sample = x.reshape(self.samples, -1, x.shape[1])
        return super().batch_statistics(by_sample[::2].reshape(-1, x.shape[1]))


class _Tracked(_Sharded):
    """y is right; what is averaged comes from the parts."""

    to_track = None

    def of_parts(self, rows):
        """(mean, variance, n) to average."""
        raise NotImplementedError

    def train(self, x):
        rows = to_rows(x, 1)
        self.to_track = self.of_parts(rows) if len(rows) else None
        return super().train(x)

    def update(self, mean, var, n):
        super().update(*(self.to_track or (mean, var, n)))


class FirstShardTracked(_Tracked):
    """The moving statistics average those of the first part."""

    def of_parts(self, rows):
        first = self.shards(rows)[0]
        return *OracleLayer.batch_statistics(self, first), len(first)


class MeanOfVariancesTracked(_Tracked):
    """The moving variance averages the mean of the parts' variances."""

    def of_parts(self, rows):
        sizes, _, variances = self.of_shards(rows)
        return rows.mean(axis=0), (sizes * variances).sum(axis=0) / len(rows), len(rows)


class GhostBatches(_Sharded):
    """Each part is normalized by its own statistics, with its own gradient; the moving ones move part by part."""

    alike = False
    """Whether each part starts from the layer as it was before the step."""

    def train_step(self, x, dy):
        before, after, results = self._averages(), [], []
        for a, b in pairwise(self.split(len(x))):
            if self.alike:
                self._set_averages(before)
            results.append(super().train_step(x[a:b], dy[a:b]))
            after.append(self._averages())
        if self.alike:
            self._set_averages(self.combined(after))
        joined = {name: np.concatenate([result[name] for result in results]) for name in ("y", "dx")}
        return joined | {name: sum(result[name] for result in results) for name in ("dgamma", "dbeta")}

    def train_no_grad_step(self, x):
        return {"y": self.train_step(x, np.zeros_like(x))["y"]}

    def combined(self, after):
        return after[0]

    def _averages(self):
        return self.average_mean, self.average_var, self.updates

    def _set_averages(self, averages):
        self.average_mean, self.average_var, self.updates = averages


class FirstReplicaKept(GhostBatches):
    """Replicas normalize by their own statistics, and the first one's moving statistics are kept."""

    alike = True


class LastReplicaKept(FirstReplicaKept):
    def combined(self, after):
        return after[-1]


class ReplicasAveraged(FirstReplicaKept):
    """The replicas' moving statistics are averaged."""

    def combined(self, after):
        means, variances, updates = zip(*after, strict=True)
        return np.mean(means, axis=0), np.mean(variances, axis=0), updates[0]


class GhostBatchesTrackedRight(FirstReplicaKept):
    """y and gradients by part; the moving statistics average those of the whole batch."""

    def train_step(self, x, dy):
        before = self._averages()
        values = super().train_step(x, dy)
        self._set_averages(before)
        OracleLayer.train(self, x)
        return values


def split_by(split: Split, name: str, *kinds: type[_Sharded]) -> tuple[type[OracleLayer], ...]:
    """The mistakes `kinds` with parts of another size."""
    return tuple(type(f"{kind.__name__}{name}", (kind,), {"split": staticmethod(split)}) for kind in kinds)


KINDS = (
    MeanOfVariances,
    MeanOfVariancesAutodiff,
    PlainMeanOfVariances,
    Unweighted,
    UnweightedAutodiff,
    FirstShardForAll,
    FirstShardTracked,
    MeanOfVariancesTracked,
    GhostBatches,
    FirstReplicaKept,
    LastReplicaKept,
    ReplicasAveraged,
    GhostBatchesTrackedRight,
)
SHARDS: tuple[type[OracleLayer], ...] = (
    *KINDS,
    EverySecondForAll,
    *split_by(of(2), "OfTwo", *KINDS),
    *split_by(into(4), "IntoFour", *KINDS),
    *split_by(into(3), "IntoThree", Unweighted, UnweightedAutodiff, PlainMeanOfVariances),
    *split_by(in_half, "SecondLarger", MeanOfVariances, MeanOfVariancesAutodiff, MeanOfVariancesTracked),
    *(type(f"MeanOfVariancesOf{n}Lanes", (MeanOfVariancesOfLanes,), {"lanes": n}) for n in (2, 4, 8)),
    *(type(f"MeanOfVariancesOf{n}Runs", (MeanOfVariancesOfRuns,), {"runs": n}) for n in (2, 4)),
)
"""In two, in parts of two samples, in four; the unweighted ones in three, since four samples are no multiple of it; the
mean of variances also where parts are no samples."""
