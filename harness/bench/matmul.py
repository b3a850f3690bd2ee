"""How fast a machine multiplies matrices: the limit of what a training's arithmetic can reach."""

from __future__ import annotations

from time import perf_counter

import numpy as np

SIDE = 2048
TRIES = 8


def matmul_rate(device: str) -> float:
    """FLOP/s of a large float32 matrix product on "cpu" or "cuda". The best of several."""
    if device == "cuda":
        import torch

        from impls.pytorch.training import full_precision

        a = torch.rand(SIDE, SIDE, device="cuda")

        def product() -> None:
            with full_precision():
                a @ a
                torch.cuda.synchronize()

    else:
        b = np.random.default_rng(0).random((SIDE, SIDE), np.float32)

        def product() -> None:
            b @ b

    product()
    seconds = []
    for _ in range(TRIES):
        started = perf_counter()
        product()
        seconds.append(perf_counter() - started)
    return 2 * SIDE**3 / min(seconds)
