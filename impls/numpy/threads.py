"""Two threads for two parts of a computation: NumPy lets others run while it computes. See `LeNet`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

Part = Generator[tuple[Callable[[list[Any]], Any], Any], Any, Any]
"""Yields a function and a value. Once all parts have, one of them calls the function with the values of all, in order,
and each goes on with what it returned."""
Run = Callable[[Sequence[Part]], list[Any]]
"""Runs parts to their ends, and returns their results."""


def in_turn(parts: Sequence[Part]) -> list[Any]:
    """Each to where it yields, in this thread."""
    joined = None
    while True:
        arrived = [advance(part, joined) for part in parts]
        if arrived[0][1]:
            return [result for result, _ in arrived]
        joined = arrived[0][0][0]([value for (_, value), _ in arrived])


def advance(part: Part, joined: Any) -> tuple[Any, bool]:
    """(what it yields, False) or (what it returns, True)."""
    try:
        return part.send(joined), False
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
    """As `two_threads`."""
    parts: SimpleQueue[tuple[Part, Meeting] | None] = SimpleQueue()

    def work() -> None:
        while (given := parts.get()) is not None:
            part, meeting = given
            try:
                meeting.result.put((meeting.run(1, part), None))
            except BaseException as error:
                meeting.result.put((None, error))

    def run(pair: Sequence[Part]) -> list[Any]:
        if len(pair) == 1:
            return in_turn(pair)
        meeting = Meeting()
        try:
            parts.put((pair[1], meeting))
            here = meeting.run(0, pair[0])
        except LeftAloneError:
            here = None
        except BaseException:  # the user's interrupt may come before the part runs
            meeting.leave(0)
            raise
        there, error = meeting.result.get()
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


class Meeting:
    """Where two threads wait for each other. The first waits and the last goes on: a barrier would wake both."""

    def __init__(self) -> None:
        self.values: list[Any] = [None, None]
        self.arrivals = count()
        self.joined: tuple[SimpleQueue[Any], SimpleQueue[Any]] = (SimpleQueue(), SimpleQueue())
        self.result: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        """The second one's. Nobody takes it where the first has failed, so that it is not another run's."""

    def run(self, number: int, part: Part) -> Any:
        """The result of the part of that number, 0 or 1."""
        try:
            own, ended = advance(part, None)
            while not ended:
                own, ended = advance(part, self.meet(number, *own))
        except BaseException:
            self.leave(number)
            raise
        return own

    def leave(self, number: int) -> None:
        """The other one need not wait any more."""
        self.joined[1 - number].put(LeftAloneError)

    def meet(self, number: int, join: Callable[[list[Any]], Any], value: Any) -> Any:
        self.values[number] = value
        if next(self.arrivals) % 2:
            joined = join(list(self.values))
            self.joined[1 - number].put(joined)
            return joined
        joined = self.joined[number].get()
        if joined is LeftAloneError:
            raise LeftAloneError
        return joined


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
