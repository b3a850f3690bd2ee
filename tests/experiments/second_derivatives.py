"""An attack on the bounds of forward mode and second derivatives: honest algorithms on random and contrived channels.

    python -m tests.experiments.second_derivatives [seconds] [random seed]

prints the greatest error/bound of each algorithm and observable, and in which share of ordinary channels the bound
proves something. No ratio may exceed 1.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from harness.judge.judge import conclusive
from harness.judge.oracle import OracleLayer, oracle_dtype
from reference.conventions import PRESETS, Conventions
from reference.error_bounds import precision_of
from reference.oracle_error import OracleError, unit_of
from reference.second_derivative_bounds import DirectionRows, Point, train_derivative_bounds
from reference.second_derivatives import TwiceDifferentiable

NAMES = ("ty", "ddy", "dx2", "dgamma2")
SIZES = (2, 3, 4, 7, 24, 24, 60, 200, 777)
CHANNELS = 64
Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """One batch and its directions: x, dy, ddx (n, C), the rest (C,)."""

    x: np.ndarray
    dy: np.ndarray
    ddx: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    ddgamma: np.ndarray
    ddbeta: np.ndarray
    eps: float
    eps_at: str
    ordinary: np.ndarray
    """(C,): channels of plain normal data."""

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return (self.x, self.dy, self.ddx, self.gamma, self.beta, self.ddgamma, self.ddbeta)


def problem(rng: np.random.Generator, dtype: str, eps_at: str) -> Problem:
    n = int(rng.choice(SIZES))
    x, dy, ddx = np.empty((3, n, CHANNELS))
    ordinary = np.zeros(CHANNELS, bool)
    for channel in range(CHANNELS):
        ordinary[channel] = plain = channel % 4 == 0
        x[:, channel] = rng.uniform(0.5, 2) * (rng.standard_normal(n) + 1) if plain else contrived_x(rng, n)
        centred = x[:, channel] - x[:, channel].mean()
        for rows in (dy, ddx):
            rows[:, channel] = rng.standard_normal(n) + 0.25 if plain else contrived_rows(rng, centred)
    gamma, beta, ddgamma, ddbeta = rng.standard_normal((4, CHANNELS))
    gamma = gamma * 10.0 ** rng.integers(-2, 3, CHANNELS)
    ddgamma[rng.random(CHANNELS) < 0.5] = 0  # so that its term does not hide the others
    eps = float(rng.choice([1e-5, 1e-5, 1e-3, 1.0, 1e-12]))
    cast = [np.asarray(a, dtype) for a in (x, dy, ddx, gamma, beta, ddgamma, ddbeta)]
    return Problem(*cast, eps, eps_at, ordinary)


def contrived_x(rng: np.random.Generator, n: int) -> np.ndarray:
    std, ratio = 10.0 ** rng.uniform(-6, 4), 10.0 ** rng.uniform(-2, 5)
    shape = rng.integers(6)
    if shape == 0:
        rows = rng.standard_normal(n)
    elif shape == 1:
        rows = np.resize([1.0, -1.0], n)
    elif shape == 2:
        rows = np.linspace(-1, 1, n)
    elif shape == 3:
        rows = 0.01 * rng.standard_normal(n)
        rows[rng.integers(n)] = 10.0 ** rng.uniform(0, 4)
    elif shape == 4:
        rows = rng.integers(-2, 3, n).astype(float)
    else:
        rows = 2.0 ** rng.uniform(-20, 0, n) * rng.choice([-1, 1], n)
    return std * (rows + ratio * rng.choice([-1, 0, 1]))


def contrived_rows(rng: np.random.Generator, centred: np.ndarray) -> np.ndarray:
    """A gradient or direction: also one that cancels in a mean, along x, or against it."""
    n, scale = len(centred), 10.0 ** rng.uniform(-4, 4)
    size = np.sqrt((centred**2).mean()) or 1.0
    x_hat, noise, shape = centred / size, rng.standard_normal(n), rng.integers(7)
    if shape == 0:
        rows = noise + 10.0 ** rng.uniform(-2, 5) * rng.choice([-1, 1])
    elif shape == 1:
        rows = x_hat * rng.choice([-1, 1]) + 10.0 ** rng.uniform(-6, 0) * noise
    elif shape == 2:
        rows = noise - noise.mean() - x_hat * (noise * x_hat).mean()
    elif shape == 3:
        rows = np.where(rng.random(n) < 0.2, noise, 0)
    elif shape == 4:
        rows = np.ones(n)
    elif shape == 5:
        rows = noise * 10.0 ** rng.uniform(-4, 4, n)
    else:
        rows = x_hat**2 + noise * 10.0 ** rng.uniform(-6, 0)
    return scale * rows


# --- honest algorithms ---


def conventions_of(problem: Problem) -> Conventions:
    from dataclasses import replace

    return replace(PRESETS["d2l"], eps_at=problem.eps_at, single_value="zero")


def by_numpy(problem: Problem) -> Values:
    return _by_layer(TwiceDifferentiable, problem, problem.x.dtype)


def _by_layer(kind: type[TwiceDifferentiable], problem: Problem, dtype: np.dtype) -> Values:
    layer = kind(problem.x.shape[1], problem.eps, 0.9, conventions_of(problem), dtype)
    x, dy, ddx, layer.gamma, layer.beta, ddgamma, ddbeta = (a.astype(dtype) for a in problem.arrays)
    dx2, ddy, dgamma2 = layer.train_double(x, dy, ddx, ddgamma, ddbeta)
    return {"ty": layer.train_jvp(x, ddx, ddgamma, ddbeta), "dx2": dx2, "ddy": ddy, "dgamma2": dgamma2}


def torch_twice(forward: Callable) -> Callable[[Problem], Values]:
    """autograd.grad of autograd.grad, and the double-backward trick for ty."""
    import torch

    def run(problem: Problem) -> Values:
        x, dy, ddx, gamma, beta, ddgamma, ddbeta = (torch.tensor(a) for a in problem.arrays)
        inputs = [a.requires_grad_() for a in (x, gamma, beta)]
        dy.requires_grad_()
        y = forward(problem, *inputs)
        first = torch.autograd.grad(y, inputs, dy, create_graph=True)
        second = torch.autograd.grad(first, (x, dy, gamma), (ddx, ddgamma, ddbeta))
        return dict(zip(("dx2", "ddy", "dgamma2"), (a.numpy() for a in second), strict=True))

    return run


def torch_func(forward: Callable) -> Callable[[Problem], Values]:
    """Forward mode, and forward over reverse."""
    import torch

    def run(problem: Problem) -> Values:
        x, dy, ddx, gamma, beta, ddgamma, ddbeta = (torch.tensor(a) for a in problem.arrays)

        def y_of(*inputs):
            return forward(problem, *inputs)

        def gradients(*inputs):
            return torch.func.vjp(y_of, *inputs)[1](dy)

        ways = (ddx, ddgamma, ddbeta)
        ty = torch.func.jvp(y_of, (x, gamma, beta), ways)[1]
        dx2, dgamma2, _ = torch.func.jvp(gradients, (x, gamma, beta), ways)[1]
        return {"ty": ty.numpy(), "dx2": dx2.numpy(), "dgamma2": dgamma2.numpy()}

    return run


def torch_plain(problem, x, gamma, beta):
    from impls.pytorch.batch_norm import plain_batch_norm

    zeros = gamma.detach() * 0
    return plain_batch_norm(
        x, gamma, beta, zeros, zeros, problem.eps, 0.9, training=True, conventions=conventions_of(problem)
    )[0]


def torch_native(problem, x, gamma, beta):
    from torch.nn.functional import batch_norm

    return batch_norm(x, None, None, gamma, beta, training=True, eps=problem.eps)


def torch_ours(problem, x, gamma, beta):
    from impls.pytorch.fast_batch_norm import normalize_by_batch

    return normalize_by_batch(x, gamma, beta, problem.eps, conventions_of(problem))[0]


def jax_plain(problem, x, gamma, beta):
    from impls.jax_flax.batch_norm import plain_batch_norm

    return plain_batch_norm(
        x, gamma, beta, 0 * gamma, 0 * beta, problem.eps, 0.9, training=True, conventions=conventions_of(problem)
    )[0]


def jax_ours(problem, x, gamma, beta):
    from impls.jax_flax.batch_norm import batch_norm

    return batch_norm(
        x, gamma, beta, 0 * gamma, 0 * beta, problem.eps, 0.9, training=True, conventions=conventions_of(problem)
    )[0]


def jax_way(forward: Callable, way: str, compiled: bool = True) -> Callable[[Problem], Values]:
    """way: "jvp of vjp", "vjp of jvp" or "vjp of vjp"."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def run(problem: Problem) -> Values:
        def computed(x, dy, ddx, gamma, beta, ddgamma, ddbeta):
            def y_of(*inputs):
                return forward(problem, *inputs)

            def gradients(dy, *inputs):
                return jax.vjp(y_of, *inputs)[1](dy)

            point, ways = (x, gamma, beta), (ddx, ddgamma, ddbeta)
            _, ty = jax.jvp(y_of, point, ways)
            if way == "jvp of vjp":
                dx2, dgamma2, _ = jax.jvp(lambda *inputs: gradients(dy, *inputs), point, ways)[1]
                return {"ty": ty, "dx2": dx2, "dgamma2": dgamma2}
            if way == "vjp of jvp":
                _, back = jax.vjp(lambda *inputs: jax.jvp(y_of, inputs, ways)[1], *point)
                dx2, dgamma2, _ = back(dy)
                return {"ty": ty, "dx2": dx2, "dgamma2": dgamma2}
            _, back = jax.vjp(gradients, dy, *point)
            ddy, dx2, dgamma2, _ = back(ways)
            return {"ddy": ddy, "dx2": dx2, "dgamma2": dgamma2}

        function = jax.jit(computed) if compiled else computed
        return {name: np.asarray(value) for name, value in function(*map(jnp.asarray, problem.arrays)).items()}

    return run


def algorithms(eps_at: str, ours: bool) -> dict[str, Callable[[Problem], Values]]:
    found = {
        "NumPy closed form": by_numpy,
        "torch twice through the plain formula": torch_twice(torch_plain),
        "torch.func, plain formula": torch_func(torch_plain),
        "JAX jvp of vjp, plain": jax_way(jax_plain, "jvp of vjp", compiled=False),
        "JAX vjp of jvp, plain": jax_way(jax_plain, "vjp of jvp", compiled=False),
        "JAX vjp of vjp, plain, compiled": jax_way(jax_plain, "vjp of vjp"),
    }
    if eps_at == "inside_sqrt":
        found["torch.nn.functional.batch_norm twice"] = torch_twice(torch_native)
    if ours:
        found["our torch twice"] = torch_twice(torch_ours)
        found["our torch by torch.func"] = torch_func(torch_ours)
        found["our JAX jvp of vjp"] = jax_way(jax_ours, "jvp of vjp", compiled=False)
        found["our JAX vjp of jvp"] = jax_way(jax_ours, "vjp of jvp", compiled=False)
        found["our JAX vjp of vjp, compiled"] = jax_way(jax_ours, "vjp of vjp")
    return found


# --- measuring ---


def bounds_of(problem: Problem, dtype: str) -> tuple[Values, Values]:
    """(what is expected, the bounds with the oracle's own error)."""
    wide = oracle_dtype(dtype)
    expected = _by_layer(OracleLayer, problem, wide)
    x, dy, ddx, gamma, beta, ddgamma, ddbeta = (a.astype(wide) for a in problem.arrays)
    precision = precision_of(dtype)
    point = Point(x, dy, gamma, beta, problem.eps, problem.eps_at)
    bounds = train_derivative_bounds(point, DirectionRows(ddx, ddgamma, ddbeta), precision)
    var = np.asarray(((x - x.mean(axis=0)) ** 2).mean(axis=0), np.float64)
    shares = OracleError(unit_of(wide), precision, len(x)).with_scale(var, bounds["var"], problem.eps, problem.eps_at)
    return expected, {name: bounds[name] + shares.added(bounds[name]) for name in NAMES}


def ratios(got: Values, expected: Values, bounds: Values) -> Iterator[tuple[str, float, int]]:
    """(observable, greatest error/bound, channel)."""
    for name, value in got.items():
        with np.errstate(all="ignore"):
            error = np.abs(value.astype(expected[name].dtype) - expected[name]).astype(np.float64)
            ratio = np.where(error == 0, 0.0, error / bounds[name])
        usable = np.isfinite(bounds[name]) & np.isfinite(expected[name].astype(np.float64))
        ratio = np.where(usable, np.where(np.isnan(ratio), np.inf, ratio), 0.0)
        per_channel = ratio.max(axis=0) if ratio.ndim > 1 else ratio
        yield name, float(ratio.max()), int(per_channel.argmax())


def attack(seconds: float, seed: int, ours: bool = True) -> dict[tuple[str, str, str], float]:
    rng = np.random.default_rng(seed)
    worst: dict[tuple[str, str, str], float] = {}
    proving: dict[tuple[str, str], list[float]] = {}
    made = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for eps_at in ("inside_sqrt", "outside_sqrt"):
            for dtype in ("float32", "float64"):
                given = problem(rng, dtype, eps_at)
                with np.errstate(all="ignore"):
                    expected, bounds = bounds_of(given, dtype)
                made += CHANNELS
                for name in NAMES:
                    proves = conclusive(bounds[name], expected[name], precision_of(dtype).work)
                    proving.setdefault((dtype, name), []).append(float(proves[..., given.ordinary].mean()))
                for algorithm, run in algorithms(eps_at, ours).items():
                    with np.errstate(all="ignore"):
                        got = run(given)
                    for name, ratio, channel in ratios(got, expected, bounds):
                        key = (algorithm, dtype, name)
                        worst[key] = max(worst.get(key, 0.0), ratio)
                        if ratio > 1:
                            print("BEYOND", key, eps_at, ratio, "n", len(given.x), "eps", given.eps, channel)
                            print("   x", given.x[:, channel][:8], "dy", given.dy[:, channel][:8])
                            print("   ddx", given.ddx[:, channel][:8], given.gamma[channel], given.ddgamma[channel])
    print(f"{made} channels, seed {seed}")
    for algorithm in dict.fromkeys(key[0] for key in worst):
        for dtype in ("float32", "float64"):
            row = "  ".join(f"{name} {worst.get((algorithm, dtype, name), np.nan):.3f}" for name in NAMES)
            print(f"{algorithm:42s} {dtype}  {row}")
    for key, shares in sorted(proving.items()):
        print("proves something in ordinary channels:", *key, f"{np.mean(shares):.3f}")
    return worst


if __name__ == "__main__":
    attack(*(float(a) for a in sys.argv[1:2]), *(int(a) for a in sys.argv[2:3] or [0]))
