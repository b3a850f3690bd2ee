"""tinygrad.nn.BatchNorm, whose mode is global. It compiles with clang."""

from tinygrad import Tensor, helpers, nn


def mode(training):
    """A context; releases before 0.14 had Tensor.train instead."""
    return helpers.Context(TRAINING=int(training)) if hasattr(helpers, "TRAINING") else Tensor.train(training)


HAS_GRADIENT = hasattr(Tensor, "gradient")
"""Releases before 0.10 had `backward` alone."""


class TinygradBatchNorm:
    conventions = {"preset": "torch"}
    dtypes = ("float64", "float32", "float16")  # whether it has bfloat16 hangs on the clang
    options = ("no_gamma", "no_beta", "no_statistics")

    def __init__(self, setup):
        given = {name: value for name in ("eps", "momentum") if (value := getattr(setup, name)) is not None}
        if (setup.gamma is None) != (setup.beta is None):
            raise NotImplementedError("tinygrad.nn.BatchNorm has scale and shift, or none of them")
        given |= {"affine": setup.gamma is not None, "track_running_stats": setup.moving_mean is not None}
        self.layer = nn.BatchNorm(setup.num_features, **given)
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
        self.names = {theirs: ours for theirs, ours in names.items() if getattr(setup, ours) is not None}
        for theirs, ours in self.names.items():
            setattr(self.layer, theirs, Tensor(getattr(setup, ours)).realize())

    def train(self, x, dy):
        return self._step(Tensor(x), Tensor(dy), True)

    def eval(self, x, dy):
        return self._step(Tensor(x), Tensor(dy), False)

    def _step(self, x, dy, training):
        held = {ours: getattr(self.layer, theirs) for theirs, ours in self.names.items()}
        parameters = {f"d{name}": held[name] for name in ("gamma", "beta") if name in held}
        inputs = (x, *parameters.values())
        with mode(training):
            watch(inputs)
            y = self.layer(x).cast(x.dtype)  # float32 parameters make float32 of a 16-bit y
            gradients = gradients_of((y * dy).sum(), inputs)
            moved = [getattr(self.layer, theirs) for theirs in self.names if theirs.startswith("running")]
            Tensor.realize(y, *gradients, *moved)
        return {name: a.numpy() for name, a in zip(("y", "dx", *parameters), (y, *gradients), strict=True)}

    def train_double(self, x, dy, *directions):
        return self._twice(Tensor(x), Tensor(dy), directions, True)

    def eval_double(self, x, dy, *directions):
        return self._twice(Tensor(x), Tensor(dy), directions, False)

    def _twice(self, x, dy, directions, training):
        if not HAS_GRADIENT:
            raise NotImplementedError("this tinygrad has no gradient of a gradient")
        gamma, beta = self.layer.weight, self.layer.bias
        with mode(training):
            first = (self.layer(x) * dy).sum().gradient(x, gamma, beta)
            along = sum(((a * Tensor(b)).sum() for a, b in zip(first, directions, strict=True)), Tensor(0.0))
            second = [a.numpy() for a in along.gradient(x, dy, gamma)]
        return dict(zip(("dx2", "ddy", "dgamma2"), second, strict=True))

    def stats(self):
        moved = {ours: theirs for theirs, ours in self.names.items() if theirs.startswith("running")}
        return {ours: getattr(self.layer, theirs).numpy() for ours, theirs in moved.items()}


def watch(inputs):
    if not HAS_GRADIENT:
        for held in inputs:
            held.requires_grad, held.grad = True, None


def gradients_of(loss, inputs):
    if HAS_GRADIENT:
        return loss.gradient(*inputs)
    loss.backward()
    return [held.grad for held in inputs]
