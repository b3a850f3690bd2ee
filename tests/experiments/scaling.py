"""What synchronizing costs: bytes and messages against ranks and channels, efficiency here, and a model beyond.

python -m tests.experiments.scaling [--quick] writes reports/published/scaling.md. Collective calls are counted where
they are made, by every rank; the rest of the page is measured on this machine, or computed by `Model`.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from harness import place
from harness.train.replicas.beats import BYTES, CALLS, beats_of, counted, new_beats
from impls.pytorch.replicated_training import sgd_step, sync_norm
from impls.pytorch.sync_batch_norm import SyncBatchNorm
from impls.pytorch.training import make_net
from reference.lenet import initial_weights

PAGE = place.ROOT / "reports" / "published" / "scaling.md"
RANKS, CHANNELS = (1, 2, 4, 8), (16, 64, 256, 1024)
BATCH, STEPS, ROUNDS = 256, 40, 4


@dataclass(frozen=True)
class Sent:
    """What one rank hands to collective calls in a training step."""

    ranks: int
    channels: int
    calls: int
    bytes: int


def started(task: Any, ranks: int, *arguments: Any) -> np.ndarray:
    """Run `task(rank, ranks, row, *arguments)` in so many processes of a gloo group; the rows that they wrote."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new_beats(folder / "beats", ranks)
        context = mp.start_processes(
            _in_group, (ranks, str(folder), task, arguments), ranks, join=False, start_method="fork"
        )
        while not context.join():
            pass
        return np.array(beats_of(folder / "beats", ranks))


def _in_group(rank: int, ranks: int, folder: str, task: Any, arguments: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=ranks)
    row = beats_of(Path(folder) / "beats", ranks)[rank]
    dist.all_reduce = counted(dist.all_reduce, row, lambda tensor, *_: tensor.nbytes)
    dist.all_gather = counted(dist.all_gather, row, lambda _, tensor, *__: tensor.nbytes)
    task(rank, row, *arguments)
    dist.destroy_process_group()


# --- bytes and messages ---


def step_of_layer(rank: int, _: np.ndarray, channels: int) -> None:
    layer = SyncBatchNorm(channels)
    x = torch.randn(4, channels, 3, generator=torch.Generator().manual_seed(rank), requires_grad=True)
    layer(x).sum().backward()


def step_of_lenet(rank: int, _: np.ndarray) -> None:
    net = make_net(initial_weights(0), torch.float32, "cpu", sync_norm)
    images, labels = batch_of(BATCH // dist.get_world_size(), rank)
    sgd_step(net, images, labels, 0.1, BATCH)


def batch_of(size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, 1, 28, 28, generator=generator), torch.randint(10, (size,), generator=generator)


def counted_bytes(ranks: tuple[int, ...], channels: tuple[int, ...]) -> list[Sent]:
    found = []
    for count in ranks:
        for width in channels:
            rows = started(step_of_layer, count, width)
            assert (rows[:, [CALLS, BYTES]] == rows[0, [CALLS, BYTES]]).all()
            found.append(Sent(count, width, int(rows[0, CALLS]), int(rows[0, BYTES])))
    return found


# --- efficiency here ---


def timed_lenet(rank: int, row: np.ndarray, size: int) -> None:
    """Seconds of the fastest step into the first column, processor seconds of the median step into the second."""
    net = make_net(initial_weights(0), torch.float32, "cpu", sync_norm)
    images, labels = batch_of(size, rank)
    seconds, processor_seconds = [], []
    for _ in range(STEPS):
        dist.barrier()
        begun, processor_begun = time.perf_counter(), time.process_time()
        sgd_step(net, images, labels, 0.1, size * dist.get_world_size())
        seconds.append(time.perf_counter() - begun)
        processor_seconds.append(time.process_time() - processor_begun)
    row[:2] = min(seconds), statistics.median(processor_seconds)


def seconds_a_step(sizes: tuple[tuple[int, int], ...], rounds: int) -> dict[tuple[int, int], np.ndarray]:
    """(ranks, images a rank) -> (seconds, processor seconds) of a step by a rank; all in turn, the least of rounds."""
    measured: dict[tuple[int, int], list[np.ndarray]] = {key: [] for key in sizes}
    for _ in range(rounds):
        for ranks, size in sizes:
            measured[ranks, size].append(started(timed_lenet, ranks, size)[:, :2].max(axis=0))
    return {key: np.min(seconds, axis=0) for key, seconds in measured.items()}


# --- a model beyond ---


@dataclass(frozen=True)
class Model:
    """A training step on many devices: compute, batch norm's collectives (none hidden), and the gradients' (hidden).

    Collectives go by rings within bandwidth and trees in latency: an all_gather of m bytes a rank over R ranks takes
    log2(R) * latency + (R - 1) m / bandwidth, an all_reduce of m bytes 2 log2(R) * latency + 2 (R - 1)/R m / bandwidth.
    """

    layers: int = 53
    channels: int = 26_560
    """Of all layers together: ResNet-50's."""
    parameters: int = 25_557_032
    images: int = 32
    """A device and step: weak scaling."""
    images_a_second: float = 1_200.0
    """Of one device alone."""
    latency: float = 5e-6
    """Seconds a hop, the launch of the call included in `launch`."""
    launch: float = 10e-6
    """Seconds for each collective call."""
    bandwidth: float = 25e9
    """Bytes a second into and out of a device."""
    backward_share: float = 2 / 3
    """Of the compute: gradients are sent behind it."""

    @property
    def compute(self) -> float:
        return self.images / self.images_a_second

    def all_gather(self, bytes_a_rank: float, ranks: int, calls: int) -> float:
        return calls * (self.launch + math.log2(ranks) * self.latency) + (ranks - 1) * bytes_a_rank / self.bandwidth

    def all_reduce(self, total_bytes: float, ranks: int, calls: int) -> float:
        hops = 2 * math.log2(ranks) * self.latency
        return calls * (self.launch + hops) + 2 * (ranks - 1) / ranks * total_bytes / self.bandwidth

    def forward_by_gather(self, ranks: int) -> float:
        return self.all_gather(4 * (2 * self.channels + 2 * self.layers), ranks, self.layers)

    def forward_by_reduces(self, ranks: int) -> float:
        """The alternative: the sum and count first, then the squared deviations from the common mean."""
        return self.all_reduce(4 * (self.channels + self.layers), ranks, self.layers) + self.all_reduce(
            4 * self.channels, ranks, self.layers
        )

    def backward(self, ranks: int) -> float:
        return self.all_reduce(4 * 2 * self.channels, ranks, self.layers)

    def gradients_not_hidden(self, ranks: int) -> float:
        return max(0.0, self.all_reduce(4 * self.parameters, ranks, 25) - self.backward_share * self.compute)

    def efficiency(self, ranks: int, forward: Any) -> float:
        if ranks == 1:
            return 1.0
        return self.compute / (self.compute + forward(ranks) + self.backward(ranks) + self.gradients_not_hidden(ranks))


# --- the page ---


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows), ""]


def page(
    sent: list[Sent], lenet: dict[int, np.ndarray], seconds: dict[tuple[int, int], np.ndarray], load: float
) -> str:
    of_layer = [
        [str(s.ranks), str(s.channels), str(s.calls), f"{s.bytes:,}", f"{(s.ranks - 1) * 4 * (2 * s.channels + 2):,}"]
        for s in sent
    ]
    of_lenet = [[str(ranks), str(int(row[CALLS])), f"{int(row[BYTES]):,}"] for ranks, row in lenet.items()]
    measured = [
        [
            str(count),
            str(size),
            f"{1e3 * wall:.1f}",
            f"{count * size / wall:,.0f}",
            f"{100 * seconds[1, BATCH][0] * size / BATCH / wall:.0f}%",
            f"{1e3 * processor:.1f}",
            f"{100 * seconds[1, BATCH][1] * size / BATCH / processor:.0f}%",
        ]
        for (count, size), (wall, processor) in seconds.items()
    ]
    model, ranks = Model(), (1, 8, 64, 256, 1024, 4096, 16384)
    beyond = [
        [
            f"{r:,}",
            f"{1e3 * model.forward_by_gather(r):.2f}" if r > 1 else "0",
            f"{1e3 * model.forward_by_reduces(r):.2f}" if r > 1 else "0",
            f"{1e3 * model.backward(r):.2f}" if r > 1 else "0",
            f"{100 * model.efficiency(r, model.forward_by_gather):.0f}%",
            f"{100 * model.efficiency(r, model.forward_by_reduces):.0f}%",
        ]
        for r in ranks
    ]
    crossing = next(r for r in range(2, 10**6) if model.forward_by_gather(r) > model.forward_by_reduces(r))
    return "\n".join(
        [
            "# What synchronizing batch norm costs",
            "",
            "`python -m tests.experiments.scaling` writes this page.",
            "",
            "## Bytes and messages of a training step, counted",
            "",
            "Our `SyncBatchNorm` in PyTorch, float32, one layer, one step forward and backward, over gloo. Counted at "
            "the collective calls of every rank (all ranks hand over the same): one `all_gather` of 2C + 2 numbers and "
            "one `all_reduce` of 2C. What a rank receives in the gather grows with the ranks, since Chan's merge needs "
            "every shard's statistics.",
            "",
            *table(
                ["ranks", "channels", "calls", "bytes handed over by a rank", "bytes received in the gather"], of_layer
            ),
            "LeNet with four such layers (226 channels), one step, with the gradients as one vector of "
            f"{len(flat_parameters()):,} numbers:",
            "",
            *table(["ranks", "calls", "bytes handed over by a rank"], of_lenet),
            "## Efficiency at one and two processes, measured here",
            "",
            f"LeNet on the CPU, one thread a process: {ROUNDS} times {STEPS} steps of each row, in turn. The "
            f"machine has {os.cpu_count()} cores, and much other work shared them: the load average was up to "
            f"{load:.0f}. So the clock, of the fastest step, says little here (more than 100% is noise). The "
            "processor's time of a process, of the median step, says what a rank spends on synchronizing besides "
            "its share of the work, and nothing of how long it waits. 128 images in each of two processes is "
            "strong scaling, 256 is weak.",
            "",
            *table(
                [
                    "processes",
                    "images a process",
                    "ms a step",
                    "images a second",
                    "efficiency by the clock",
                    "processor ms a step and process",
                    "efficiency by the processor",
                ],
                measured,
            ),
            "## A model beyond this machine",
            "",
            "Not measured. Assumptions: ResNet-50 (53 layers, 26,560 channels, 25.6 million parameters), "
            f"{model.images} images a device and step at {model.images_a_second:,.0f} images a second of one device; "
            f"{1e6 * model.launch:g} us for each collective call and {1e6 * model.latency:g} us a hop of a tree; "
            f"{model.bandwidth / 1e9:g} GB/s into and out of a device, whatever the distance; rings at full bandwidth; "
            "batch norm's calls hide behind nothing, the gradients' all_reduce behind the backward pass; no device is "
            "slower than another.",
            "",
            *table(
                [
                    "devices",
                    "forward, one gather (ms)",
                    "forward, two all_reduces (ms)",
                    "backward (ms)",
                    "efficiency, gather",
                    "efficiency, two all_reduces",
                ],
                beyond,
            ),
            f"Under these assumptions the gather is the cheaper way forward up to {crossing - 1} devices. Beyond, its "
            "received bytes grow with the devices while two all_reduces (sums and count, then squared deviations from "
            "the common mean) stay at 2C numbers; they wait twice. Another way is to synchronize within groups of a "
            "fixed size: `process_group=` of the layer.",
            "",
        ]
    )


def flat_parameters() -> np.ndarray:
    return np.concatenate([w.ravel() for name, w in initial_weights(0).items() if "moving" not in name])


def main() -> None:
    quick = "--quick" in sys.argv
    ranks, channels = (RANKS[:2], CHANNELS[:1]) if quick else (RANKS, CHANNELS)
    sent = counted_bytes(ranks, channels)
    lenet = {count: started(step_of_lenet, count)[0] for count in ranks}
    load = os.getloadavg()[0]
    sizes = ((1, BATCH), (2, BATCH // 2), (2, BATCH))
    seconds = seconds_a_step(sizes, 1 if quick else ROUNDS)
    text = page(sent, lenet, seconds, max(load, os.getloadavg()[0]))
    print(text) if quick else PAGE.write_text(text)


if __name__ == "__main__":
    main()
