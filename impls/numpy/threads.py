"""Two threads for two parts of a computation: NumPy lets others run while it computes. See `LeNet`."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from queue import SimpleQueue
from threading import Thread
from time import sleep
from typing import Any

import numpy as np

LOOKS = 40
"""Before a thread sleeps until the other one arrives, which mostly takes less than to be woken: 50 us."""

Part = Generator[Any, Any, Any]
"""Yields what is to be added to the others' of its kind, goes on with the sum, and returns its result."""
Run = Callable[[Sequence[Part]], list[Any]]
"""Runs parts to their ends, and returns their results. The sums are added in their order, whoever runs what."""


def in_turn(parts: Sequence[Part]) -> list[Any]:
    """Each to where it yields, in this thread."""
    total = None
    while True:
        arrived = [advance(part, total) for part in parts]
        if arrived[0][1]:
            return [result for result, _ in arrived]
        total = reduce(operator.add, [value for value, _ in arrived])


def advance(part: Part, total: Any) -> tuple[Any, bool]:
    """(what it yields, False) or (what it returns, True)."""
    try:
        return part.send(total), False
    except StopIteration as end:
        return end.value, True


@contextmanager
def two_threads() -> Iterator[Run]:
    """Runs the second of two parts in a thread of its own, where NumPy's OpenBLAS may use two: OMP_NUM_THREADS says so.

    Elsewhere in turn. A product is computed by one thread inside, so that the results are the same either way.
    """
    blas = OpenBLAS.of_numpy()
    if blas is None:
        yield in_turn
        return
    before = blas.get_threads()
    blas.set_threads(1)
    try:
        if before == 1:
            yield in_turn
        else:
            with beside() as run:
                yield run
    finally:
        blas.set_threads(before)


class LeftAloneError(Exception):
    """The other part has failed."""


@contextmanager
def beside() -> Iterator[Run]:
    """As `two_threads`. Of two that meet, the first waits and the last goes on: a barrier would wake both."""
    to_first: SimpleQueue[Any] = SimpleQueue()
    to_second: SimpleQueue[Any] = SimpleQueue()
    parts: SimpleQueue[Part | None] = SimpleQueue()
    results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def work() -> None:
        while (part := parts.get()) is not None:
            try:
                results.put((meeting(part, to_second, to_first, lambda own, other: other + own), None))
            except BaseException as error:
                results.put((None, error))

    def run(pair: Sequence[Part]) -> list[Any]:
        if len(pair) == 1:
            return in_turn(pair)
        first, second = pair
        parts.put(second)
        try:
            here = meeting(first, to_first, to_second, operator.add)
        except LeftAloneError:
            here = None
        there, error = results.get()
        if error:
            raise error
        return [here, there]

    thread = Thread(target=work, name="second half", daemon=True)
    thread.start()
    try:
        yield run
    finally:
        parts.put(None)
        thread.join()


def meeting(part: Part, mine: SimpleQueue[Any], others: SimpleQueue[Any], add: Callable[[Any, Any], Any]) -> Any:
    """The part's result; what it yields goes to `others`, and what the other one yields comes out of `mine`."""
    try:
        own, ended = advance(part, None)
        while not ended:
            others.put(own)
            for _ in range(LOOKS):
                if not mine.empty():
                    break
                sleep(0)
            other = mine.get()
            if other is LeftAloneError:
                raise LeftAloneError
            own, ended = advance(part, add(own, other))
    except BaseException:
        others.put(LeftAloneError)
        raise
    return own


class OpenBLAS:
    """How many threads a product takes, of the OpenBLAS that NumPy was linked with."""

    NAMES = ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads")
    """In wheels of 64 and of 32 bits, and in distributions."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.get_threads: Callable[[], int] = getattr(library, name.format("get"))
        self.set_threads: Callable[[int], None] = getattr(library, name.format("set"))

    @classmethod
    def of_numpy(cls) -> OpenBLAS | None:
        """None where NumPy was linked with another BLAS, or its symbols are hidden."""
        try:
            library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
        except (AttributeError, OSError):
            return None
        names = [name for name in cls.NAMES if hasattr(library, name.format("set"))]
        return cls(library, names[0]) if names else None
