"""What is expected of the catalogue's cases, kept on the disk: working it out is most of what a NumPy target takes.

What is kept is what was computed, to the bit and in the same order in memory. It is looked up by every number of the
script, the sources of the oracle, of the bounds and of the cases, by Python, NumPy and the processor: whatever could
give other numbers.
BNPROOF_EXPECTED=keep turns it on, as the command line does; any other value keeps nothing and reads nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sys
import tempfile
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from harness import observables
from harness.cases import catalogue
from harness.cases.case import Script
from harness.judge import on_disk
from harness.judge.expected import Expected, expect
from harness.judge.oracle import oracle_dtype
from harness.targets.compilation_cache import make_room_now_and_then, processor, user_cache
from reference import batch_norm
from reference.conventions import Conventions

SWITCH = "BNPROOF_EXPECTED"
KEPT_BYTES = 600 * 2**20
"""The full suite takes 40 MB under each of the conventions, all of the tests 430. What was written first goes first."""
SMALL = 1024
"""Elements of a script's largest input, for wider bounds to be kept: most cases are smaller, and take a few KB."""


_KEPT_ONES: WeakSet[Script] = WeakSet()
"""The scripts of which the disk keeps what is expected."""


def kept_expected(script: Script, conventions: Conventions, summation: str = "any", **wider: Any) -> list[Expected]:
    """`expect`, from the disk where it is there. wider: what else `expect` takes, where wider bounds are asked for."""
    if os.environ.get(SWITCH) != "keep":
        return expect(script, conventions, summation=summation, **wider)
    _KEPT_ONES.add(script)
    try:
        file = folder() / _key(script, conventions, summation, wider)
    except (OSError, RuntimeError):  # no place, or a user without a home
        return expect(script, conventions, summation=summation, **wider)
    with contextlib.suppress(OSError, ValueError):
        return on_disk.read(file.read_bytes())
    expected = expect(script, conventions, summation=summation, **wider)
    with contextlib.suppress(OSError, on_disk.NotKeptError):
        _write(file, on_disk.written(expected))
    return expected


def wider_expected(script: Script, conventions: Conventions, **wider: Any) -> list[Expected]:
    """The wider bounds that diagnosis asks for: kept as well, of a small script whose own bounds are."""
    small = all(step.x is None or step.x.size <= SMALL for step in script.steps)
    return (kept_expected if small and script in _KEPT_ONES else expect)(script, conventions, **wider)


_DIGESTS: WeakKeyDictionary[Script, bytes] = WeakKeyDictionary()
"""Of each script: several things may be expected of it."""


def _key(script: Script, conventions: Conventions, summation: str, wider: dict[str, Any]) -> str:
    if script not in _DIGESTS:
        of_script = hashlib.sha256()
        _feed(of_script, script)
        _DIGESTS[script] = of_script.digest()
    digest = hashlib.sha256(_ground().encode() + _DIGESTS[script])
    _feed(digest, (conventions, summation, arithmetic(oracle_dtype(script.setups[0].dtype)), *sorted(wider.items())))
    return digest.hexdigest()


def arithmetic(wide: np.dtype) -> str:
    """The oracle's type, and the release of what computes in it (`_ground` has NumPy's)."""
    library = wide.type.__module__.partition(".")[0]
    return str(wide) if library == "numpy" else f"{wide} {library} {sys.modules[library].__version__}"


def _feed(digest: Any, value: Any) -> None:
    """The content of arrays, dataclasses and tuples of them; of anything else what it looks like."""
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape} ".encode() + value.tobytes())
    elif is_dataclass(value):
        digest.update(type(value).__name__.encode())
        for field in fields(value):
            _feed(digest, getattr(value, field.name))
    elif isinstance(value, tuple):
        digest.update(f"{len(value)} of ".encode())
        for each in value:
            _feed(digest, each)
    else:
        digest.update(f"{value!r} ".encode())


@cache
def folder() -> Path:
    """The user's, ready to be written to. Raises OSError or RuntimeError where there is no place."""
    place = user_cache() / "expected"
    place.mkdir(parents=True, exist_ok=True)
    make_room_now_and_then(place, KEPT_BYTES)
    return place


@cache
def _ground() -> str:
    """What the numbers rest on besides the case, as a digest."""
    digest = hashlib.sha256()
    rooms = (Path(__file__).parent, Path(catalogue.__file__).parent, Path(batch_norm.__file__).parent)
    for source in [Path(observables.__file__), *(path for room in rooms for path in sorted(room.rglob("*.py")))]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    simd = os.environ.get("NPY_DISABLE_CPU_FEATURES", "")
    digest.update(
        json.dumps([sys.version, np.__version__, platform.machine(), processor(), sys.byteorder, simd]).encode()
    )
    return digest.hexdigest()


def _write(file: Path, content: bytes) -> None:
    """All of it or nothing: several processes may write the same."""
    descriptor, path = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as temporary:
            temporary.write(content)
        os.replace(path, file)
    except OSError:
        Path(path).unlink(missing_ok=True)
        raise
