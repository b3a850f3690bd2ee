"""Data-parallel training in PyTorch: the steps of training.py, each by all processes of a group together.

Every process (rank) takes its shard of each batch, of nearly equal size. Batch norm is synchronized, and the gradients
of the shards' losses, which add up to the mean over the batch, are added up over the ranks: the same step as on one
device but for rounding. All ranks hold the same weights, to the bit.

The gradients travel as one vector in the order of the parameters. DistributedDataParallel's buckets follow the order in
which gradients arrived in the first step; after a resumption they would be added up in another order, and round
differently.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from impls.pytorch.lenet import LeNet, Weights
from impls.pytorch.steps import count_correct, scaled
from impls.pytorch.sync_batch_norm import SyncBatchNorm
from impls.pytorch.training import (
    device_name,
    evaluate,
    full_precision,
    keep_freed_memory,
    make_net,
    synchronize,
    to_device,
)
from reference.conventions import DEFAULT_SETTINGS, TrainingSettings


def sync_norm(num_features: int, num_dims: int) -> nn.Module:  # noqa: ARG001 - any rank is one class
    return SyncBatchNorm(num_features)


def train(
    data: Any,
    weights: Weights,
    orders: np.ndarray,
    settings: TrainingSettings = DEFAULT_SETTINGS,
) -> dict[str, Any]:
    """As `training.train`, which says what the arguments are, by all ranks of torch.distributed's default group.

    All call it with the same arguments, the functions aside, and get the same result; `compile_seconds` is 0.
    `step_seconds` and `seconds` are this rank's, which has waited for the others.
    """
    batch_size, dtype, device = settings.batch_size, settings.dtype, settings.device
    kind = getattr(torch, dtype)
    keep_freed_memory()
    with full_precision():
        train_images, train_labels = to_device(data.train_images, data.train_labels, device)
        test_images, test_labels = to_device(own_part(data.test_images), own_part(data.test_labels), device)
        net = make_net(weights, kind, device, sync_norm)
        history, done = [], (settings.first_epoch - 1) * orders.shape[1]
        for epoch, order in enumerate(orders, start=settings.first_epoch):
            started = perf_counter()
            totals = torch.zeros(2, dtype=torch.float64, device=device)  # of the loss, and of right predictions
            for batch in torch.tensor(np.ascontiguousarray(order), device=device).split(batch_size):
                shard = batch.tensor_split(dist.get_world_size())[dist.get_rank()]
                images, labels = scaled(train_images[shard], kind), train_labels[shard]
                totals += sgd_step(net, images, labels, settings.learning_rate, len(batch))
                done += len(batch)
                if settings.on_progress:
                    settings.on_progress(done)
            synchronize(device)
            step_seconds = perf_counter() - started
            accuracy = evaluate(net, test_images, test_labels, batch_size, kind) if len(test_images) else 0.0
            totals = torch.cat([totals, totals.new_tensor([accuracy * len(test_images)])])
            dist.all_reduce(totals)
            record = {
                "epoch": epoch,
                "loss": totals[0].item() / len(order),
                "train_accuracy": totals[1].item() / len(order),
                "test_accuracy": round(totals[2].item()) / len(data.test_images),
                "step_seconds": step_seconds,
                "seconds": perf_counter() - started,
            }
            history.append(record)
            if settings.on_epoch:
                settings.on_epoch(record, net.save_weights())
    return {
        "history": history,
        "weights": net.save_weights(),
        "device": device_name(device),
        "dtype": dtype,
        "compile_seconds": 0.0,
        "step": f"eager, {dist.get_world_size()} processes",
    }


def sgd_step(net: LeNet, images: Tensor, labels: Tensor, learning_rate: float, batch_size: int) -> Tensor:
    """A step of SGD on a shard, images (n, 1, 28, 28), of a batch. Returns (loss sum, how many were right) of it."""
    logits = net(images)  # (n, 10)
    loss_sum = cross_entropy(logits, labels, reduction="sum")  # ()
    parameters = list(net.parameters())
    grads = torch.autograd.grad(loss_sum / batch_size, parameters)
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    with torch.no_grad():
        sizes = [parameter.numel() for parameter in parameters]
        for parameter, grad in zip(parameters, flat.split(sizes), strict=True):
            parameter.sub_(grad.view_as(parameter), alpha=learning_rate)
    return torch.stack([loss_sum.detach().double(), count_correct(logits, labels).double()])


def own_part(array: np.ndarray) -> np.ndarray:
    """This rank's part of examples along the first axis."""
    return np.array_split(array, dist.get_world_size())[dist.get_rank()]
