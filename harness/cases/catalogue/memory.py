"""How the input lies in memory, and who may write to it."""

from __future__ import annotations

from harness.cases.case import Case
from harness.cases.data import same_for_all_samples

MEMORY = (
    Case(
        "sliced_input",
        "every second value of a wider array",
        ("strides_ignored",),
        traps=("strides_ignored",),
        layout="sliced",
        quick=True,
    ),
    Case(
        "transposed_input",
        "an array with its strides in the other order",
        ("strides_ignored",),
        traps=("strides_ignored",),
        layout="transposed",
        quick=True,
    ),
    Case(
        "moved_channels",
        "NHWC memory under an NCHW shape, as torch's channels_last, or the other way round",
        ("strides_ignored",),
        traps=("strides_ignored",),
        layout="moved_channels",
        quick=True,
    ),
    Case(
        "offset_input",
        "a view that starts within a larger array: no longer aligned, and not where its buffer begins",
        ("strides_ignored",),
        traps=("strides_ignored",),
        layout="offset",
    ),
    Case(
        "reversed_input",
        "negative strides: an array that runs backwards, which some libraries refuse",
        traps=("strides_ignored",),
        layout="reversed",
        may_refuse=True,
    ),
    Case(
        "broadcast_gradient",
        "a dy with a stride of zero, as a mean over the batch sends back: all samples share one memory",
        traps=("strides_ignored",),
        gradient=same_for_all_samples,
        dy_layout="broadcast",
        may_refuse=True,
    ),
    Case(
        "read_only_input",
        "an array that may not be written to",
        ("input_mutated",),
        ("input_modified",),
        layout="read_only",
    ),
)
