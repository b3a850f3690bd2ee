"""Are trainings by several frameworks equally good? Over seeds, which the frameworks share, so that they pair up.

That no difference is significant would say little: few seeds never find one. So equivalence is what is tested, by two
one-sided t-tests of the paired differences against a margin (Schuirmann 1987).
"""

from __future__ import annotations

import math
import statistics
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

MARGIN = 0.005
"""Of train accuracy: about the range over which independent runs of one framework are spread."""
LEVEL = 0.05
TUTORIAL = 0.739
"""The test accuracy that the tutorial printed."""
MEASURES = ("loss", "train_accuracy", "test_accuracy", "population_test_accuracy")
POPULATION_BATCH = 1000

Run = dict[str, Any]


def accuracy(runs: list[Run]) -> list[dict[str, Any]]:
    """Ledger records of kind "accuracy", one an implementation; runs are `trainings.run`'s summaries."""
    records = []
    for name, mine in by_implementation(runs).items():
        measured = {
            measure: interval([run[measure] for run in mine])
            for measure in MEASURES
            if all(run.get(measure) is not None for run in mine)
        }
        records.append(
            {
                "implementation": name,
                "seeds": [run["seed"] for run in mine],
                "epochs": mine[0]["epochs"],
                "measures": measured,
                "band": band(mine),
                "published": placed(mine, TUTORIAL),
            }
        )
    return records


def by_implementation(runs: list[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run["implementation"], []).append(run)
    return found


def interval(values: list[float]) -> dict[str, float | None]:
    """Mean, standard deviation, and the 95% confidence interval of the mean by Student's t."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return {"mean": mean, "deviation": None, "low": None, "high": None}
    deviation = statistics.stdev(values)
    half = stats.t.ppf(0.975, len(values) - 1) * deviation / math.sqrt(len(values))
    return {"mean": mean, "deviation": deviation, "low": mean - float(half), "high": mean + float(half)}


def band(runs: list[Run]) -> list[dict[str, float]]:
    """Test accuracy by epoch: lowest, mean, and highest of the seeds."""
    rows = []
    for records in zip(*(run["history"] for run in runs), strict=True):
        values = [record["test_accuracy"] for record in records]
        rows.append(
            {
                "epoch": records[0]["epoch"],
                "low": min(values),
                "mean": statistics.fmean(values),
                "high": max(values),
            }
        )
    return rows


def placed(runs: list[Run], value: float) -> dict[str, Any]:
    """Where a published test accuracy falls: how many runs end below it, and how many of all epochs are below it."""
    ends = [run["test_accuracy"] for run in runs]
    every = [record["test_accuracy"] for run in runs for record in run["history"]]
    return {
        "value": value,
        "ends_below": sum(one < value for one in ends),
        "ends": len(ends),
        "epochs_below": sum(one < value for one in every),
        "epochs": len(every),
    }


def equivalence(runs: list[Run], measure: str = "train_accuracy", margin: float = MARGIN) -> list[dict[str, Any]]:
    """Ledger records of kind "equivalence", one a pair, over the seeds that both have; two seeds at the least."""
    found = by_implementation(runs)
    records = []
    for a, b in combinations(found, 2):
        ours, theirs = ({run["seed"]: run[measure] for run in found[name]} for name in (a, b))
        seeds = sorted(ours.keys() & theirs.keys())
        if len(seeds) > 1:
            tested = two_one_sided([ours[seed] - theirs[seed] for seed in seeds], margin)
            records.append({"a": a, "b": b, "measure": measure, "margin": margin, "seeds": len(seeds)} | tested)
    return records


def two_one_sided(differences: list[float], margin: float) -> dict[str, Any]:
    """{"difference", "low", "high", "p", "equivalent"}: equivalent where the 90% interval lies within the margin."""
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    if error == 0:  # the same difference in every pair: nothing is uncertain
        p = 0.0 if abs(mean) < margin else 1.0
        return {"difference": mean, "low": mean, "high": mean, "p": p, "equivalent": p < LEVEL}
    freedom = len(differences) - 1
    p = float(max(stats.t.sf((mean + margin) / error, freedom), stats.t.cdf((mean - margin) / error, freedom)))
    half = float(stats.t.ppf(1 - LEVEL, freedom)) * error
    return {"difference": mean, "low": mean - half, "high": mean + half, "p": p, "equivalent": p < LEVEL}


# --- statistics of the whole training set, in place of the moving average's ---


def population_test_accuracy(weights: dict[str, np.ndarray], data: Any) -> float:
    """Test accuracy with `population_statistics`: what the run's own is off from it, the moving average adds."""
    from reference.lenet import LeNet
    from reference.training import evaluate

    exact = population_statistics(weights, data.train_images)
    return evaluate(LeNet(exact, np.float32), data.test_images, data.test_labels, POPULATION_BATCH, "float32")


def population_statistics(weights: dict[str, np.ndarray], images: np.ndarray) -> dict[str, np.ndarray]:
    """`weights` with means and variances over all of `images` (N, 28, 28) in training mode, batch by batch.

    By the law of total variance, var = mean of the batches' variances + variance of their means. What a layer sees
    depends on the batch through the layers below it, so batches are large.
    """
    from reference.lenet import NORMS, LeNet
    from reference.training import scaled

    batches = max(1, len(images) // POPULATION_BATCH)
    seen: dict[str, list[np.ndarray]] = {f"{name}.{what}": [] for name in NORMS for what in ("mean", "var")}
    net = LeNet(weights, np.float32)
    for norm in net.norms.values():
        norm.momentum = 0.0  # each batch's own statistics, by the d2l convention the weight of the old value
    for batch in np.array_split(images, batches):
        net.forward(scaled(batch, "float32"), training=True)
        for name, norm in net.norms.items():
            seen[f"{name}.mean"].append(norm.moving_mean.astype(np.float64))  # (C,)
            seen[f"{name}.var"].append(norm.moving_var.astype(np.float64))  # (C,)
    found = dict(weights)
    for name in NORMS:
        means, variances = np.stack(seen[f"{name}.mean"]), np.stack(seen[f"{name}.var"])  # (batches, C)
        found[f"{name}.moving_mean"] = means.mean(axis=0)  # (C,)
        found[f"{name}.moving_var"] = variances.mean(axis=0) + means.var(axis=0)  # (C,)
    return found
