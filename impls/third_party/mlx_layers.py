"""mlx.nn.BatchNorm on the CPU."""

import contextlib

import mlx.core as mx
import mlx.nn as nn
import numpy as np

mx.set_default_device(mx.cpu)


class MlxBatchNorm:
    conventions = {"preset": "torch", "channel_axis": -1}
    dtypes = ("float64", "float32", "bfloat16", "float16")
    ranks = (2, 3, 4)
    options = ("no_gamma", "no_beta", "no_statistics")

    def __init__(self, setup):
        given = {name: value for name in ("eps", "momentum") if (value := getattr(setup, name)) is not None}
        if (setup.gamma is None) != (setup.beta is None):
            raise NotImplementedError("mlx.nn.BatchNorm has scale and shift, or none of them")
        given |= {"affine": setup.gamma is not None, "track_running_stats": setup.moving_mean is not None}
        self.layer = nn.BatchNorm(setup.num_features, **given)
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
        self.names = {theirs: ours for theirs, ours in names.items() if getattr(setup, ours) is not None}
        for theirs, ours in self.names.items():
            setattr(self.layer, theirs, array(getattr(setup, ours)))

    def train(self, x, dy):
        self.layer.train()
        return self._step(array(x), array(dy))

    def eval(self, x, dy):
        self.layer.eval()
        return self._step(array(x), array(dy))

    def frozen(self, x, dy):
        """In a model that trains, put into `eval()` after the model's `train()`."""
        nn.Sequential(self.layer).train()
        return self.eval(x, dy)

    def train_jvp(self, x, *tangents):
        self.layer.train()
        return self._tangent(array(x), tangents)

    def eval_jvp(self, x, *tangents):
        self.layer.eval()
        return self._tangent(array(x), tangents)

    def train_double(self, x, dy, *directions):
        self.layer.train()
        return self._twice(array(x), array(dy), directions)

    def eval_double(self, x, dy, *directions):
        self.layer.eval()
        return self._twice(array(x), array(dy), directions)

    def _step(self, x, dy):
        parameters = {f"d{self.names[theirs]}": theirs for theirs in ("weight", "bias") if theirs in self.names}
        with self._held() as held:
            (y,), gradients = mx.vjp(self._forward, [x, *(held[theirs] for theirs in parameters.values())], [dy])
        self.layer(x)
        return {n: numpy(a) for n, a in zip(("y", "dx", *parameters), (y, *gradients), strict=True)}

    def _tangent(self, x, tangents):
        with self._held() as held:
            _, (ty,) = mx.jvp(self._forward, [x, held["weight"], held["bias"]], [*map(array, tangents)])
        return {"ty": numpy(ty)}

    def _twice(self, x, dy, directions):
        def gradients(dy, *point):
            return mx.vjp(self._forward, [*point], [dy])[1]

        with self._held() as held:
            point = [dy, x, held["weight"], held["bias"]]
            ddy, dx2, dgamma2, _ = mx.vjp(gradients, point, [*map(array, directions)])[1]
        return {name: numpy(a) for name, a in {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2}.items()}

    def _forward(self, x, *values):
        for theirs, value in zip([name for name in ("weight", "bias") if name in self.names], values, strict=True):
            setattr(self.layer, theirs, value)
        return self.layer(x).astype(x.dtype)  # float32 parameters make float32 of a 16-bit y

    @contextlib.contextmanager
    def _held(self):
        """The layer's arrays, which are put back: what is traced is not kept."""
        held = {theirs: getattr(self.layer, theirs) for theirs in self.names}
        try:
            yield held
        finally:
            for theirs, value in held.items():
                setattr(self.layer, theirs, value)

    def stats(self):
        moved = {ours: theirs for theirs, ours in self.names.items() if theirs.startswith("running")}
        return {ours: np.array(getattr(self.layer, theirs)) for ours, theirs in moved.items()}


def numpy(values):
    if values.dtype == mx.bfloat16:
        import ml_dtypes

        return np.array(values.astype(mx.float32)).astype(ml_dtypes.bfloat16)
    return np.array(values)


def array(values):
    """In their own dtype: left to itself, mlx takes float64 for float32."""
    return mx.array(values, dtype=getattr(mx, values.dtype.name))
