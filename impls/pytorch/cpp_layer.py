"""The layer of `batch_norm.py` computed by the C++ kernels: what is checked and timed as `torch-cpp`."""

from __future__ import annotations

from impls.pytorch.batch_norm import BatchNorm


class CppBatchNorm(BatchNorm):
    """BatchNorm by C++ kernels, and by plain operations what they do not take."""

    cpp = True
