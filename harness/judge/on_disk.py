"""What is expected of a script as bytes, and back: every number to the bit, every array in its order in memory.

A line of JSON that describes the steps, then the arrays; a checksum of both comes first.
"""

from __future__ import annotations

import json
import math
import sys
import zlib
from dataclasses import fields
from typing import Any

import numpy as np

from harness.judge.expected import Expected
from reference.oracle_error import Shares

ALIGNED = 64
"""Bytes: every array begins at a multiple of these, counted from the first."""
NAMES = [field.name for field in fields(Expected)]


FLOATS = (np.float16, np.float32, np.float64, np.longdouble)
"""What can be read again by its name; a subclass of np.floating need not be."""
DTYPES = {np.dtype(kind).str: np.dtype(kind) for kind in FLOATS}


def quadruple() -> dict[str, np.dtype]:
    """The same of quadruple precision, where it is in use: who asks for its values has imported it."""
    library = sys.modules.get("numpy_quaddtype")
    return {} if library is None else {str(library.QuadPrecDType()): library.QuadPrecDType()}


class NotKeptError(Exception):
    """Something in it has no form here."""


def written(expected: list[Expected]) -> bytes:
    """Raises NotKeptError for a type of number other than NumPy's own floats and quadruple precision."""
    writer = _Writer()
    steps = [[writer.put(getattr(step, name)) for name in NAMES] for step in expected]
    head = json.dumps({"names": NAMES, "steps": steps}).encode() + b"\n"
    content = head + b"".join(writer.blocks)
    return zlib.crc32(content).to_bytes(4, "big") + content


def read(content: bytes) -> list[Expected]:
    """Raises ValueError for what is damaged, or was written for other fields."""
    body = memoryview(content)[4:]
    if len(content) < 4 or zlib.crc32(body) != int.from_bytes(content[:4], "big"):
        raise ValueError("the checksum is wrong")
    try:
        return _steps(content)
    except (LookupError, TypeError, AttributeError, SyntaxError, OverflowError, RecursionError) as error:
        raise ValueError(f"it was written otherwise: {error}") from error


def _steps(content: bytes) -> list[Expected]:
    end = content.index(b"\n", 4) + 1
    head = json.loads(content[4:end])
    if head["names"] != NAMES:
        raise ValueError("it has other fields")
    reader = _Reader(bytearray(content[end:]))
    return [
        Expected(**{name: reader.get(value) for name, value in zip(NAMES, step, strict=True)}) for step in head["steps"]
    ]


class _Writer:
    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self._size = 0
        self._placed: dict[int, tuple[np.ndarray, list[Any]]] = {}
        """By id, with the array itself so that no other gets that id: several steps may hold the same one."""

    def put(self, value: Any) -> Any:
        """The value as JSON, its arrays in the blocks."""
        if isinstance(value, np.ndarray):
            return {"array": self._place(value)}
        if isinstance(value, np.generic):
            return {"number": self._place(np.asarray(value))}
        if isinstance(value, dict):
            return {"dict": [[key, self.put(each)] for key, each in value.items()]}
        if isinstance(value, tuple):
            return {"tuple": [self.put(each) for each in value]}
        if isinstance(value, Shares):
            return {"shares": [self.put(value.oracle), self.put(value.evaluation)]}
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise NotKeptError(type(value).__name__)

    def _place(self, array: np.ndarray) -> list[Any]:
        if array.dtype.type not in FLOATS and str(array.dtype) not in quadruple():
            raise NotKeptError(str(array.dtype))
        if id(array) not in self._placed:
            order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
            block = array.transpose(order).tobytes()
            described = [array.dtype.str, [array.shape[axis] for axis in order], order, self._size]
            self._placed[id(array)] = array, described
            self.blocks.append(block + bytes(-len(block) % ALIGNED))
            self._size += len(self.blocks[-1])
        return self._placed[id(array)][1]


class _Reader:
    def __init__(self, blocks: bytearray) -> None:
        self._blocks = blocks
        self._arrays: dict[tuple[object, ...], np.ndarray] = {}

    def get(self, value: Any) -> Any:
        """What `_Writer.put` made JSON of."""
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "array":
            return self._array(*content)
        if kind == "number":
            return self._array(*content)[()]
        if kind == "dict":
            return {key: self.get(each) for key, each in content}
        if kind == "tuple":
            return tuple(self.get(each) for each in content)
        return Shares(*(self.get(each) for each in content))

    def _array(self, dtype: str, shape: list[int], order: list[int], start: int) -> np.ndarray:
        which = (dtype, start, *shape, *order)
        if which not in self._arrays:
            laid_out = self._numbers(dtype, math.prod(shape), start)
            self._arrays[which] = laid_out.reshape(shape).transpose([order.index(axis) for axis in range(len(order))])
        return self._arrays[which]

    def _numbers(self, dtype: str, count: int, start: int) -> np.ndarray:
        """`count` numbers from there on, in a row."""
        if dtype in DTYPES:
            return np.frombuffer(self._blocks, dtype, count, start) if count else np.zeros(0, dtype)
        if dtype not in quadruple():
            raise ValueError(f"its arrays are no {dtype}")
        numbers = np.empty(count, quadruple()[dtype])  # copied: what is not aligned ends numpy_quaddtype's process
        numbers.view(np.uint8)[:] = np.frombuffer(self._blocks, np.uint8, numbers.nbytes, start) if count else 0
        return numbers
