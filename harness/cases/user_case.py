"""A case made of the user's own arrays: `bnproof check TARGET --input FILE.npz`."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.cases.case import Case, Script, numpy_dtype, parameter_dtype
from harness.errors import UsageError

ARRAYS = ("x", "dy", "gamma", "beta", "moving_mean", "moving_var")
RANKS = (2, 3, 4, 5)


@dataclass(frozen=True)
class UserCase(Case):
    """The arrays of a file in place of drawn ones; what the file lacks is drawn as in any case."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def make(self, dtype: str, seed: int, momentum: float, eps: float | None = None) -> Script:
        script = super().make(dtype, seed, momentum, eps)
        given: dict[str, Any] = {
            n: a.astype(parameter_dtype(dtype)) for n, a in self.arrays.items() if n not in ("x", "dy")
        }
        wide: dict[str, Any] = {n: self.arrays[n].astype(numpy_dtype(dtype)) for n in ("x", "dy") if n in self.arrays}
        return Script(
            tuple(replace(setup, **given) for setup in script.setups),
            tuple(replace(step, **wide) for step in script.steps),
        )


def user_case(path: Path) -> UserCase:
    """Read and check the file. Channels are on axis 1 of x. Raises UsageError for whatever is wrong with it."""
    arrays = _read(path)
    x = arrays["x"]
    if x.ndim not in RANKS:
        raise UsageError(f"{path}: x must have rank 2 to 5, (N, C) or (N, C, ...); it has shape {x.shape}")
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise UsageError(f"{path}: {name} must be floating-point, it is {array.dtype}; save it as float32")
        expected = x.shape if name in ("x", "dy") else (x.shape[1],)
        if array.shape != expected:
            raise UsageError(
                f"{path}: {name} must have shape {expected} to go with x's {x.shape[1]} channels on axis 1; "
                f"it has {array.shape}"
            )
    return UserCase(
        id="your_input",
        why="the arrays that were given",
        source=str(path),
        shape=x.shape,
        data=lambda rng, shape: x,  # noqa: ARG005 - a generator's signature
        arrays=arrays,
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read as an .npz file; write it with numpy.savez(path, x=x)") from error
    unknown = sorted(set(arrays) - set(ARRAYS))
    if unknown or "x" not in arrays:
        problem = f"unknown array {unknown[0]!r}" if unknown else "no array 'x'"
        raise UsageError(f"{path}: {problem}; expected x and, if you like, {', '.join(ARRAYS[1:])}")
    return arrays
