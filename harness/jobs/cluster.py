"""Jobs on the workers of a Dask cluster. Dask tries a job elsewhere when its worker dies; here that is only bounded."""

from __future__ import annotations

import contextlib
import logging
import operator
import pickle
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.jobs.identity import Identity, identity
from harness.jobs.job import Job, JobFailure, Tell, Unwanted, attempt, died_too_often, failure_of
from harness.jobs.progress import OnProgress, Progress, ignore
from harness.jobs.worker import Throttled

if TYPE_CHECKING:
    from distributed import Client, Future

INSTALL = "--on needs distributed: pip install 'bnproof[dask]'"
CONNECT_SECONDS = 10
WORKERLESS_SECONDS = 60.0
"""How long a cluster may be without workers while there is work: they may be starting anew."""
POLL_SECONDS = 0.05
LOOK_SECONDS = 2.0
"""How often the scheduler is asked for its workers."""
AHEAD = 16
"""How many jobs a worker's thread may be ahead of the one whose result is next."""
WANTED = ("executing", "long-running")
"""The states in which Dask has a task that is being done and waited for."""


@contextlib.contextmanager
def open_cluster(address: str) -> Iterator[Cluster]:
    """Raises UsageError where no scheduler answers there, or where a worker cannot do our work."""
    client = connect(address)
    try:
        refuse_unfit(client, address)
        yield Cluster(client, address)
    finally:
        client.close()


def connect(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(INSTALL) from None
    for logger in ("distributed", "distributed.client"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # what goes wrong is an error of ours, in one line
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except OSError:
        raise UsageError(f"--on {address}: no Dask scheduler answered within {CONNECT_SECONDS} s") from None
    except ValueError as error:
        raise UsageError(f"--on {address}: {error}; write tcp://HOST:PORT") from None


def refuse_unfit(client: Client, address: str) -> None:
    """Raises UsageError where there is no worker, or one whose results could be others."""
    with contextlib.suppress(TimeoutError):
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    answers = client.run(pickle.loads, pickle.dumps(Introduction()), on_error="return")
    if not answers:
        raise UsageError(f"--on {address}: the scheduler has no workers; start some: dask worker {address}")
    for worker, answer in answers.items():
        if problem := unfit(answer):
            raise UsageError(f"--on {address}: worker {worker} {problem}")


class Introduction:
    """Unpickled, it is the identity of whoever did so; where there is no bnproof, that is an ImportError."""

    def __reduce__(self) -> tuple[Callable[[], Identity], tuple[()]]:
        return identity, ()


def unfit(answer: Identity | Exception) -> str:
    """What is wrong with a worker that says so of itself; "" where nothing is."""
    if isinstance(answer, ImportError | AttributeError):
        return f"cannot import this bnproof ({answer}): start it where bnproof is installed, or in a checkout of it"
    if isinstance(answer, Exception):
        return f"fails: {type(answer).__name__}: {answer}"
    differences = identity().differences(answer)
    return f"is not of the same version: {differences}" if differences else ""


@dataclass(frozen=True)
class ClusterTask:
    """What a worker is sent."""

    number: int
    job: Job
    """Without what it shares."""
    topic: str
    """Under which it tells its progress."""
    expected: Identity


@dataclass(frozen=True)
class Performer:
    """Does tasks on a worker, in one of its threads, and has what their jobs share.

    It is sent as bytes to be unpickled there, and so are the tasks: a scheduler, which looks at what it passes on, can
    do without bnproof.
    """

    shared: Any

    def __call__(self, pickled: bytes) -> Any:
        """The result of the job, or a Failure."""
        task: ClusterTask = pickle.loads(pickled)
        if problem := task.expected.differences(identity()):  # it may have joined the cluster after all were asked
            return JobFailure(f"a worker is not of the same version: {problem}")
        return attempt(replace(task.job, shared=self.shared), telling(task))


def telling(task: ClusterTask) -> Tell:
    """Called on the worker that does it."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    log = Throttled(lambda share, text: worker.log_event(task.topic, (task.number, share, text)))

    def tell(share: float, text: str) -> None:
        state = worker.state.tasks.get(key)
        if state is None or state.state not in WANTED:
            raise Unwanted
        log(share, text)

    return tell


class Cluster:
    """The workers of a scheduler."""

    def __init__(self, client: Client, address: str) -> None:
        self._client, self._address = client, address
        self._looked = self._had_workers = time.monotonic()
        self._performers: dict[int, tuple[Any, Future]] = {}

    def in_order(self, jobs: Iterable[Job], on_progress: OnProgress = ignore) -> Generator[Any, None, None]:
        topic = f"bnproof-{uuid.uuid4().hex}"
        told: SimpleQueue[tuple[int, float, str]] = SimpleQueue()
        progress = Progress(on_progress)
        tasks = (ClusterTask(number, job, topic, identity()) for number, job in enumerate(jobs))
        under_way: dict[int, Future] = {}
        due = 0
        self._had_workers = time.monotonic()
        self._client.subscribe_topic(topic, lambda event: told.put(event[1]))
        try:
            while True:
                ahead = AHEAD * max(1, self._threads()) - len(under_way)
                for task in islice(tasks, max(0, ahead)):
                    under_way[task.number] = self._submit(task)
                if due not in under_way:
                    return
                self._wait_for(under_way[due], told, progress)
                outcome = outcome_of(under_way.pop(due))
                progress.finish(due)
                yield outcome
                due += 1
        finally:
            self._client.unsubscribe_topic(topic)
            self._client.cancel([*under_way.values()], force=True)

    def _submit(self, task: ClusterTask) -> Future:
        performer = self._performer(task.job.shared)
        sent = pickle.dumps(replace(task, job=replace(task.job, shared=None)))
        key = f"{task.topic}-{task.number}"
        return self._client.submit(operator.call, performer, sent, key=key, priority=-task.number, pure=False)

    def _performer(self, shared: Any) -> Future:
        if id(shared) not in self._performers:
            import dask

            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
                sent = pickle.dumps(Performer(shared))
                future = self._client.submit(pickle.loads, sent, key=f"bnproof-{uuid.uuid4().hex}", pure=False)
            self._performers[id(shared)] = shared, future  # kept with its future: no other object gets its id
        return self._performers[id(shared)][1]

    def _wait_for(self, future: Future, told: SimpleQueue[tuple[int, float, str]], progress: Progress) -> None:
        while not future.done():
            with contextlib.suppress(Empty):
                progress.tell(*told.get(timeout=POLL_SECONDS))
            self._look_for_workers()
        while not told.empty():
            progress.tell(*told.get())

    def _threads(self) -> int:
        return sum(worker["nthreads"] for worker in self._workers().values())

    def _workers(self) -> dict[str, Any]:
        return self._client.scheduler_info(n_workers=-1)["workers"]

    def _look_for_workers(self) -> None:
        """Raises UsageError where the scheduler is gone, or has had no worker for long."""
        if self._client.status != "running":
            raise UsageError(f"--on {self._address}: the connection to the scheduler was lost")
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._workers():
            self._had_workers = now
        elif now - self._had_workers > WORKERLESS_SECONDS:
            raise UsageError(f"--on {self._address}: no worker is left, for {WORKERLESS_SECONDS:.0f} s now")


def outcome_of(future: Future) -> Any:
    """The outcome of a task that is done. Raises UsageError where Dask has given it up together with all others."""
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker as death:
        return died_too_often(death.allowed_failures + 1, f"on {death.last_worker.address}")
    except CancelledError:
        raise UsageError("the cluster has dropped its work: its scheduler ended, or somebody cancelled it") from None
    except Exception as error:
        return failure_of(error)
