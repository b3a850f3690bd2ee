"""The lesson: batch norm from the paper's equations to each framework's lines, and what its mistakes do to a training.

    python -m tests.experiments.lesson            # writes reports/lesson: README.md, its figures, lesson.ipynb

LeNet in NumPy on a part of Fashion-MNIST, the same start and batches each time, with the right layer, without any, and
with six mistakes.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.diagnose.mistakes.known import TEXTS
from harness.place import ROOT
from harness.train.fashion_mnist import load
from reference.batch_norm import BatchNorm
from reference.conventions import TrainingSettings
from reference.lenet import LeNet, initial_weights
from reference.training import evaluate, train
from tests.experiments import lesson_notebook

PLACE = ROOT / "reports" / "lesson"
IMAGES, TESTED, EPOCHS, SEED = 8_000, 2_000, 4, 0
LEARNING_RATE, BATCH = 1.0, 256
FILES = {
    "NumPy": "reference/batch_norm.py",
    "PyTorch": "impls/pytorch/batch_norm.py",
    "JAX": "impls/jax_flax/batch_norm.py",
}
EQUATIONS = (
    ("the mean of the batch, `μ = Σx / m`", "mean = x.mean("),
    ("its variance, `σ² = Σ(x − μ)² / m`", "var = ((x - mean) ** 2).mean("),
    ("normalize, `x̂ = (x − μ) / √(σ² + ε)`", "x_hat = (x - mean) / {}sqrt(var + eps)"),
    ("scale and shift, `y = γ x̂ + β`", "y = gamma.reshape(shape) * x_hat + beta.reshape(shape)"),
    ("the moving mean", "moving_mean = keep * moving_mean + (1 - keep) * mean"),
    ("the moving variance", "moving_var = keep * moving_var + (1 - keep) * averaged"),
    ("in prediction, the moving ones instead", "mean, var = moving_mean.reshape(shape), moving_var.reshape(shape)"),
)


class Absent(BatchNorm):
    """No batch norm: x goes on as it is, and gamma and beta learn nothing."""

    def train(self, x):
        return x, {}

    eval = train

    def train_backward(self, dy, _cache):
        return dy, np.zeros_like(self.gamma), np.zeros_like(self.beta)


class MomentumInverted(BatchNorm):
    def weights(self):
        return super().weights()[::-1]


class StatsFrozen(BatchNorm):
    def update(self, *_):
        pass


class EvalUsesBatchStats(BatchNorm):
    def eval(self, x):
        return from_batch(self, x)


def from_batch(layer: BatchNorm, x: np.ndarray) -> tuple[np.ndarray, dict]:
    mean, var = layer.batch_statistics(x)
    return layer.normalize(x, mean, var)


class DxIgnoresMean(BatchNorm):
    def train_backward(self, dy, cache):
        _, dgamma, dbeta = super().train_backward(dy, cache)
        n = dy.dtype.type(len(dy))
        dx = self.gamma * cache["scale"] * (dy - cache["x_hat"] * dgamma / n)  # without - dbeta / n
        return dx, dgamma, dbeta


class TrainUsesMovingStats(BatchNorm):
    def train(self, x):
        y, cache = self.eval(x)
        self.update(*self.batch_statistics(x), len(x))
        return y, cache


class GammaIgnored(BatchNorm):
    def normalize(self, x, mean, var):
        y, cache = super().normalize(x, mean, var)
        return (y - self.beta) / self.gamma + self.beta, cache


@dataclass(frozen=True)
class Layer:
    id: str
    norm: type[BatchNorm]
    does: str
    """What it does to the training, in words that the figures bear out."""


RIGHT = Layer("right", BatchNorm, "")
WITHOUT = Layer("without batch norm", Absent, "")
MISTAKES = (
    Layer("momentum_inverted", MomentumInverted, "Training is untouched; prediction follows the last few batches."),
    Layer("stats_frozen", StatsFrozen, "Training is untouched; prediction takes a mean of 0 and a variance of 1."),
    Layer("eval_uses_batch_stats", EvalUsesBatchStats, "Nothing shows in batches; an image on its own becomes beta."),
    Layer("dx_ignores_mean", DxIgnoresMean, "The gradient has a part that the layer would have removed."),
    Layer("train_uses_moving_stats", TrainUsesMovingStats, "The statistics lag behind the weights."),
    Layer("gamma_ignored", GammaIgnored, "The next layer learns the scale in its place."),
)


@dataclass(frozen=True)
class Run:
    layer: Layer
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    one_by_one: float
    """Test accuracy with a batch of one image at a time."""
    gamma: tuple[float, ...]
    """Of the first layer."""


def run(layer: Layer, data: Any, dtype: str = "float32") -> Run:
    rng = np.random.default_rng(SEED)
    orders = np.stack([rng.permutation(len(data.train_images)) for _ in range(EPOCHS)])
    with np.errstate(all="ignore"):
        settings = TrainingSettings(LEARNING_RATE, BATCH)
        done = train(data, initial_weights(SEED), orders, settings, norm=layer.norm)
        net = LeNet(done["weights"], dtype, layer.norm)
        few = slice(0, 300)
        one_by_one = evaluate(net, data.test_images[few], data.test_labels[few], 1, dtype)
    history = done["history"]
    return Run(
        layer,
        tuple(record["loss"] for record in history),
        tuple(record["test_accuracy"] for record in history),
        one_by_one,
        tuple(map(float, done["weights"]["bn1.gamma"])),
    )


MOST_LOSS = 2.5
"""Where the axis of the loss ends: that of guessing is 2.3."""


def off_the_scale(losses: tuple[float, ...]) -> str:
    """What stands in a panel whose curve is above it; "" where some of it shows."""
    finite = [loss for loss in losses if np.isfinite(loss)]
    if any(loss <= MOST_LOSS for loss in finite):
        return ""
    return f"above the scale:\n{min(finite):.3g} to {max(finite):.3g}" if finite else "not a number"


def figure(runs: list[Run], path: Path, title: str) -> None:
    """Loss above test accuracy, by epoch: two layers beside each other, the right one faint behind each. With three its
    words are too small on a phone.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    right, *others = runs
    with rc_context({"svg.hashsalt": "lesson", "svg.fonttype": "path"}):
        across = min(2, len(others))
        blocks = -(-len(others) // across)
        made = Figure(figsize=(2.7 * across, 3.8 * blocks), layout="constrained")
        FigureCanvasSVG(made)
        axes = made.subplots(2 * blocks, across, sharex=True, sharey="row", squeeze=False)
        for number, each in enumerate(others):
            block, column = divmod(number, across)
            for row, (name, values, of_right) in enumerate(
                (("loss", each.losses, right.losses), ("test accuracy", each.accuracies, right.accuracies))
            ):
                axis = axes[2 * block + row, column]
                axis.plot(range(1, EPOCHS + 1), of_right, color="#b8b4aa", linewidth=2.5)
                axis.plot(range(1, EPOCHS + 1), values, color="#c05621", marker="o", markersize=4)
                axis.spines[["top", "right"]].set_visible(False)
                axis.grid(alpha=0.25)
                if row == 0:
                    axis.set_title(each.layer.id.replace("_", " "), fontsize=10)
                    axis.text(0.96, 0.9, off_the_scale(each.losses), transform=axis.transAxes, ha="right", va="top",
                              fontsize=9, color="#c05621")  # fmt: skip
                if column == 0:
                    axis.set_ylabel(name)
                axis.set_xticks(range(1, EPOCHS + 1))
        for axis in axes[-1]:
            axis.set_xlabel("epoch")
        for block in range(blocks):
            axes[2 * block, 0].set_ylim(0, MOST_LOSS)
            axes[2 * block + 1, 0].set_ylim(0, 1)
        made.suptitle(title, fontsize=11, x=0.01, ha="left")
        made.savefig(path, format="svg", metadata={"Date": None})


def equations() -> str:
    """The paper's equations, each with its line in every framework."""
    lines = [f"| Algorithm 1 | {' | '.join(FILES)} |", "|---|" + "---|" * len(FILES)]
    for words, code in EQUATIONS:
        cells = [link(path, code) for path in FILES.values()]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def link(path: str, code: str) -> str:
    before, _, after = code.partition("{}")
    for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
        if before in line and after in line:
            shown = line.strip().partition("  #")[0].replace("|", "\\|")
            return f"[`{shown}`](../../{path})"
    raise SystemExit(f"{path} has no line with {code!r}")


def page(runs: dict[str, Run], source: str) -> str:
    right, without = runs[RIGHT.id], runs[WITHOUT.id]
    rows = [f"| `{layer.id}` | {figures(runs[layer.id])} |" for layer in MISTAKES]
    words = [f"* `{layer.id}`: {layer.does} What bnproof says: {TEXTS[layer.id]}." for layer in MISTAKES]
    gammas = ", ".join(f"{value:.2f}" for value in right.gamma)
    loss = f"from {right.losses[0]:.3f} to {right.losses[-1]:.3f}"
    loss_without = f"from {without.losses[0]:.3f} to {without.losses[-1]:.3f}"
    accuracies = [f"{100 * each.accuracies[-1]:.1f}%" for each in (right, without)]
    return f"""# Batch norm, from the equations to the lines, and what its mistakes do

`python -m tests.experiments.lesson` made this page, its figures and [the same as a notebook](lesson.ipynb), to be run
and changed. LeNet in NumPy, {len(right.losses)} epochs of
{IMAGES:,} images ({source}), {TESTED:,} tested, learning rate {LEARNING_RATE:g}, batches of {BATCH}, seed {SEED}: the
same start and the same batches each time, only the layer is another one.

## The paper's equations, and where they are

Ioffe and Szegedy 2015, Algorithm 1. The plain form of each framework has a line an equation; the fast forms beside it
are held to it by tests.

{equations()}

The two modes are the whole difficulty. In training the statistics are those of the batch, and functions of x: the
gradient flows through them. In prediction they are constants, gathered while training. A layer that mixes the two up
trains well and predicts badly, or the other way round.

## With and without

![Loss and test accuracy, with batch norm and without](with-and-without.svg)

With batch norm the loss falls {loss}, and {accuracies[0]} of the test images are classified correctly.
Without it, at the same learning rate, it goes {loss_without}, and {accuracies[1]} are.
That is the point of the layer: each sigmoid gets numbers of a size that it can work on, whatever the layers before
it do, and so such a learning rate can be used.

gamma and beta give the scale back where it is wanted. They start at 1 and 0 and are learned: after this training the
first layer's gamma is {gammas}.

## Six mistakes

![Loss and test accuracy with each mistake](mistakes.svg)

Grey: the right layer. Orange: the layer with the mistake. Losses above 2.5 are off the picture.

| mistake | last loss | test accuracy | one image at a time |
|---|---:|---:|---:|
| none | {figures(right)} |
{chr(10).join(rows)}

What each does to the training, and what to change:

{chr(10).join(words)}

None of them raises, and some trainings look well. `bnproof check` names each from a few small arrays; `bnproof lockstep
--bn LAYER` shows what a layer of yours does to a whole training, tensor by tensor.
"""


def figures(each: Run) -> str:
    return f"{each.losses[-1]:.3f} | {each.accuracies[-1]:.3f} | {each.one_by_one:.3f}"


def part_of(data: Any, images: int = IMAGES, tested: int = TESTED) -> Any:
    return replace(
        data,
        train_images=data.train_images[:images],
        train_labels=data.train_labels[:images],
        test_images=data.test_images[:tested],
        test_labels=data.test_labels[:tested],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=PLACE)
    options = parser.parse_args()
    whole = load(options.data)
    data = part_of(whole)
    runs = {}
    for layer in (RIGHT, WITHOUT, *MISTAKES):
        runs[layer.id] = run(layer, data)
        print(layer.id, figures(runs[layer.id]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    right = runs[RIGHT.id]
    figure([right, replace(right, layer=replace(RIGHT, id="with")), runs[WITHOUT.id]],
           options.out / "with-and-without.svg", "LeNet on Fashion-MNIST")  # fmt: skip
    figure([right, *(runs[layer.id] for layer in MISTAKES)], options.out / "mistakes.svg", "Six mistakes")
    source = "the small sample" if whole.is_sample else "of Fashion-MNIST"
    (options.out / "README.md").write_text(page(runs, source), encoding="utf-8")
    lesson_notebook.write(sys.modules[__name__], options.out / "lesson.ipynb")


if __name__ == "__main__":
    main()
