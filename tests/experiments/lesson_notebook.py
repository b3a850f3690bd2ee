"""The lesson as a notebook, to be run and changed cell by cell; `tests.experiments.lesson` writes it."""

from __future__ import annotations

import base64
import contextlib
import inspect
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INTRODUCTION = """\
# Batch norm, from the equations to the lines, and what its mistakes do

The [page](README.md) of this lesson, to be run and changed cell by cell. It takes `pip install 'bnproof[report]'` or a
checkout, and about two minutes for the trainings; set LESSON_IMAGES to a smaller number for a quick look.
"""
IMPORTS = """\
import os
from dataclasses import replace

import numpy as np

try:  # installed
    from bnproof.harness.api import check
    from bnproof.harness.train.fashion_mnist import load
    from bnproof.reference.batch_norm import BatchNorm
    from bnproof.reference.conventions import TrainingSettings
    from bnproof.reference.lenet import initial_weights
    from bnproof.reference.training import train
except ModuleNotFoundError:  # in a checkout
    from harness.api import check
    from harness.train.fashion_mnist import load
    from reference.batch_norm import BatchNorm
    from reference.conventions import TrainingSettings
    from reference.lenet import initial_weights
    from reference.training import train
"""
EQUATIONS = """\
x = np.random.default_rng(0).normal(5, 3, (8, 2))  # a batch of 8, two channels
gamma, beta, eps = np.array([2.0, 0.5]), np.array([1.0, -1.0]), 1e-5

mean = x.mean(0)
var = ((x - mean) ** 2).mean(0)
x_hat = (x - mean) / np.sqrt(var + eps)
y = gamma * x_hat + beta

for name, values in (("x", x), ("x_hat", x_hat), ("y", y)):
    print(f"{name:6} mean {values.mean(0).round(3)}, standard deviation {values.std(0).round(3)}")
"""
MODES = """\
layer = BatchNorm(2)  # momentum 0.9: the old value weighs 0.9
for step in (1, 10, 100):
    while layer.updates < step:
        in_training, _ = layer.train(x)
    in_prediction, _ = layer.eval(x)
    print(f"after {step:3} steps the modes differ by {abs(in_training - in_prediction).max():.5f}")
"""
CONTRACT = """\
def contract(layer_class):
    \"\"\"The layer as `bnproof check` takes one: four methods, results by name.\"\"\"

    class Checked:
        conventions = "d2l"
        ranks = (2,)

        def __init__(self, setup):
            self.layer = layer_class(setup.num_features, setup.eps, setup.momentum, dtype=setup.gamma.dtype)
            self.layer.gamma, self.layer.beta = setup.gamma, setup.beta
            self.layer.average_mean, self.layer.average_var = setup.moving_mean, setup.moving_var

        def train(self, x, dy):
            y, cache = self.layer.train(x)
            return {"y": y} | dict(zip(("dx", "dgamma", "dbeta"), self.layer.train_backward(dy, cache)))

        def eval(self, x, dy):
            return {"y": self.layer.eval(x)[0]}

        def stats(self):
            return {"moving_mean": self.layer.average_mean, "moving_var": self.layer.average_var}

    return Checked


for layer_class in (BatchNorm, *MISTAKES):
    result = check(contract(layer_class), cases=["rank2"])
    print(f"{layer_class.__name__:22} {result.verdict.value:7} {', '.join(each.id for each in result.diagnosis)}")
"""
TRAININGS = """\
IMAGES, EPOCHS = int(os.environ.get("LESSON_IMAGES", $images)), $epochs
data, weights = load(), initial_weights($seed)
first, few = slice(IMAGES), slice($tested)
parts = {"train_images": first, "train_labels": first, "test_images": few, "test_labels": few}
data = replace(data, **{name: getattr(data, name)[part] for name, part in parts.items()})
rng = np.random.default_rng($seed)
orders = np.stack([rng.permutation(len(data.train_images)) for _ in range(EPOCHS)])

histories = {}
with np.errstate(all="ignore"):  # some of these mistakes overflow
    for norm in (BatchNorm, Absent, *MISTAKES):
        done = train(data, weights, orders, TrainingSettings(learning_rate=$rate, batch_size=$batch), norm=norm)
        histories[norm.__name__] = done["history"]
        last = done["history"][-1]
        print(f"{norm.__name__:22} loss {last['loss']:7.3f}, test accuracy {last['test_accuracy']:.3f}")
"""
PLOT = """\
from matplotlib.figure import Figure

figure = Figure(figsize=(9, 3.2), layout="constrained")
for axis, measure in zip(figure.subplots(1, 2), ("loss", "test_accuracy")):
    for name, history in histories.items():
        axis.plot([record["epoch"] for record in history], [record[measure] for record in history], "o-", label=name)
    axis.set(title=measure.replace("_", " "), xlabel="epoch", ylim=(0, 2.5 if measure == "loss" else 1))
axis.legend(fontsize=7)
figure
"""


def cells(lesson: Any) -> list[tuple[str, str]]:
    """("markdown" or "code", text) of each cell. lesson: `tests.experiments.lesson`, whose layers are trained."""
    mistakes = [layer.norm for layer in lesson.MISTAKES]
    sources = [inspect.getsource(each) for each in (lesson.Absent, lesson.from_batch, *mistakes)]
    names = ", ".join(each.__name__ for each in mistakes)
    trainings = TRAININGS
    for name, value in (
        ("images", lesson.IMAGES),
        ("tested", lesson.TESTED),
        ("epochs", lesson.EPOCHS),
        ("seed", lesson.SEED),
        ("rate", lesson.LEARNING_RATE),
        ("batch", lesson.BATCH),
    ):
        trainings = trainings.replace(f"${name}", str(value))
    return [
        ("markdown", INTRODUCTION),
        ("code", IMPORTS),
        ("markdown", "## The equations\n\nIoffe and Szegedy 2015, Algorithm 1, on a small batch."),
        ("code", EQUATIONS),
        ("markdown", "## The two modes\n\nTraining normalizes by the batch, prediction by what was gathered."),
        ("code", MODES),
        ("markdown", "## No batch norm, and six mistakes\n\nEach a few lines over the right layer."),
        ("code", "\n\n".join(sources) + f"\n\nMISTAKES = [{names}]\n"),
        ("markdown", "`bnproof check` names each from a few small arrays."),
        ("code", CONTRACT),
        (
            "markdown",
            "## What they do to a training\n\nThe same start and batches; only the layer is another.",
        ),
        ("code", trainings),
        ("code", PLOT),
    ]


def run(pieces: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """The cells as a notebook holds them, the code run in turn, with what it printed or drew."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    made = []
    for number, (kind, text) in enumerate(pieces):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        cell["source"] = text.rstrip("\n").splitlines(keepends=True)
        if kind == "code":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(text, f"cell {number}", "exec"), scope)
            cell |= {"execution_count": None, "outputs": outputs(printed.getvalue(), text, scope)}
        made.append(cell)
    return made


def outputs(printed: str, text: str, scope: dict[str, Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    if printed:
        made.append({"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)})
    if text.rstrip().endswith("\nfigure"):
        picture = io.BytesIO()
        scope["figure"].savefig(picture, format="png", dpi=110, metadata={"Software": None})
        data = {"image/png": base64.b64encode(picture.getvalue()).decode()}
        made.append({"output_type": "display_data", "data": data, "metadata": {}})
    return made


def notebook(lesson: Any) -> dict[str, Any]:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": run(cells(lesson)),
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def write(lesson: Any, path: Path) -> None:
    path.write_text(json.dumps(notebook(lesson), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
