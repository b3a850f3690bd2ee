"""A player that keeps what its target answered, so that a run that was killed goes on where it was.

Each answer is a line of a file, on disk before the next play begins. Played again, a script is looked up by what it
holds: seeds and suites may share a folder. All that is made of answers (verdicts, diagnoses, conventions) is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from harness.cases.script import Script
from harness.errors import UsageError
from harness.findings import Note
from harness.place import ROOT
from harness.targets.built_in_kind import EXEC
from harness.targets.device import split_device
from harness.targets.isolate import DEATHS_ALLOWED, IsolatedTarget
from harness.targets.player import Death, DeathCause, Description, Observation
from harness.targets.through.names import split_through
from harness.targets.wire.answer import played
from harness.targets.wire.arrays import WireError
from harness.targets.wire.reading import notes_from, observation_from
from harness.targets.wire.request import play_body

FORMAT = "bnproof plays/1"
LONGEST_NAME = 60
ELSEWHERE = "name another folder with --resume"


class Remembering:
    """A target's player, with its answers kept in `folder`. What it promises is what `player.Player` promises.

    sources: what the target is made of beyond its own description, such as the hash of its file: other answers are
    not taken. Raises UsageError where another run has the same target under way, or the file is damaged.
    """

    def __init__(self, player: IsolatedTarget, folder: Path, sources: str) -> None:
        self.player, self.folder, self.sources = player, folder, sources
        self.name, self.transformation = player.name, player.transformation
        self.deaths = 0
        self.last_death: Death | None = None
        self._notes: dict[str, str] = {}
        self._answers: Answers | None = None

    @property
    def given_up(self) -> bool:
        return self.deaths >= DEATHS_ALLOWED

    def describe(self) -> Description:
        description = self.player.describe()
        if self._answers is None:
            self._answers = Answers(path_of(self.folder, self.name), identity(description, self.sources))
        return description

    def narrow(self, *, ranks: tuple[int, ...], dtypes: tuple[str, ...]) -> Description:
        return self.player.narrow(ranks=ranks, dtypes=dtypes)

    def untransformed(self) -> Remembering | None:
        plain = self.player.untransformed()
        return None if plain is None else Remembering(plain, self.folder, self.sources)

    def play(self, script: Script, channel_axis: int) -> Observation | Death:
        if self.given_up and self.last_death:
            return self.last_death
        if self._answers is None:
            self.describe()
        assert self._answers is not None
        key = hashlib.sha256(play_body(script, channel_axis).encode()).hexdigest()
        line = self._answers.take(key)
        if line is None:
            self.player.deaths, self.player.last_death = self.deaths, self.last_death
            answer = self.player.play(script, channel_axis)
            self._notes = {note.id: note.text for note in self.player.notes()} | self._notes
            self._answers.add(key, answer, self._notes)
        else:
            answer = self._answers.answer_from(line, script)
            self._notes |= notes_from(line)
        if isinstance(answer, Death):
            self.deaths, self.last_death = self.deaths + 1, answer
        return answer

    def notes(self) -> list[Note]:
        return [Note(id, text) for id, text in self._notes.items()]

    def close(self) -> None:
        self.player.close()
        if self._answers is not None:
            self._answers.close()
            self._answers = None

    def __enter__(self) -> Remembering:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Answers:
    """The file of one target's answers. A last line that was cut off is dropped; another identity starts it anew."""

    def __init__(self, path: Path, of: dict[str, Any]) -> None:
        self.path = path
        self._kept: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b", buffering=0)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}; {ELSEWHERE}") from error
        try:
            lock(self._file, path)
            self._read(of)
        except UsageError:
            self._file.close()
            raise

    def _read(self, of: dict[str, Any]) -> None:
        self._file.seek(0)
        lines = self._file.readall().splitlines(keepends=True)  # type: ignore[attr-defined]
        good = 0
        for number, line in enumerate(lines):
            record = parsed(line)
            if record is None and number < len(lines) - 1:
                raise UsageError(f"{self.path}, line {number + 1} is damaged; remove the file, or name another folder")
            if record is None or (number == 0 and record != of):
                break
            good += len(line)
            if number:
                self._kept[record["key"]].append(record)
        self._file.truncate(good)
        self._file.seek(0, 2)
        if not good:
            self._write(of)

    def take(self, key: str) -> dict[str, Any] | None:
        """The next answer to a script that was kept; each is given once."""
        return self._kept[key].popleft() if self._kept.get(key) else None

    def answer_from(self, line: dict[str, Any], script: Script) -> Observation | Death:
        """Raises UsageError where it does not fit the script."""
        try:
            if "death" in line:
                return Death(DeathCause(line["death"]["cause"]), line["death"]["message"])
            observation = observation_from(line["played"], script)
            if "first" in line:
                observation.first = observation_from(line["first"], script)
            return observation
        except (WireError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{self.path} holds what no target answers ({error}); remove it") from error

    def add(self, key: str, answer: Observation | Death, notes: dict[str, str]) -> None:
        record: dict[str, Any] = {"key": key}
        if isinstance(answer, Death):
            record["death"] = {"cause": str(answer.cause), "message": answer.message}
        else:
            record["played"] = played(answer)
            if answer.first is not None:
                record["first"] = played(answer.first)
        self._write(record | ({"notes": notes} if notes else {}))

    def _write(self, record: dict[str, Any]) -> None:
        line = json.dumps(record).encode("ascii") + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise UsageError(
                f"cannot write {self.path}: {error.strerror}; name another folder with --resume"
            ) from error

    def close(self) -> None:
        self._file.close()


def parsed(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where it was cut off or changed."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and (record.get("format") == FORMAT or isinstance(record.get("key"), str))
    return record if is_record else None


def identity(description: Description, sources: str) -> dict[str, Any]:
    """What must be the same for answers to be taken: all that the target says of itself, and its sources."""
    return json.loads(json.dumps({"format": FORMAT, "description": asdict(description), "sources": sources}))


def path_of(folder: Path, name: str) -> Path:
    readable = re.sub(r"[^\w.-]+", "_", name)[-LONGEST_NAME:]
    return (
        folder / "plays" / f"{readable}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}.jsonl"
    )


def lock(file: IO[bytes], path: Path) -> None:
    """Keep the file for this run, for as long as it is open. Raises UsageError where another run has it."""
    with contextlib.suppress(ImportError):  # Windows has no flock; there nothing is locked
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"{path} is in use by another run; {ELSEWHERE}") from None


def forget(folder: Path, names: Iterable[str]) -> None:
    """The run over these targets has ended: their answers are not needed any more."""
    for name in names:
        for each in (name, split_through(name)[0]):
            path_of(folder, each).unlink(missing_ok=True)


def sources_of(target: str) -> str:
    """A hash of what a target is made of, as far as its name tells: its file, its package in the working directory, or
    the files that its command names; and of what plays it."""
    name = split_device(split_through(target)[0])[0]
    where = name.rpartition(":")[0]
    words = name.removeprefix(EXEC).split() if name.startswith(EXEC) else [where, where.partition(".")[0]]
    digest = hashlib.sha256(ours().encode())
    for path in sorted({path for word in words if word for path in files_at(Path(word))}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(1)
def ours() -> str:
    """A hash of our own code that a target is played by."""
    digest = hashlib.sha256()
    for folder in ("harness/targets", "impls", "reference"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def files_at(path: Path) -> list[Path]:
    """A file, a package's Python files, or a module's."""
    with contextlib.suppress(OSError):
        if path.is_file():
            return [path]
        if (path / "__init__.py").is_file():
            return [*path.rglob("*.py")]
        if path.with_suffix(".py").is_file():
            return [path.with_suffix(".py")]
    return []
