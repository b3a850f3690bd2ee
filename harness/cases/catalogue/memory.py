"""How the input lies in memory, and who may write to it."""

from __future__ import annotations

from harness.cases.case import Case

MEMORY = (
    Case(
        "sliced_input",
        "every second value of a wider array",
        traps=("strides_ignored",),
        layout="sliced",
    ),
    Case(
        "transposed_input",
        "an array with its strides in the other order",
        traps=("strides_ignored",),
        layout="transposed",
    ),
    Case(
        "read_only_input",
        "an array that may not be written to",
        ("input_mutated",),
        ("input_modified",),
        layout="read_only",
    ),
)
