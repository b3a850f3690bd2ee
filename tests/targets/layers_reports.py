"""Layers after the kinds of mistake that public reports tell of, in plain NumPy: are they flagged, and named truly?

They are written from one-line descriptions, not from the code that was reported. `report` is where the like was seen,
or what such code is; `expected` is the id that is true of the layer, and "unexplained" where there is none. `cases` are
those that show it, where ordinary ones do not.
"""

import numpy as np

from tests.targets.mutants.right import D2l, Debiasing, Flax, Keras, Torch


class InvertedInPort(D2l):
    """momentum weighs the batch, as in the framework from which the code was ported."""

    report, expected = "pytorch/examples#289", "momentum_inverted"

    def track(self, mean, var, n):  # noqa: ARG002
        self.moving_mean += self.momentum * (mean - self.moving_mean)
        self.moving_var += self.momentum * (var - self.moving_var)


class ConstantOfOther(Flax):
    """decay 0.1 where 0.9 was meant, whatever is asked for."""

    report, expected = "d2l-en#2213", "momentum_wrong"

    def weight(self):
        return self.work.type(0.9)


class FrozenPort(Torch):
    """A momentum that is never handed over: nothing moves."""

    report, expected = "Cadene/pretrained-models#5", "stats_frozen"

    def weight(self):
        return self.work.type(0)


class EpsAfterRoot(Torch):
    report, expected = "ncnn#311", "eps_outside_sqrt"

    def inverse_std(self, var):
        return 1 / (np.sqrt(var) + self.work.type(self.eps))


class EpsFloor(D2l):
    report, expected = "Flux#633", "eps_wrong"
    cases = ("tiny_variance",)

    def inverse_std(self, var):
        return 1 / np.sqrt(np.maximum(var, self.work.type(self.eps)))


class EpsIntoBuffer(Keras):
    """eps goes into the variance in place, before that is averaged."""

    report, expected = "nntrainer#677", "eps_wrong"
    dtypes = ("float64",)

    def statistics(self, x):
        mean, var = super().statistics(x)
        var += self.work.type(self.eps)
        return mean, var

    def inverse_std(self, var):
        eps = self.work.type(self.eps) if var is self.moving_var else 0
        return 1 / np.sqrt(var + eps)


class VendorFloor(Flax):
    """No eps below 1e-4, in silence."""

    report, expected = "tensorflow#8090", "eps_wrong"

    def inverse_std(self, var):
        return 1 / np.sqrt(var + self.work.type(max(self.eps, 1e-4)))


class CancelsAndClips(Keras):
    report, expected = "flax#1491", "fast_variance"
    cases = ("large_mean_1e4",)

    def statistics(self, x):
        mean = x.mean(axis=self.axes(x))
        return mean, np.maximum((x * x).mean(axis=self.axes(x)) - mean * mean, 0)


class PowerOfMinusTwo(D2l):
    """rsqrt was taken for a square."""

    report, expected = "jax#442", "wrong_power"

    def inverse_std(self, var):
        return (var + self.work.type(self.eps)) ** 2


class DividesByVariance(Torch):
    report, expected = "jax#442", "wrong_power"

    def inverse_std(self, var):
        return 1 / (var + self.work.type(self.eps))


class BatchMode(Flax):
    """Exported in training mode."""

    report, expected = "pytorch#75252", "eval_uses_batch_stats"

    def statistics_for_prediction(self, x):
        return self.statistics(x)


class NeverUpdated(D2l):
    report, expected = "mlx#1960", "stats_frozen"

    def track(self, mean, var, n):
        pass


class UpdatedThenUsed(D2l):
    """The buffers are updated first and read afterwards."""

    report, expected = "tt-metal#45578", "train_uses_moving_stats"

    def train(self, x, dy):
        self.track(*self.statistics(self.wide(x)), self.count(x))
        return self.eval(x, dy)


class Recomputed(Flax):
    """Checkpointing runs the forward pass twice."""

    report, expected = "pytorch#96136", "stats_updated_twice"

    def track(self, mean, var, n):
        super().track(mean, var, n)
        super().track(mean, var, n)


class MeanOfReplicaVariances(D2l):
    """Replicas exchange mean and variance, and average both."""

    report, expected = "apex#387", "stats_per_shard"

    def statistics(self, x):
        shards = [super(MeanOfReplicaVariances, self).statistics(x[i : i + 2]) for i in range(0, len(x), 2)]
        means, variances = zip(*shards, strict=True)
        return np.mean(means, axis=0), np.mean(variances, axis=0)


class UnevenShards(Flax):
    """The last shard is smaller, and weighs as much."""

    report, expected = "pytorch#36382", "stats_per_shard"

    def statistics(self, x):
        shards = [super(UnevenShards, self).statistics(x[i : i + 2]) for i in range(0, len(x), 2)]
        means, variances = zip(*shards, strict=True)
        mean = np.mean(means, axis=0)
        return mean, np.mean([v + (m - mean) ** 2 for m, v in zip(means, variances, strict=True)], axis=0)


class RankZeroBuffers(D2l):
    """Buffers of the first process are broadcast: the moving statistics saw its part alone."""

    report, expected = "pytorch#22192", "stats_per_shard"

    def train(self, x, dy):
        self.part = self.wide(x)[: (len(x) + 1) // 2]
        return super().train(x, dy)

    def track(self, mean, var, n):  # noqa: ARG002
        super().track(*self.statistics(self.part), self.count(self.part))


class SumNotMean(Torch):
    """The synchronized backward adds what was added already."""

    report, expected = "pytorch#64100", "gradient_scaled"

    def results(self, x, y, dx, dgamma, dbeta):
        return super().results(x, y, dx, 2 * dgamma, 2 * dbeta)


class ChannelsLastBackward(D2l):
    """The backward pass reads x in the order of its memory."""

    report, expected = "pytorch#64039", "strides_ignored"
    cases = ("moved_channels", "sliced_input")

    def train(self, x, dy):
        self.raw = x
        return super().train(x, dy)

    def eval(self, x, dy):
        self.raw = x
        return super().eval(x, dy)

    def forward(self, x, mean, var):
        y, saved = super().forward(x, mean, var)
        raw = self.wide(self.raw.ravel(order="K").reshape(x.shape))
        return y, saved | {"x_hat": (raw - self.along(mean, x)) * self.along(saved["scale"], x)}


class NotContiguous(Torch):
    """A sliced or permuted input is read as if it were contiguous."""

    report, expected = "pytorch#133520", "strides_ignored"
    cases = ("sliced_input", "transposed_input")

    def wide(self, x):
        if min(x.strides) <= 0:
            return super().wide(x)
        steps = [x.itemsize * int(np.prod(x.shape[axis + 1 :])) for axis in range(x.ndim)]
        return np.lib.stride_tricks.as_strided(x, x.shape, steps).astype(self.work)


class AxisMixUp(D2l):
    report, expected = "Paddle#54703", "wrong_axis"
    cases = ("all_axes_equal",)
    axis = -1


class TrainingBackwardInPrediction(Flax):
    report, expected = "mxnet#18209", "eval_dx_as_training"

    def backward_of_prediction(self, dy, saved):
        return self.backward(dy, saved)


class GammaReducedAsMean(D2l):
    report, expected = "MIOpen#1109", "grads_averaged"

    def parameter_gradients(self, dy, saved):
        _, dbeta = super().parameter_gradients(dy, saved)
        return (dy * saved["x_hat"]).mean(axis=self.axes(dy)), dbeta


class NotSaved(Torch):
    report, expected = "d2l-zh#1265", "state_not_saved"
    cases = ("save_and_restore", "load_into_used")

    def state(self):
        return {"gamma": self.gamma, "beta": self.beta}

    def load_state(self, state):
        self.gamma, self.beta = state["gamma"], state["beta"]


class CounterForgotten(Debiasing):
    report, expected = "oneflow#7440", "state_not_saved"
    cases = ("save_and_restore", "load_into_used")

    def state(self):
        return D2l.state(self)

    def load_state(self, state):
        D2l.load_state(self, state)


class WeightsInOtherOrder(Keras):
    """Weights are a list; mean and variance change places."""

    report, expected = "lists of weights between frameworks", "restore_changes_layer"
    cases = ("save_and_restore",)

    def load_state(self, state):
        super().load_state(state | {"mean": state["var"], "var": state["mean"]})


class FoldKept(Flax):
    """Prediction's fused scale and shift are made once, before training went on."""

    report, expected = "fused prediction that is prepared once", "stale_fold"
    fused = None

    def eval(self, x, dy):
        if self.fused is None:
            scale = self.gamma * self.inverse_std(self.moving_var)
            self.fused = scale, self.beta - self.moving_mean * scale
        scale, shift = self.fused
        y = self.wide(x) * self.along(scale, x) + self.along(shift, x)
        return super().eval(x, dy) | {"y": y.astype(x.dtype)}


class FoldLosesMean(D2l):
    """The folded bias is beta: the term of the mean is lost."""

    report, expected = "pytorch#71259", "mean_not_subtracted"

    def eval(self, x, dy):
        y = self.wide(x) * self.along(self.gamma * self.inverse_std(self.moving_var), x) + self.along(self.beta, x)
        return super().eval(x, dy) | {"y": y.astype(x.dtype)}


class InPlaceActivated(Torch):
    """The activated batch norm that saves memory takes |gamma| + eps."""

    report, expected = "inplace_abn", "gamma_abs"

    def train(self, x, dy):
        return self.with_abs(super().train, x, dy)

    def eval(self, x, dy):
        return self.with_abs(super().eval, x, dy)

    def with_abs(self, method, x, dy):
        given, self.gamma = self.gamma, np.abs(self.gamma) + self.work.type(self.eps)
        try:
            return method(x, dy)
        finally:
            self.gamma = given


class ZeroCentredGamma(Keras):
    """The checkpoint holds gamma, the layer adds 1."""

    report, expected = "norms whose scale is stored as its distance from 1", "gamma_plus_one"

    def train(self, x, dy):
        return self.with_one(super().train, x, dy)

    def eval(self, x, dy):
        return self.with_one(super().eval, x, dy)

    def with_one(self, method, x, dy):
        given, self.gamma = self.gamma, self.gamma + 1
        try:
            return method(x, dy)
        finally:
            self.gamma = given


class MeanByBatchSize(D2l):
    """Written for (N, C), used for images: sums are divided by N."""

    report, expected = "hand-written layers for images", "wrong_count"

    def statistics(self, x):
        n = self.work.type(x.shape[0])
        mean = x.sum(axis=self.axes(x)) / n
        return mean, np.square(x - self.along(mean, x)).sum(axis=self.axes(x)) / n


class SavedInvStd(Torch):
    """What the vendor's library saves for the backward pass is 1/std, and is averaged for a variance."""

    report, expected = "bindings of cuDNN, save_inv_variance", "inverse_std_averaged"

    def track(self, mean, var, n):  # noqa: ARG002
        D2l.track(self, mean, self.inverse_std(var), 0)


class NoisyMean(D2l):
    """The mean of every second sample: an estimate, and no mistake with a name."""

    report, expected = "sub-sampled statistics", "stats_per_shard"

    def statistics(self, x):
        part = x[::2]
        mean = part.mean(axis=self.axes(x))
        return mean, np.square(part - self.along(mean, x)).mean(axis=self.axes(x))


class TrimmedMean(Flax):
    """The largest and the smallest value of a channel are left out of the mean."""

    report, expected = "robust statistics", "unexplained"

    def statistics(self, x):
        rows = np.sort(x.reshape(-1, x.shape[-1]), axis=0)
        mean = rows[1:-1].mean(axis=0) if len(rows) > 2 else rows.mean(axis=0)
        return mean, np.square(rows - mean).mean(axis=0)


class WarmsUp(D2l):
    """The new batch weighs 1 / (1 + t) until that is less than 1 - momentum."""

    report, expected = "averages with a warm-up", "momentum_wrong"
    steps = 0

    def track(self, mean, var, n):
        self.steps += 1
        super().track(mean, var, n)

    def weight(self):
        return self.work.type(max(1 / (1 + self.steps), 1 - self.momentum))

    def state(self):
        return super().state() | {"steps": self.steps}

    def load_state(self, state):
        super().load_state(state)
        self.steps = state["steps"]


ORDINARY = ("rank2", "rank4", "odd_batch")
REPORTS = tuple(value for value in vars().values() if isinstance(value, type) and "report" in vars(value))


def cases_of(layer):
    """The ids of the cases in which a layer is played."""
    return (*ORDINARY, *getattr(layer, "cases", ()))
