"""Right batch norms that do what no layer should, and still must be judged, without harm to anybody else."""

import contextlib
import os
import sys
import tempfile
import threading
import time

import numpy as np

from reference.under_test import NumpyBatchNorm

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m\u202egnp.exe\u2066\x00<script>alert(1)</script>|`x`[a](http://evil.example)"


class Escapes(NumpyBatchNorm):
    """Its message would clear the screen, rename the window, turn the reading direction and run a script."""

    def train(self, _x, _dy):
        raise ValueError(ESCAPES)


class Floods(NumpyBatchNorm):
    """Prints without end: FLOOD megabytes a call."""

    def train(self, x, dy):
        line = b"x" * 2**20
        for _ in range(int(os.environ.get("FLOOD", "1"))):
            os.write(1, line)
        return super().train(x, dy)


class ChangesFolder(NumpyBatchNorm):
    def train(self, x, dy):
        os.chdir(tempfile.gettempdir())
        return super().train(x, dy)


class ReplacesStdout(NumpyBatchNorm):
    def train(self, x, dy):
        sys.stdout = sys.stderr = sys.__stdout__ = None
        with contextlib.suppress(OSError):
            os.close(1)
        return super().train(x, dy)


class OpensFiles(NumpyBatchNorm):
    def train(self, x, dy):
        self.files = [open(os.devnull) for _ in range(50)]  # noqa: SIM115 - never closed
        return super().train(x, dy)


class Objects(NumpyBatchNorm):
    def train(self, x, dy):
        return {name: value.astype(object) for name, value in super().train(x, dy).items()}


class Subclass(np.ndarray):
    def tobytes(self, *_):
        raise RuntimeError("no bytes of mine")

    def astype(self, *_, **__):
        raise RuntimeError("no other type")


class Subclasses(NumpyBatchNorm):
    def train(self, x, dy):
        return {name: value.view(Subclass) for name, value in super().train(x, dy).items()}


class Masked(NumpyBatchNorm):
    def train(self, x, dy):
        return {name: np.ma.masked_array(value) for name, value in super().train(x, dy).items()}


class MemoryMapped(NumpyBatchNorm):
    def train(self, x, dy):
        made = super().train(x, dy)
        for name, value in made.items():
            with tempfile.TemporaryFile() as file:
                mapped = np.memmap(file, value.dtype, "w+", shape=value.shape)
            mapped[...] = value
            made[name] = mapped
        return made


class Aliased(NumpyBatchNorm):
    """y lies in the memory of x."""

    def eval(self, x, dy):
        made = super().eval(x, dy)
        if x.flags.writeable:
            x[...] = made["y"]
            made["y"] = x
        return made


class ChangesLater(NumpyBatchNorm):
    """A thread writes into the results after they were returned."""

    def train(self, x, dy):
        made = super().train(x, dy)

        def spoil():
            time.sleep(0.001)
            made["y"][...] = np.nan

        threading.Thread(target=spoil, daemon=True).start()
        return made


class NanPayloads(NumpyBatchNorm):
    """NaN with a sign and a message in its bits, where NaN is right."""

    def eval(self, x, dy):
        made = super().eval(x, dy)
        if x.dtype == np.float64 and x.ndim > 0:
            bits = made["y"].view(np.uint64)
            bits[np.isnan(made["y"])] = 0xFFF8DEADBEEF0001
        return made


class Lies:
    """Says what nobody can read."""

    conventions = "d2l"

    def __init__(self, _setup):
        pass

    def train(self, _x, _dy):
        return Evil()


class Evil(dict):
    def __iter__(self):
        raise KeyError(ESCAPES)

    def items(self):
        raise SystemExit(0)

    def __repr__(self):
        raise MemoryError
