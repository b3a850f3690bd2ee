"""Statistics of the whole training set in place of the moving averages': what the averages cost in accuracy."""

from __future__ import annotations

import numpy as np

from harness.train.fashion_mnist import FashionMnist
from reference.lenet import NORMS, LeNet, Weights
from reference.training import evaluate, scaled

BATCH = 1000


def population_test_accuracy(weights: Weights, data: FashionMnist) -> float:
    """Test accuracy with `population_statistics`; how far the run's own is from it is due to the moving averages."""
    exact = population_statistics(weights, data.train_images)
    return evaluate(LeNet(exact, np.float32), data.test_images, data.test_labels, BATCH, "float32")


def population_statistics(weights: Weights, images: np.ndarray) -> Weights:
    """`weights` with means and variances over all of `images` (N, 28, 28) in training mode, batch by batch.

    By the law of total variance, var = mean of the batches' variances + variance of their means. What a layer sees
    depends on the batch through the layers below it, so batches are large.
    """
    means: dict[str, list[np.ndarray]] = {name: [] for name in NORMS}
    variances: dict[str, list[np.ndarray]] = {name: [] for name in NORMS}
    net = LeNet(weights, np.float32)
    for norm in net.norms.values():
        norm.momentum = 0.0  # each batch's own statistics, by the d2l convention the weight of the old value
    for batch in np.array_split(images, max(1, len(images) // BATCH)):
        net.forward(scaled(batch, "float32"), training=True)
        for name, norm in net.norms.items():
            means[name].append(norm.moving_mean.astype(np.float64))  # (C,)
            variances[name].append(norm.moving_var.astype(np.float64))  # (C,)
    exact = dict(weights)
    for name in NORMS:
        mean, variance = np.stack(means[name]), np.stack(variances[name])  # (batches, C)
        exact[f"{name}.moving_mean"] = mean.mean(axis=0)  # (C,)
        exact[f"{name}.moving_var"] = variance.mean(axis=0) + mean.var(axis=0)  # (C,)
    return exact
