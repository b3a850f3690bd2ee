"""Everything that parses what comes from outside, each with a right file for it: what `fuzz_readers.py` changes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from harness.bench.results import TrainingThroughput
from harness.cases.catalogue import BY_ID
from harness.cases.user_case import user_case
from harness.check import CheckOptions, check_target
from harness.cli import kept_matrix, report_runs
from harness.environments import environments
from harness.environments.package_index import releases_in_bytes
from harness.errors import UsageError
from harness.judge import on_disk
from harness.judge.expected import expect
from harness.judge.known import read_known
from harness.record import earlier
from harness.record.checked import comparison_as_dict, target_as_dict
from harness.record.environment import environment
from harness.record.ledger import SCHEMA, plain
from harness.record.read import read
from harness.record.results import results_in
from harness.targets.in_process import InProcessTarget
from harness.targets.remember import Answers
from harness.targets.wire.arrays import WireError
from harness.targets.wire.reading import answer_from, description_from, notes_from, observation_from
from harness.train.checkpoint import CheckpointFile
from harness.train.idx_files import File, read_file
from harness.train.recipe import Recipe
from reference.conventions import PRESETS
from tests import ledger_sample as sample
from tests.targets.mutants.right import D2l

Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Reader:
    read: Callable[[Path], object]
    good: bytes
    """A file that it reads."""
    is_json: bool = False
    """One JSON document a line, once unpacked."""
    repack: Callable[[bytes, Change, random.Random], bytes] | None = None
    """The file with what it holds changed, so that its container and checksums are right."""
    refusals: tuple[type[Exception], ...] = (UsageError,)
    """What it may raise, with a message of one line. Of what is made anew where it does not read: nothing."""


# --- containers ---


def in_gzip(packed: bytes, change: Change, _: random.Random) -> bytes:
    return gzip.compress(change(gzip.decompress(packed)), 1, mtime=0)


def in_zip(packed: bytes, change: Change, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([*members])
    members[name] = change(members[name])
    return zipped(members)


def in_json_of_a_checkpoint(packed: bytes, change: Change, rng: random.Random) -> bytes:
    """Its words are an array of UTF-32 in a zip: changed as text half the time."""
    if rng.random() < 0.5:
        return in_zip(packed, change, rng)
    with np.load(io.BytesIO(packed)) as arrays:
        members = {name: arrays[name] for name in arrays.files}
    text = change(str(members["content"]).encode()).decode("utf-8", "replace").replace("\0", "")
    return saved(members | {"content": np.array(text)})


def under_a_checksum(packed: bytes, change: Change, _: random.Random) -> bytes:
    content = change(packed[4:])
    return zlib.crc32(content).to_bytes(4, "big") + content


def zipped(members: dict[str, bytes]) -> bytes:
    """Without the time of day: a seed gives the same files again."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def saved(arrays: dict[str, np.ndarray]) -> bytes:
    return zipped({f"{name}.npy": in_npy(array) for name, array in arrays.items()})


def in_npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


# --- ledgers and results ---


def ledger() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        records = sample.records()
        records["throughput"] = [sample.throughput("torch"), sample.layer()]
        records["comparison"] = records["comparison"][:3]
        return sample.write(Path(folder), records).read_bytes()


def check_json() -> bytes:
    report = check_target(InProcessTarget(D2l), CheckOptions((BY_ID["rank2"],)))
    cases = [comparison_as_dict(report, judgement) for judgement in report.judgements[:4]]
    target = target_as_dict(report) | {"cases": cases}
    return json.dumps(plain({"schema": SCHEMA, "environment": environment(), "targets": [target]})).encode()


def place_of_an_earlier_ledger(path: Path) -> object:
    return earlier.is_whole(path), earlier.free_name(path)


# --- what runs keep to go on ---

KEY = "k"
HEADER = {"format": "bnproof plays/1", "description": {}, "sources": ""}
SCRIPT = BY_ID["rank2"].make("float32", 0, 0.1)
RECIPE = Recipe("numpy", version="2", seeds=(3,), device="cpu", dtype="float32", compiled=False, data="abc")
RUN = "a run"


def plays(path: Path) -> object:
    """Answers that were kept, all of them given to the script that they were kept of."""
    answers = Answers(path, HEADER)
    try:
        line = answers.take(KEY)
        return line and answers.answer_from(line, SCRIPT)
    finally:
        answers.close()


def kept_plays() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plays.jsonl")
        answers = Answers(path, HEADER)
        answers.add(KEY, InProcessTarget(D2l).play(SCRIPT, 1), {"prints": "it prints"})
        answers.close()
        return path.read_bytes()


def checkpoint(path: Path) -> object:
    return CheckpointFile(path, RECIPE).load()


def saved_checkpoint() -> bytes:
    from tests.test_resume import EPOCH, Checkpoint

    with tempfile.TemporaryDirectory() as folder:
        file = CheckpointFile(Path(folder, "c.npz"), RECIPE)
        file.save(Checkpoint(((EPOCH,),), ({"a.weight": np.array([1 / 3], np.float32)},), "cpu", "float32"))
        assert file.path
        return file.path.read_bytes()


def measurement(path: Path) -> object:
    known = report_runs.records_in(path, TrainingThroughput, {"python": "3.13.1"})
    return "to be made again" if known is None else known


def kept_measurement() -> bytes:
    records = [sample.throughput("torch")]
    return json.dumps({"environment": {"python": "3.13.1"}, "records": plain(records)}).encode()


def matrix_that_goes_on(path: Path) -> object:
    """The ledger is right by its mark, whatever has become of it."""
    header = path.read_bytes().partition(b"\n")[0] + b"\n"
    marked = {"of": RUN, "header": header.decode("utf-8", "replace")}
    (path.parent / kept_matrix.MARK).write_text(json.dumps(marked), encoding="utf-8")
    known = kept_matrix.kept(path.parent, path, RUN)
    return known, [of_target[0]["error"] for of_target in known.targets.values()]


def mark_of_a_matrix(path: Path) -> object:
    other = path.with_name("ledger.jsonl")
    other.write_bytes(b'{"type": "header"}\n')
    path.replace(path.with_name(kept_matrix.MARK))
    return kept_matrix.kept(path.parent, other, RUN)


# --- caches, indexes, downloads ---


def expected_of_a_script() -> bytes:
    return on_disk.written(expect(SCRIPT, PRESETS["d2l"])[:1])


def environment_json(path: Path) -> object:
    path.replace(path.with_name(environments.RECORD))
    found = environments._read(path.parent)
    return found is None or sorted([found, found], key=lambda each: each.made)


def an_environment() -> bytes:
    requirements = environments.Requirements(pip=("flax==0.8.5",), python="3.11")
    of = environments.VirtualEnvironment(Path("f"), requirements, {"flax": "0.8.5"}, "2026-05-02T19:15:00+00:00", 3.5)
    content = asdict(of)
    del content["folder"]
    return json.dumps(content).encode()


def index_page() -> bytes:
    names = ("flax-0.8.5-py3-none-any.whl", "flax-0.8.5.tar.gz", "flax-0.9rc1.tar.gz", "flax-0.7.egg")
    file = {"upload-time": "2024-06-01T10:00:00.1Z", "requires-python": ">=3.9", "yanked": False}
    return json.dumps({"files": [{"filename": name} | file for name in names]}).encode()


LABELS = bytes(range(10))
IDX = b"\0\0\x08\x01\0\0\0\x0a" + LABELS
IDX_FILE = File("labels", (10,), hashlib.sha256(IDX).hexdigest())


def idx(path: Path) -> object:
    gz = path.with_suffix(".gz")
    path.replace(gz)
    return read_file(gz, IDX_FILE)


# --- the wire ---


def wire_answer(path: Path) -> object:
    answer = answer_from(path.read_bytes())
    if "implementation" in answer:
        return description_from(answer, "cpu")
    return observation_from(answer, SCRIPT), notes_from(answer)


def first_answer() -> bytes:
    return json.dumps({
        "ok": True, "wire": 1,
        "implementation": {
            "conventions": "torch", "dtypes": ["float32"], "ranks": [2, 4], "methods": ["train", "eval"],
            "versions": {"torch": "2.14"}, "adapter": "a", "declared": ["ranks"], "framework": "torch", "device": "cpu",
            "summation": "pairwise", "folded": False, "language": "C++", "options": [], "name": "n", "version": "1",
        },
    }).encode()  # fmt: skip


def later_answer() -> bytes:
    line = json.loads(kept_plays().splitlines()[1])
    return json.dumps(line["played"] | {"notes": {"prints": "it prints"}}).encode()


def readers() -> dict[str, Reader]:
    whole, answer = ledger(), Reader(wire_answer, first_answer(), is_json=True, refusals=(WireError,))
    return {
        "ledger": Reader(read, whole, is_json=True),
        "ledger, compressed": Reader(read, gzip.compress(whole, mtime=0), is_json=True, repack=in_gzip),
        "ledger of an earlier run": Reader(place_of_an_earlier_ledger, whole, is_json=True, refusals=()),
        "check --json": Reader(results_in, check_json(), is_json=True),
        "answers kept": Reader(plays, kept_plays(), is_json=True),
        "a measurement kept": Reader(measurement, kept_measurement(), is_json=True, refusals=()),
        "a matrix that goes on": Reader(matrix_that_goes_on, whole, is_json=True, refusals=()),
        "a matrix's mark": Reader(mark_of_a_matrix, b'{"of": "a run", "header": "h"}', is_json=True, refusals=()),
        "--input": Reader(user_case, saved({"x": np.arange(12.0).reshape(4, 3), "gamma": np.ones(3)}), repack=in_zip),
        "--known": Reader(read_known, b"# known\nrank4: it is so\nrank2: yes\n"),
        "checkpoint": Reader(checkpoint, saved_checkpoint(), repack=in_json_of_a_checkpoint),
        "expected values kept": Reader(
            lambda path: on_disk.read(path.read_bytes()), expected_of_a_script(), repack=under_a_checksum,
            refusals=(ValueError,),
        ),
        "an environment": Reader(environment_json, an_environment(), is_json=True, refusals=()),
        "package index": Reader(lambda path: releases_in_bytes(path.read_bytes()), index_page(), is_json=True),
        "Fashion-MNIST": Reader(idx, gzip.compress(IDX, mtime=0), repack=in_gzip),
        "first answer": answer,
        "later answer": replace(answer, good=later_answer()),
    }  # fmt: skip
