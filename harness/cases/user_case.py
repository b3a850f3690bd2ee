"""A case made of the user's own arrays: `bnproof check TARGET --input FILE.npz`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.cases.archive import UNREADABLE, opened
from harness.cases.case import Case, Script, numpy_dtype, parameter_dtype
from harness.errors import UsageError

LIKE_X = ("x", "dy")
PER_CHANNEL = ("gamma", "beta", "moving_mean", "moving_var")
ARRAYS = LIKE_X + PER_CHANNEL
RANKS = (2, 3, 4, 5)


@dataclass(frozen=True)
class UserCase(Case):
    """The arrays of a file in place of drawn ones; what the file lacks is drawn as in any case."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def is_policy(self, channel: int, dtype: str) -> bool:
        """Where squares overflow or underflow in the arithmetic of the dtype, honest implementations differ."""
        limits = np.finfo(parameter_dtype(dtype))
        x = self.arrays["x"][:, channel].astype(np.longdouble)
        largest = np.abs(x[np.isfinite(x)]).max(initial=0)
        dy = np.abs(self.arrays["dy"][:, channel].astype(np.longdouble)).max() if "dy" in self.arrays else 0
        with np.errstate(all="ignore"):
            overflows = x.size * 4 * largest * np.fmax(largest, dy) > limits.max
            underflows = largest > 0 and largest * largest < limits.smallest_normal
        return bool(overflows or underflows)

    def make(self, dtype: str, seed: int, momentum: float, eps: float | None = None) -> Script:
        script = super().make(dtype, seed, momentum, eps)
        per_channel = self._given(PER_CHANNEL, parameter_dtype(dtype))
        like_x = self._given(LIKE_X, numpy_dtype(dtype))
        return Script(
            tuple(replace(setup, **per_channel) for setup in script.setups),
            tuple(replace(step, **like_x) for step in script.steps),
        )

    def _given(self, names: tuple[str, ...], dtype: np.dtype) -> dict[str, Any]:
        return {name: self.arrays[name].astype(dtype) for name in names if name in self.arrays}


def user_case(path: Path) -> UserCase:
    """Read and check the file. Channels are on axis 1 of x. Raises UsageError for whatever is wrong with it."""
    arrays = _read(path)
    x = arrays["x"]
    if x.ndim not in RANKS:
        raise UsageError(f"{path}: x must have rank 2 to 5, (N, C) or (N, C, ...); it has shape {x.shape}")
    if not x.size:
        raise UsageError(f"{path}: x is empty, it has shape {x.shape}; it needs a sample and a channel at least")
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise UsageError(f"{path}: {name} must be floating-point, it is {array.dtype}; save it as float32")
        expected = x.shape if name in LIKE_X else (x.shape[1],)
        if array.shape != expected:
            raise UsageError(
                f"{path}: {name} must have shape {expected} to go with x's {x.shape[1]} channels on axis 1; "
                f"it has {array.shape}"
            )
        if not np.isfinite(array).any():
            raise UsageError(f"{path}: {name} holds no finite number, so that nothing could be judged")
    return UserCase(
        id="your_input",
        why="the arrays that were given",
        source=str(path),
        shape=x.shape,
        data=partial(_as_given, x),
        arrays=arrays,
    )


def _as_given(x: np.ndarray, _rng: np.random.Generator, _shape: tuple[int, ...]) -> np.ndarray:
    return x


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name. Nothing in it is unpickled."""
    try:
        with opened(path) as archive:
            arrays = {name: _array(archive, name, path) for name in archive.files}
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except UsageError:
        raise
    except UNREADABLE as error:
        raise UsageError(f"{path} cannot be read as an .npz file; write it with numpy.savez(path, x=x)") from error
    unknown = sorted(set(arrays) - set(ARRAYS))
    if unknown or "x" not in arrays:
        problem = f"unknown array {unknown[0]!r}" if unknown else "no array 'x'"
        raise UsageError(f"{path}: {problem}; expected x and, if you like, {', '.join(ARRAYS[1:])}")
    return arrays


def _array(archive: Any, name: str, path: Path) -> np.ndarray:
    """One array of an open archive. Raises UsageError for Python objects, which only unpickling could load."""
    if _holds_objects(archive, name):
        raise UsageError(
            f"{path}: {name} is an array of Python objects, which is not loaded; "
            f"save numbers: numpy.savez(path, {name}={name}.astype('float32'))"
        )
    array: np.ndarray = archive[name]
    return array


def _holds_objects(archive: Any, name: str) -> bool:
    """Whether the header of a member says that its elements are pickled objects."""
    with archive.zip.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = read_header(member)
    return bool(dtype.hasobject)
