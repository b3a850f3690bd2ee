r"""Mutated answers of a player: each must end as a verdict or as a target that cannot be loaded, never as a traceback.

    python -m tests.experiments.fuzz_wire --count 100000

A right player's answers are changed before the suite reads them: bytes are flipped, cut, doubled and put in, and parts
of the JSON are replaced, removed and swapped. What the suite then does is the ordinary path: describe, probe, judge.
"""

import argparse
import copy
import io
import json
import random
import warnings
from collections import Counter
from unittest.mock import patch

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.targets import isolate
from harness.targets.isolate import IsolatedTarget
from harness.targets.wire.arrays import to_wire
from harness.targets.worker import _started, _Worker

CASES = (BY_ID["rank2"],)
ODD = (
    None, True, False, 0, 1, -1, 2**70, 1e308, float("nan"), "", "y", "agree", "\udcff", "\x1b[2J", [], {}, [[]],
    [None], [1, 2], {"": None}, "float64", "float128", "|O", "AAAA", {"dtype": "float64", "shape": [2], "data": None},
    {"dtype": "O", "shape": [2**23], "data": None}, {"preset": "torch"}, {"preset": []}, {"momentum": "new"}, "torch",
    ["float32"], ["bfloat16"], [2, 4], [10**9], "x" * 5000, {"error": "not_a_dict", "message": "no"}, ["x", "dy"],
)  # fmt: skip
PROBED = 0.05
"""The share of targets whose own conventions count, or are probed where the mutation took them away."""
BYTES = (b"\xff", b"\x00", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\ud800", b"1e999", b"NaN", b"\r", b"0")


class RightAnswers:
    """What a right player answers, each request worked out once."""

    def __init__(self) -> None:
        self.factory, self.start = _started({"target": "numpy", "device": "cpu"})
        self.start["implementation"]["dtypes"] = ["float32"]
        self.known = {}

    def to(self, request):
        if request["cmd"] == "start":
            return json.loads(json.dumps(self.start))
        key = json.dumps(request | {"seq": 0})
        if key not in self.known:
            stream = io.BytesIO()
            _Worker(self.factory, "cpu", stream).answer(request)
            self.known[key] = stream.getvalue()
        return json.loads(self.known[key]) | {"seq": request["seq"]}


class MutatedProcess:
    """In the place of a target's process: it answers rightly, but for one of its answers."""

    def __init__(self, rng, answers, mutated_number):
        self.rng, self.answers, self.number, self.mutated_number = rng, answers, -1, mutated_number
        self.channel, self.line = self, b""

    def send(self, line):
        answer = self.answers.to(json.loads(line))
        self.number += 1
        self.line = json.dumps(answer).encode()
        if self.number == self.mutated_number:
            self.line = mutated(self.rng, answer)

    start = send

    def receive(self, _seconds):
        return self.line

    def resident_bytes(self):
        return 0

    def processor_seconds(self):
        return 0.0

    def end(self, _last=None):
        return True


class NothingPrinted:
    """In the place of the file of what a process prints."""

    def text(self):
        return ""

    def keep_short(self):
        pass

    def remove(self):
        pass


class MutatedTarget(IsolatedTarget):
    def __init__(self, rng, answers, mutated_number):
        self.rng, self.answers, self.mutated_number = rng, answers, mutated_number
        with patch.object(isolate, "Printed", NothingPrinted):
            super().__init__("exec:cat")

    def _start(self):
        self._process = MutatedProcess(self.rng, self.answers, self.mutated_number)
        self.mutated_number = -1  # after its death it answers rightly
        self._number, self._is_idle = 0, False
        self._process.send(json.dumps({"cmd": "start"}))


def mutated(rng, answer):
    """The bytes of a changed answer."""
    if rng.random() < 0.6:
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            change_a_part(rng, answer)
        return json.dumps(answer).encode()
    line = bytearray(json.dumps(answer).encode())
    for _ in range(rng.choice((1, 1, 2, 10))):
        place, end = sorted((rng.randrange(len(line) + 1), rng.randrange(len(line) + 1)))
        kind = rng.randrange(5)
        if kind == 0 and place < len(line):
            line[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            line[place:place] = rng.choice(BYTES)
        elif kind == 2:
            del line[place:]
        elif kind == 3:
            del line[place : min(end, place + 40)]
        else:
            line[place:place] = line[place : min(end, place + 200)]
    return bytes(line)


def change_a_part(rng, answer):
    """Replace, remove, rename or add something, anywhere in the answer."""
    parts = list(containers(answer))
    part = rng.choice(parts)
    if isinstance(part, list):
        if part and rng.random() < 0.7:
            part[rng.randrange(len(part))] = odd(rng)
        elif part and rng.random() < 0.5:
            part.pop()
        else:
            part.append(odd(rng))
        return
    key = rng.choice([*part]) if part else "values"
    kind = rng.randrange(5)
    if kind == 0:
        part.pop(key, None)
    elif kind == 1:
        part[
            rng.choice(("error", "unsupported", "exit", "malformed", "mutated", "notes", "overwritten", "dx", "ranks"))
        ] = odd(rng)
    elif kind == 2:
        part[key] = to_wire(some_array(rng))
    else:
        part[key] = odd(rng)


def odd(rng):
    return copy.deepcopy(rng.choice(ODD))


def some_array(rng):
    import numpy as np

    shape = [rng.randrange(5) for _ in range(rng.randrange(4))]
    dtype = rng.choice(("float64", "float32", "float16", "int64", "bool", "complex128", "longdouble", "O", "U3", ">f8"))
    return np.zeros(shape, dtype)


def containers(value):
    if isinstance(value, dict | list):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from containers(part)


def fuzz(count, seed, diagnosed=False):
    """How often each verdict came. Raises whatever the suite raises, with the seed of the answer that did it."""
    answers, verdicts = RightAnswers(), Counter()
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        try:
            with warnings.catch_warnings(), MutatedTarget(rng, answers, rng.choice((0, 1, 1, 2, 2))) as target:
                warnings.simplefilter("error")
                as_preset = None if rng.random() < PROBED else "d2l"  # probing takes a second where none are declared
                report = check_target(target, CheckOptions(CASES, as_preset=as_preset, diagnosed=diagnosed))
                target.notes()
        except Exception as error:
            raise AssertionError(f"answer {number} of seed {seed}: {error!r}") from error
        verdicts["cannot be loaded" if report.load_error else str(report.verdict)] += 1
    return verdicts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--diagnosed", action="store_true")
    options = parser.parse_args()
    verdicts = fuzz(options.count, options.seed, options.diagnosed)
    print(f"{verdicts.total()} mutated answers, no traceback:")
    for verdict, times in verdicts.most_common():
        print(f"  {verdict:<16} {times:>7}")


if __name__ == "__main__":
    main()
