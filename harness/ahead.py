"""What is done while a target's own process plays: the next case made ready, the last one judged, others played."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def beside(elsewhere: bool) -> Iterator[Executor]:
    """A thread, where the target plays in another process; else what does all at once: two would share a processor.

    What has not begun when it is left is not done.
    """
    executor = ThreadPoolExecutor(1, "beside") if elsewhere else AtOnce()
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def meanwhile(work: Callable[[], T], break_off: Callable[[], None]) -> Iterator[Future[T]]:
    """Work in a thread of its own, which is over when this is left. break_off: ends it where something goes wrong."""
    with ThreadPoolExecutor(1, "meanwhile") as executor:
        try:
            yield started(executor, work)
        except BaseException:
            break_off()
            raise


class AtOnce(Executor):
    """Does what is submitted before it returns."""

    def submit(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def started(executor: Executor, work: Callable[[], T]) -> Future[T]:
    """Have it done, with the context variables of the caller (NumPy keeps there how it handles errors)."""
    return executor.submit(copy_context().run, work)


def one_early(futures: Iterable[Future[T]]) -> Iterator[Future[T]]:
    """The same, each of which is started before the one before it is given."""
    waiting: deque[Future[T]] = deque()
    for future in futures:
        waiting.append(future)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
