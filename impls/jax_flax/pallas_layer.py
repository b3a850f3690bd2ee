"""The layer of `batch_norm.py` by the Pallas kernels: what is checked as `jax-pallas` and `jax-pallas-parts`.

On a CPU, JAX interprets the kernels. They have never run on a GPU.
"""

from __future__ import annotations

from typing import Any

import jax

from impls.jax_flax.batch_norm import RANKS, BatchNorm, batch_norm
from impls.jax_flax.pallas_plan import Chip, Kernels
from reference.conventions import D2L

SMALL = Chip(kept=8, summed=16, wide=4)
"""So small that nearly every channel has several programs and tiles, whose last ones reach beyond x."""


def by_kernels(kernels: Kernels) -> Any:
    """`batch_norm` in d2l's conventions by the kernels, under jit."""

    def batch_norm_by_kernels(x, gamma, beta, moving_mean, moving_var, eps, momentum, *, training):
        return batch_norm(x, gamma, beta, moving_mean, moving_var, eps, momentum, training=training, kernels=kernels)

    compiled: Any = jax.jit(batch_norm_by_kernels, static_argnames="training")
    compiled.conventions = D2L
    compiled.dtypes = ("float64", "float32", "bfloat16", "float16")
    compiled.ranks = RANKS
    compiled.summation = "pairwise"  # `Tiling.additions` counts them; `paired_sums.py` makes the rest
    return compiled


whole = by_kernels(True)
"""The target `jax-pallas`: a channel stays on the chip, wherever it can."""
parts = by_kernels(SMALL)
"""The target `jax-pallas-parts`: programs share a channel, as they do where one is large."""


class FasterBatchNorm(BatchNorm):
    """`BatchNorm` by the Pallas kernels where a GPU is and they prove faster; there it has no forward mode."""

    kernels = None
