"""Arrays as JSON: {"dtype": "float32", "shape": [4, 5], "data": base64 of the values in C order, little-endian}."""

from __future__ import annotations

import base64
import binascii
import math
import re
import sys
from typing import Any

import numpy as np

BFLOAT16, LONGDOUBLE = "bfloat16", "longdouble"
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = ("float64", "float32", "float16", BFLOAT16, LONGDOUBLE, *INTEGERS, "bool", "complex64", "complex128")
"""Those whose values are sent. An array of any other is sent without them: its dtype is wrong, and that is all that
will be said of it."""
MOST_WITHOUT_VALUES = 2**24
"""Elements of an array that is sent without its values."""


OTHER_ORDER = re.compile("[<>][fiu][248]")


class WireError(ValueError):
    """What came is not as WIRE.md has it. The message says where and what."""


def to_wire(array: np.ndarray) -> dict[str, Any]:
    name = LONGDOUBLE if array.dtype == np.longdouble != np.float64 else array.dtype.name
    if name not in DTYPES or not array.dtype.isnative:
        return {"dtype": array.dtype.str, "shape": list(array.shape), "data": None}
    if sys.byteorder == "big":
        array = array.byteswap()
    data = binascii.b2a_base64(array.tobytes(), newline=False).decode("ascii")
    return {"dtype": name, "shape": list(array.shape), "data": data}


def from_wire(value: Any, where: str) -> np.ndarray:
    """The array, which can be written to. Raises WireError that begins with `where`."""
    if not isinstance(value, dict):
        raise WireError(f"{where}: expected an array, an object with dtype, shape and data; got {shown(value)}")
    shape, name, data = (value.get(key) for key in ("shape", "dtype", "data"))
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise WireError(f"{where}: shape must be a list of whole numbers such as [4, 5]; got {shown(shape)}")
    if not isinstance(name, str):
        raise WireError(f"{where}: dtype must be a string such as float32; got {shown(name)}")
    try:
        if data is None and "data" in value:
            return _without_values(name, shape, where)
        return _with_values(name, shape, data, where)
    except (ValueError, OverflowError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"{where}: {error}") from error


def _with_values(name: str, shape: list[int], data: Any, where: str) -> np.ndarray:
    if name not in DTYPES:
        raise WireError(f"{where}: unknown dtype {shown(name)}; known: {', '.join(DTYPES)}")
    if not isinstance(data, str):
        raise WireError(f"{where}: data must be a string of base64; got {shown(data)}")
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError as error:
        raise WireError(f"{where}: data is not base64: {error}") from error
    dtype = dtype_called(name)
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise WireError(f"{where}: data holds {len(content)} bytes; {name} of shape {shape} has {shown(expected)}")
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.byteswap() if sys.byteorder == "big" else array.copy()


def _without_values(name: str, shape: list[int], where: str) -> np.ndarray:
    """Zeros: of that dtype where it is a number's in the other byte order, else of objects."""
    if name in DTYPES:
        raise WireError(f"{where}: data is null; the values of {name} can be sent")
    if math.prod(shape) > MOST_WITHOUT_VALUES:
        raise WireError(f"{where}: data is null and shape is {shown(shape)}")
    return np.zeros(shape, name if OTHER_ORDER.fullmatch(name) else object)


def dtype_called(name: str) -> np.dtype:
    if name == BFLOAT16:
        import ml_dtypes  # a player needs it for bfloat16 alone

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(np.longdouble) if name == LONGDOUBLE else np.dtype(name)


def shown(value: Any) -> str:
    """A value from the wire as a message shows it."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
