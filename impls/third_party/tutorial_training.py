"""The tutorial's way of training, rewritten: the baseline that throughput is measured against.

After Dive into Deep Learning, section 8.5 (from scratch, PyTorch): batch norm as a chain of small operations, images
converted from PIL to tensors singly in the workers of a DataLoader, a float read from the device after every step,
`torch.optim.SGD`. `train` takes and returns what the other trainings do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from impls.third_party.tutorial import BatchNorm
from reference.conventions import DEFAULT_SETTINGS, TrainingSettings

WORKERS = 4
PARTS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}
LAYERS = {
    **{"conv1": 0, "bn1": 1, "conv2": 4, "bn2": 5, "dense1": 9, "bn3": 10},
    **{"dense2": 12, "bn4": 13, "dense3": 15},
}


def train(
    data: Any,
    weights: dict[str, np.ndarray],
    orders: np.ndarray,
    settings: TrainingSettings = DEFAULT_SETTINGS,
    *,
    native: bool = False,
    resident: bool = False,
    workers: int = WORKERS,
) -> dict[str, Any]:
    """Train from `weights` by `orders`, as the other trainings do; shapes and records as there.

    native: PyTorch's own batch-norm layers. resident: batches are slices of tensors that are scaled beforehand and
    stay on the device, so that only the loop remains of the tutorial. `step_seconds` covers what the tutorial's
    clock does: sending the batch, the step, and the metrics; with resident data also slicing, as elsewhere. Starting
    the workers counts towards `compile_seconds` alone. Raises ModuleNotFoundError where the data are not resident
    and torchvision or PIL is not installed.
    """
    batch_size, dtype, device = settings.batch_size, settings.dtype, settings.device
    use_full_float32()
    kind = getattr(torch, dtype)
    net = make_net(weights, kind, device, native)
    optimizer = torch.optim.SGD(net.parameters(), lr=settings.learning_rate)
    started = perf_counter()
    feed = Resident if resident else partial(Loaded, workers=workers)
    training = feed(data.train_images, data.train_labels, batch_size, kind, device)
    testing = feed(data.test_images, data.test_labels, batch_size, kind, device)
    for source in (training, testing):
        for _ in source.batches(np.arange(min(batch_size, len(source)))):
            pass
    compile_seconds = perf_counter() - started
    history = []
    for epoch, order in enumerate(orders, start=1):
        started = perf_counter()
        loss, accuracy, step_seconds = one_epoch(net, optimizer, training.batches(order), device)
        if resident:
            step_seconds = perf_counter() - started
        history.append(
            {
                "epoch": epoch,
                "loss": loss,
                "train_accuracy": accuracy,
                "test_accuracy": evaluate(net, testing.batches(np.arange(len(testing))), device),
                "step_seconds": step_seconds,
                "seconds": perf_counter() - started,
            }
        )
    return {
        "history": history,
        "weights": save_weights(net, native),
        "device": device_name(device),
        "dtype": dtype,
        "compile_seconds": compile_seconds,
        "step": "eager",
    }


def use_full_float32() -> None:
    """No TF32 on a GPU, which PyTorch takes for convolutions: the trainings compared must agree in their losses."""
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]


def one_epoch(
    net: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[tuple[Tensor, Tensor]], device: str
) -> tuple[float, float, float]:
    """(mean loss, accuracy, seconds by the tutorial's clock)."""
    loss_of = nn.CrossEntropyLoss()
    net.train()
    loss_sum, correct, count, seconds = 0.0, 0.0, 0, 0.0
    for images, labels in batches:
        started = perf_counter()
        optimizer.zero_grad()
        images, labels = images.to(device), labels.to(device)
        logits = net(images)  # (n, 10)
        loss = loss_of(logits, labels)  # ()
        loss.backward()
        optimizer.step()
        loss_sum += float(loss.detach()) * len(labels)  # waits for the step, as the tutorial's does
        correct += hits(logits, labels)
        count += len(labels)
        if is_cuda(device):
            torch.cuda.synchronize(device)
        seconds += perf_counter() - started
    return loss_sum / count, correct / count, seconds


def evaluate(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: str) -> float:
    net.eval()
    correct, count = 0.0, 0
    with torch.no_grad():
        for images, labels in batches:
            correct += hits(net(images.to(device)), labels.to(device))
            count += len(labels)
    return correct / count


def is_cuda(device: str) -> bool:
    return torch.device(device).type == "cuda"


def device_name(device: str) -> str:
    """ "cpu", or "cuda:0 NAME"."""
    if not is_cuda(device):
        return device
    index = torch.device(device).index or 0
    return f"cuda:{index} {torch.cuda.get_device_name(index)}"


def hits(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(1).type(labels.dtype) == labels).type(labels.dtype).sum())


# --- the network ---


def make_net(weights: dict[str, np.ndarray], dtype: torch.dtype, device: str, native: bool) -> nn.Sequential:
    """The tutorial's nn.Sequential, with `weights` in place of its random start."""

    def norm(channels: int, rank: int) -> nn.Module:
        if native:
            return (nn.BatchNorm2d if rank == 4 else nn.BatchNorm1d)(channels)
        return BatchNorm(channels, rank, dtype=dtype)

    def pooled() -> list[nn.Module]:
        return [nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2)]

    with torch.random.fork_rng(devices=[]):
        net = nn.Sequential(
            *(nn.Conv2d(1, 6, kernel_size=5), norm(6, 4), *pooled()),
            *(nn.Conv2d(6, 16, kernel_size=5), norm(16, 4), *pooled()),
            *(nn.Flatten(), nn.Linear(256, 120), norm(120, 2), nn.Sigmoid()),
            *(nn.Linear(120, 84), norm(84, 2), nn.Sigmoid(), nn.Linear(84, 10)),
        )
    net.to(device=device, dtype=dtype)
    with torch.no_grad():
        for name, array in weights.items():
            layer, part = name.split(".")
            tensor = getattr(net[LAYERS[layer]], own_name(net, layer, part))
            tensor.copy_(torch.tensor(array, dtype=dtype).reshape(tensor.shape))
            if not native and part.startswith("moving"):  # plain attributes do not follow the module
                setattr(net[LAYERS[layer]], part, tensor.to(device))
    return net


def own_name(net: nn.Sequential, layer: str, part: str) -> str:
    return part if hasattr(net[LAYERS[layer]], part) else PARTS[part]


def save_weights(net: nn.Sequential, native: bool) -> dict[str, np.ndarray]:
    weights = {}
    for layer, place in LAYERS.items():
        for part in PARTS if layer.startswith("bn") else ("weight", "bias"):
            array = getattr(net[place], PARTS[part] if native and part in PARTS else part).detach().cpu().numpy()
            weights[f"{layer}.{part}"] = array.flatten().copy() if layer.startswith("bn") else array.copy()
    return weights


# --- where batches come from ---


class Items(Dataset):
    """Images as torchvision's FashionMNIST gives them: a PIL image each, turned into a tensor by ToTensor."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        from torchvision.transforms import ToTensor

        self.images, self.labels, self.transform = images, labels, ToTensor()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class InOrder(Sampler):
    """The order of the coming epoch, in place of a random one."""

    def __init__(self) -> None:
        self.order: list[int] = []

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


class Loaded:
    """Batches through a DataLoader. Its workers stay: short epochs must not pay for starting them."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        dtype: torch.dtype,
        device: str,  # noqa: ARG002 - the loop sends each batch there
        workers: int,
    ) -> None:
        self.sampler, self.dtype = InOrder(), dtype
        items = Items(images, labels)
        self.loader = DataLoader(
            items, batch_size, sampler=self.sampler, num_workers=workers, persistent_workers=workers > 0
        )

    def __len__(self) -> int:
        return len(self.loader.dataset)  # type: ignore[arg-type]

    def batches(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        self.sampler.order = order.tolist()
        for images, labels in self.loader:
            yield images.to(self.dtype), labels


class Resident:
    """Batches as slices of tensors that are scaled beforehand and stay on the device."""

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, batch_size: int, dtype: torch.dtype, device: str
    ) -> None:
        self.images = torch.tensor(images, device=device).unsqueeze(1).to(dtype).div_(255)  # (N, 1, 28, 28)
        self.labels = torch.tensor(labels, dtype=torch.int64, device=device)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        indices = torch.tensor(order, device=self.images.device)
        for batch in indices.split(self.batch_size):
            yield self.images[batch], self.labels[batch]
