"""The layer of `batch_norm.py` by the Triton kernels or not at all: what is checked and timed as `torch-triton`.

On CUDA; on the CPU only in Triton's interpreter, which TRITON_INTERPRET=1 in the environment chooses.
"""

from __future__ import annotations

from impls.pytorch.batch_norm import BatchNorm
from impls.pytorch.triton_launch import INTERPRETED


class TritonBatchNorm(BatchNorm):
    """BatchNorm by Triton kernels."""

    kernels = True
    devices = ("cpu", "cuda") if INTERPRETED else ("cuda",)
    """Where it computes."""
