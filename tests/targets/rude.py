"""Targets that are rude to whoever runs them, for tests/test_robustness.py."""

import os
import subprocess
import sys
import time
from pathlib import Path

from reference.under_test import NumpyBatchNorm


class Good(NumpyBatchNorm):
    pass


class HangsWithGrandchild(NumpyBatchNorm):
    """Writes its own process and that of a grandchild into the file RUDE_PROCESSES, then waits."""

    def train(self, _x, _dy):
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["RUDE_PROCESSES"]).write_text(f"{os.getpid()} {grandchild.pid}")
        time.sleep(600)


class LeavesGrandchild(NumpyBatchNorm):
    """Answers, but what it started would run on."""

    def train(self, x, dy):
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["RUDE_PROCESSES"]).write_text(f"{grandchild.pid}")
        return super().train(x, dy)


class Forks(NumpyBatchNorm):
    """Both copies come back from the call, and would answer."""

    def train(self, x, dy):
        os.fork()
        return super().train(x, dy)


class Surrogate(NumpyBatchNorm):
    def train(self, _x, _dy):
        raise ValueError("half a character: \udcff")


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no words for it")


class Unprintable(NumpyBatchNorm):
    def train(self, _x, _dy):
        raise UnprintableError


class Undeclared(NumpyBatchNorm):
    conventions = None


class SegfaultsUndeclared(Undeclared):
    def train(self, _x, _dy):
        import ctypes

        ctypes.string_at(0)


class HangsUndeclared(Undeclared):
    def train(self, _x, _dy):
        time.sleep(600)

    eval = train
