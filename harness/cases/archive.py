"""An .npz file that somebody else may have written, or that is damaged."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np

UNREADABLE = (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError,
              MemoryError, SyntaxError, TokenError, BadZipFile, struct.error, zlib.error,
              DeprecationWarning)  # fmt: skip
"""What numpy.load and zipfile raise for a file that is no archive of arrays, or for a damaged or encrypted one. The
header of an array is read as Python; a method of compression that Python lacks raises a kind of RuntimeError; a type by
a name that NumPy gave up is none that was written here."""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The arrays, to be read by name while it is open; nothing is unpickled. What it cannot read is of UNREADABLE."""
    with warnings.catch_warnings(), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        warnings.simplefilter("ignore", UserWarning)  # that it was written by Python 2
        warnings.simplefilter("error", DeprecationWarning)
        yield arrays
