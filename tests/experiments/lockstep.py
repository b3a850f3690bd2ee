"""What `bnproof lockstep` allows: how far honest trainings get, and the smallest mistakes that are further out.

    python -m tests.experiments.lockstep [--seeds 10] [--steps 300] [--long 2350]

makes LOCKSTEP.md. Honest: the frameworks from the same start, as the command compares them. Mistaken: the readable
NumPy network with a layer that errs by so much, against the same network without, as `--bn` compares them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.train.distances import ALLOWED, TWO_MAY_DIFFER
from harness.train.fashion_mnist import FashionMnist, load
from harness.train.implementations import installed
from harness.train.lockstep import TWINS, Lockstep, lockstep
from harness.train.options import NO_LOCKSTEP_PROGRESS, LockstepOptions
from harness.train.results import LockstepRecord
from harness.train.target_norm import target_norm
from reference.batch_norm import BatchNorm
from tests.experiments.lesson import MISTAKES

OUT = Path(__file__).parent / "LOCKSTEP.md"
DTYPES = ("float32", "float64")
HONEST = "tests.targets.honest.sums"
LAYERS = {
    "torch": "ours in PyTorch",
    "jax": "ours in JAX",
    f"{HONEST}:Welford": "Welford's updates, value by value",
    f"{HONEST}:Lanes": "sums in a few lanes",
    f"{HONEST}:Sequential": "sums one by one",
}
SIZES = tuple(10.0**power for power in range(0, -16, -1))
STEPS_WITH_MISTAKE = 4
SEED_WITH_MISTAKE = 0


class OneSize(BatchNorm):
    """A layer that errs by `size`, one kind of mistake a subclass."""

    size = 0.0

    def scaled(self, value: np.ndarray) -> np.ndarray:
        return value * value.dtype.type(1 + self.size)


class Momentum(OneSize):
    """the momentum is smaller by it"""

    def weights(self):
        keep = self.average_mean.dtype.type(self.momentum - self.size)
        return keep, keep.dtype.type(1) - keep


class Eps(OneSize):
    """eps is greater by this share: 9 is ten times eps"""

    def inverse_std(self, var):
        return 1 / np.sqrt(var + var.dtype.type(self.eps * (1 + self.size)))


class MovingVariance(OneSize):
    """the moving variance averages what is greater by this share"""

    def update(self, mean, var, n):
        super().update(mean, self.scaled(var), n)


class NormalizedBy(OneSize):
    """y is divided by the root of a variance that is greater by this share"""

    def inverse_std(self, var):
        return super().inverse_std(self.scaled(var))


class Gradient(OneSize):
    """dgamma and dbeta are greater by this share"""

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        return dx, self.scaled(dgamma), self.scaled(dbeta)


class InputGradient(OneSize):
    """dx is greater by this share"""

    def train_backward(self, dy, cache):
        dx, dgamma, dbeta = super().train_backward(dy, cache)
        return self.scaled(dx), dgamma, dbeta


class Bessel(BatchNorm):
    """the moving variance is unbiased"""

    def __init__(self, *args, conventions, **further):
        super().__init__(*args, conventions=replace(conventions, moving_var="unbiased"), **further)


SIZED = (Momentum, Eps, MovingVariance, NormalizedBy, Gradient, InputGradient)


def of_size(mistake: type[OneSize], size: float) -> type[OneSize]:
    return type(mistake.__name__, (mistake,), {"size": size})


def shares(
    data: FashionMnist, norms: dict[str, Callable], dtype: str, steps: int, seed: int = SEED_WITH_MISTAKE
) -> dict[str, float]:
    """How much of what is allowed a network with each of `norms` takes at most, away from the plain one."""
    comparison = Lockstep(data, LockstepOptions((), steps, dtype, seed, bn="numpy"), NO_LOCKSTEP_PROGRESS)
    plain, with_target, *twins = comparison.runners
    mistaken = [type(plain)(**vars(with_target) | {"name": name, "further": {"norm": n}}) for name, n in norms.items()]
    comparison.runners = [plain, *mistaken, *twins]
    largest = dict.fromkeys(norms, 0.0)
    for record in comparison.run():
        if record.a == plain.name:
            largest[record.b] = max(largest[record.b], record.share)
    return largest


def smallest_caught(data: FashionMnist, mistake: type[OneSize], dtype: str) -> tuple[float, float]:
    """(the smallest of SIZES from which on every larger one is out, its share of what is allowed)."""
    found = shares(data, {str(size): of_size(mistake, size) for size in SIZES}, dtype, STEPS_WITH_MISTAKE)
    smallest = SIZES[0], found[str(SIZES[0])]
    for size in SIZES:
        if not found[str(size)] > 1:
            break
        smallest = size, found[str(size)]
    return smallest


def honest_row(data: FashionMnist, dtype: str, seed: int, steps: int) -> str:
    records = lockstep(data, LockstepOptions(installed(), steps, dtype, seed))
    return f"| {dtype} | {seed} | {max(r.steps for r in records):,} | {furthest(records)} |"


def furthest(records: Sequence[LockstepRecord]) -> str:
    r = max(records, key=lambda record: record.share)
    verdict = "agree" if r.is_within else "**differ**"
    return f"{verdict} | {r.share * r.allowed:.1f} | {r.a} / {r.b}, {r.tensor}, step {r.steps:,} | {r.distance:.1e}"


def mistake_rows(data: FashionMnist) -> list[str]:
    rows = []
    for mistake in SIZED:
        found = [smallest_caught(data, mistake, dtype) for dtype in DTYPES]
        rows.append(f"| {mistake.__doc__} | " + " | ".join(f"{size:.0e} ({share:.1f})" for size, share in found) + " |")
    return rows


def fixed_rows(data: FashionMnist) -> list[str]:
    norms = {layer.id: layer.norm for layer in MISTAKES} | {"moving_var_unbiased": Bessel}
    found = [shares(data, norms, dtype, STEPS_WITH_MISTAKE) for dtype in DTYPES]
    return [f"| `{name}` | " + " | ".join(f"{of[name]:.2g}" for of in found) + " |" for name in norms]


def layer_rows(data: FashionMnist) -> list[str]:
    """Honest layers in the network, as `--bn` puts them there."""
    found = [shares(data, {n: target_norm(n) for n in LAYERS}, dtype, STEPS_WITH_MISTAKE) for dtype in DTYPES]
    return [f"| {LAYERS[name]} | " + " | ".join(f"{of[name]:.2g}" for of in found) + " |" for name in LAYERS]


def page(honest: list[str], layers: list[str], sized: list[str], fixed: list[str]) -> str:
    rows = "\n".join
    return f"""# What lockstep allows

`python -m tests.experiments.lockstep` made this page.

Each framework is trained {TWINS} times more with everything relabelled: channels, units and classes in another order,
images and kernels turned or mirrored, the examples within each batch in another order. In exact arithmetic that is the
same training; only its sums are added in another order. Of the frameworks' distances from themselves (root mean square
over the {TWINS}, furthest step so far) the middle one is the yardstick, and two frameworks may be {ALLOWED:g} times as
far apart.

Where two are compared, the further of the two distances counts, but no more than {TWO_MAY_DIFFER:g} times the
nearer; of a bias before batch norm, which rounding alone moves, the furthest.

Why {ALLOWED:g}: two honest frameworks are about as far apart as one is from itself, relabelled, but a distance is
sometimes of a few numbers that err together, one of {TWINS} twins may by chance be near, and one framework may add in
blocks where another adds in pairs, or in float64. The table has how many times as far they have been.

## Honest frameworks

| dtype | seed | steps | verdict | at most so many times the yardstick | where | distance |
|---|---:|---:|---|---:|---|---:|
{rows(honest)}

## Honest layers in the network

How many times what is allowed, after {STEPS_WITH_MISTAKE} steps. A layer that adds a batch's 147,456 values one by one
is honest by the model of arithmetic, and `bnproof check` says so; its training is a hundred times as far from the
others as theirs from each other, and lockstep says that. To allow for it would be to miss a gradient that is 1.001
times too large.

| layer | float32 | float64 |
|---|---:|---:|
{rows(layers)}

## The smallest mistakes that are out

Of powers of ten, after {STEPS_WITH_MISTAKE} steps, seed {SEED_WITH_MISTAKE}, in all four layers; in brackets how many
times what is allowed it is.

| mistake | float32 | float64 |
|---|---:|---:|
{rows(sized)}

## The lesson's mistakes

How many times what is allowed, after {STEPS_WITH_MISTAKE} steps. `eval_uses_batch_stats` trains as the right layer
does, and lockstep compares trainings: `bnproof check` is for that one.

| mistake | float32 | float64 |
|---|---:|---:|
{rows(fixed)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--long", type=int, default=2350, help="steps in float64, seed 0")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    data = load(allow_sample=False)
    honest = [honest_row(data, "float32", seed, options.steps) for seed in range(options.seeds)]
    honest.append(honest_row(data, "float64", 0, options.long))
    options.out.write_text(page(honest, layer_rows(data), mistake_rows(data), fixed_rows(data)), encoding="utf-8")


if __name__ == "__main__":
    main()
