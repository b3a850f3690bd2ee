"""Does a player speak the wire? For its author: what it answers wrongly, in plain words, and what it does without.

The conversation is an ordinary one, on values that can be worked out in the head (`smoke.script`), so that a mistake in
the wire can be told from one in the batch norm: whether the numbers are right to the last digit is for `check`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from harness.cases.script import Directions, Script, Step, numpy_dtype, parameter_dtype
from harness.errors import UsageError
from harness.observables import DERIVATIVES, LIKE_X, OBSERVABLES, ORDINARY
from harness.targets.axis import for_target
from harness.targets.channel import ChannelError
from harness.targets.device import split_device
from harness.targets.launch import Launch
from harness.targets.player import Description, Observation, StepResult
from harness.targets.process import Printed, TargetProcess
from harness.targets.smoke import CHANNELS, script
from harness.targets.wire.arrays import WireError
from harness.targets.wire.reading import answer_from, description_from, observation_from
from harness.targets.wire.request import play_body, play_line, start_line, stop_line
from reference.conventions import Conventions, conventions_from

START_SECONDS = 120.0
ANSWER_SECONDS = 30.0
EXTRA_SECONDS = 0.05
"""How long is waited for an answer that nobody asked for."""
LARGE = (2**14, CHANNELS)
"""A batch whose request fills a pipe many times over."""
CLOSE = 1e-2
"""Where numbers that were sent well are, at least, for any eps of ours in any dtype."""


class ConformanceOutcome(str, Enum):  # noqa: UP042 - as its neighbours
    right = "right"
    wrong = "wrong"
    without = "without"
    """Something optional that the player lacks."""

    __str__ = str.__str__


@dataclass(frozen=True)
class ConformanceCheck:
    """One thing that a player does right or wrong, or does without."""

    id: str
    outcome: ConformanceOutcome
    text: str


class _WrongError(Exception):
    """The player did something wrong: its message says what."""


def conformance(target: str, python: str | None = None) -> Iterator[ConformanceCheck]:
    """One check after another, up to one after which there is nothing more to ask. Raises UsageError where there is no
    such program."""
    name, device = split_device(target)
    printed = Printed()
    try:
        process = TargetProcess(Launch(name, device, python=python), printed)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    conversation = _Conversation(process, name, device)
    try:
        yield from conversation.checks()
    finally:
        process.end()
        printed.remove()


class _Conversation:
    def __init__(self, process: TargetProcess, target: str, device: str) -> None:
        self.process, self.target, self.device = process, target, device
        self.seq = 0

    def checks(self) -> Iterator[ConformanceCheck]:
        """Each check that fails is told; one that leaves the process unusable is the last."""
        try:
            description = self._start()
            conventions = self._conventions(description)
        except _WrongError as error:
            yield ConformanceCheck("start", ConformanceOutcome.wrong, str(error))
            return
        yield ConformanceCheck("start", ConformanceOutcome.right, "it starts, and says what it is")
        if description.conventions is None:
            yield ConformanceCheck(
                "conventions", ConformanceOutcome.without, "it declares no conventions: they will be probed"
            )
        axis, dtypes, ranks = conventions.channel_axis, description.dtypes, description.ranks
        asked = [
            ("anew", "each request begins with new objects", self._anew),
            ("values", "each step gives arrays of the right names, shapes and dtypes", self._values),
            ("sessions", "the sessions of a request are objects of their own", self._sessions),
            ("unknown", "an operation that it does not know is unsupported", self._unknown),
            ("large", "a request that is longer than a pipe is answered", self._large),
        ]
        usable, wrong = True, False
        for id, text, ask in asked:
            if wrong and id == "sessions":
                continue  # wrong numbers would be blamed on it
            try:
                problems = list(ask(dtypes, ranks, axis))
            except _WrongError as error:
                problems, usable = [str(error)], False
            yield from (ConformanceCheck(id, ConformanceOutcome.wrong, problem) for problem in problems)
            if not usable:
                return
            wrong = wrong or bool(problems)
            if not problems:
                yield ConformanceCheck(id, ConformanceOutcome.right, text)
        yield from self._optional(dtypes, ranks, axis)
        yield self._end()

    # --- the first answer ---

    def _start(self) -> Description:
        answer = self._exchange(start_line(self.target, self.device, None), START_SECONDS, "the start")
        if answer.get("ok") is not True:
            raise _WrongError(f'the first answer has no "ok": true; it is {_short(answer)}')
        if "implementation" not in answer:
            raise _WrongError(f'the first answer has no "implementation"; it has {", ".join(answer)}')
        try:
            return description_from(answer, self.device)
        except WireError as error:
            raise _WrongError(f"the first answer: {error}") from None

    def _conventions(self, description: Description) -> Conventions:
        try:
            return conventions_from(description.conventions or "torch")
        except ValueError as error:
            raise _WrongError(f"the first answer: {error}") from None

    # --- what it answers ---

    def _values(self, dtypes: tuple[str, ...], ranks: tuple[int, ...], axis: int) -> Iterator[str]:
        """Every dtype at one rank, every rank in one dtype."""
        pairs = dict.fromkeys([(dtype, ranks[0]) for dtype in dtypes] + [(dtypes[0], rank) for rank in ranks])
        for dtype, rank in pairs:
            both = _joined(script("eval", rank, dtype), script("train", rank, dtype))
            observation = self._play(both, axis, f"a prediction and a training step in {dtype} at rank {rank}")
            if observation.build_error or observation.build_unsupported is not None:
                yield f"it makes no object in {dtype} at rank {rank}: {_failure(observation)}"
                continue
            for result in observation.steps:
                yield from self._wrong_values(result, dtype, rank, axis)

    def _wrong_values(self, result: StepResult, dtype: str, rank: int, axis: int) -> Iterator[str]:
        where = f"{result.op} in {dtype} at rank {rank}"
        if result.error:
            yield f"{where}: it answers an error to an ordinary batch: {result.error}"
            return
        if result.malformed:
            yield f"{where}: {result.malformed.message}"
        if result.unsupported is None and "y" not in result.values:
            yield f"{where}: no y; its values are {', '.join(result.values) or 'none'}"
        x = _x(rank, axis)
        for name, value in result.values.items():
            shape = x.shape if name in LIKE_X else (CHANNELS,)
            kind = numpy_dtype(dtype) if OBSERVABLES[name].like_x else parameter_dtype(dtype)
            if value.shape != shape:
                yield f"{where}: {name} has shape {list(value.shape)}, not {list(shape)}"
            elif name in LIKE_X and value.dtype != kind:
                yield f"{where}: {name} is {value.dtype.name}, not {kind.name} as x"
            elif name == "y":
                yield from self._wrong_y(result, value, x, where)

    def _wrong_y(self, result: StepResult, y: np.ndarray, x: np.ndarray, where: str) -> Iterator[str]:
        """x is 0 and 2 in turn, the parameters are 1 and 0: prediction gives x back, training -1 and 1."""
        expected = x - (1 if result.op == "train" else 0)
        with np.errstate(all="ignore"):
            if np.allclose(y.astype(np.float64), expected, atol=CLOSE):
                return
            if np.allclose(y.byteswap().astype(np.float64), expected, atol=CLOSE):
                yield f"{where}: the bytes of y are in the wrong order; the wire is little-endian"
                return
            y, first = y.astype(np.float64), expected.ravel()[:6].tolist()
            if np.allclose(y.ravel().reshape(y.shape, order="F"), expected, atol=CLOSE):
                yield f"{where}: y is in column-major (Fortran) order; the wire is row-major, its last index fastest"
                return
        yield f"{where}: y begins with {y.ravel()[:6].tolist()}, not {first}: x, gamma or beta were read wrongly"

    def _sessions(self, dtypes: tuple[str, ...], ranks: tuple[int, ...], axis: int) -> Iterator[str]:
        """The second of two objects trains; the first must predict as if nothing had been."""
        usual = script("eval", ranks[0], dtypes[0])
        (setup,), (predict,) = usual.setups, usual.steps
        two = Script((setup, setup), (replace(predict, op="train", session=1), predict))
        observation = self._play(two, axis, "two sessions")
        y = observation.steps[1].values.get("y") if len(observation.steps) == 2 else None
        x = _x(ranks[0], axis)
        if y is not None and y.shape == x.shape and not np.allclose(y.astype(np.float64), x, atol=CLOSE):
            yield "a training step on session 1 moved session 0: each of the setups is an object of its own"

    def _anew(self, dtypes: tuple[str, ...], ranks: tuple[int, ...], axis: int) -> Iterator[str]:
        both = _joined(script("eval", ranks[0], dtypes[0]), script("train", ranks[0], dtypes[0]))
        first, second = (self._play(both, axis, "the same request again") for _ in range(2))
        if not first.same_as(second):
            yield "the same request gives something else the second time: each request begins with new objects"

    def _unknown(self, dtypes: tuple[str, ...], ranks: tuple[int, ...], axis: int) -> Iterator[str]:
        usual = script("eval", ranks[0], dtypes[0])
        odd = replace(usual, steps=(replace(usual.steps[0], op="an_operation_of_the_future"),))
        observation = self._play(odd, axis, "an operation that it cannot know")
        if observation.steps and observation.steps[0].unsupported is None:
            result = observation.steps[0]
            what = f"an error ({result.error})" if result.error else "values"
            yield f'an operation that it cannot know is answered by {what}; answer {{"unsupported": "why"}}'

    def _large(self, dtypes: tuple[str, ...], ranks: tuple[int, ...], axis: int) -> Iterator[str]:
        usual = script("eval", 2, dtypes[0])
        x = np.zeros(LARGE, numpy_dtype(dtypes[0]))
        if 2 in ranks:
            self._play(replace(usual, steps=(Step("eval", x, x),)), axis, "a request of a megabyte")
        yield from ()

    def _optional(self, dtypes: tuple[str, ...], ranks: tuple[int, ...], axis: int) -> Iterator[ConformanceCheck]:
        """What it lacks of what it need not have, and what is not judged for want of it."""
        usual = script("train", ranks[0], dtypes[0])
        lacks = {
            "restore": "saving and loading its state (restore)",
            "train_no_grad": "training mode without gradients (train_no_grad)",
            "train_jvp": "forward mode (train_jvp)",
            "train_double": "second derivatives (train_double)",
        }
        x, ones = usual.steps[0].x, np.ones(CHANNELS, parameter_dtype(dtypes[0]))
        assert x is not None
        for op, what in lacks.items():
            directions = Directions(x, ones, ones) if op in DERIVATIVES else None
            step = replace(usual.steps[0], op=op, directions=directions) if op != "restore" else Step(op)
            try:
                observation = self._play(replace(usual, steps=(step,)), axis, op)
            except _WrongError as error:
                yield ConformanceCheck(op, ConformanceOutcome.wrong, str(error))
                return
            if not observation.steps or observation.steps[0].unsupported is not None:
                yield ConformanceCheck(op, ConformanceOutcome.without, f"{what} is not judged")
        observation = self._play(usual, axis, "a training step")
        values = observation.steps[0].values if observation.steps else {}
        for name in ORDINARY:
            if name not in values:
                yield ConformanceCheck(name, ConformanceOutcome.without, f"{name} in training is not judged")

    def _end(self) -> ConformanceCheck:
        if self.process.end(stop_line()):
            return ConformanceCheck("stop", ConformanceOutcome.right, "it ends when it is asked to stop")
        return ConformanceCheck("stop", ConformanceOutcome.wrong, 'it does not end within 0.5 s of {"cmd": "stop"}')

    # --- one request and one answer ---

    def _play(self, asked: Script, axis: int, what: str) -> Observation:
        """What it answers to a script, x and dy as the target takes them. Raises _WrongError."""
        self.seq += 1
        given = for_target(asked, axis)
        answer = self._exchange(play_line(self.seq, play_body(given, axis), False), ANSWER_SECONDS, what)
        if answer.get("seq") != self.seq:
            raise _WrongError(
                f"asked for {what}: seq is {answer.get('seq')!r}; it must repeat the request's, {self.seq}"
            )
        if isinstance(answer.get("exit"), str):
            raise _WrongError(f"asked for {what}: {answer['exit']}")
        try:
            return observation_from(answer, given)
        except WireError as error:
            raise _WrongError(f"asked for {what}: {error}") from None

    def _exchange(self, line: bytes, seconds: float, what: str) -> dict:
        channel, ends = self.process.channel, time.monotonic() + seconds
        try:
            channel.send(line)
            while time.monotonic() < ends:
                received = channel.receive(ends - time.monotonic())
                if received is not None:
                    time.sleep(EXTRA_SECONDS if self.seq == 1 else 0)
                    if channel.has_more():
                        raise ChannelError("it answered more than once")
                    return answer_from(received)
        except EOFError:
            raise _WrongError(f"asked for {what}: {self.process.how_it_ended()}") from None
        except (ChannelError, WireError) as error:
            raise _WrongError(f"asked for {what}: {error}; standard output is for one line of JSON a request") from None
        raise _WrongError(f"asked for {what}: no answer within {seconds:g} s; is the line ended, and flushed?")


def _x(rank: int, axis: int) -> np.ndarray:
    """The x of `smoke.script`, its channels on `axis`, in float64."""
    x = script("eval", rank, "float64").steps[0].x
    assert x is not None
    return np.moveaxis(x, 1, axis)


def _joined(first: Script, second: Script) -> Script:
    return replace(first, steps=first.steps + second.steps)


def _failure(observation: Observation) -> str:
    return str(observation.build_error or observation.build_unsupported)


def _short(answer: dict) -> str:
    text = ascii(answer)
    return text if len(text) < 100 else f"{text[:97]}..."
