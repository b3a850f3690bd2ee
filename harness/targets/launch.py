"""How a target's process is started: the program that plays it, and the environment that it gets."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import place
from harness.environments.interpreters import PLACES, python_in
from harness.environments.requirements import NotInstallableError
from harness.errors import UsageError
from harness.targets import compilation_cache
from harness.targets.built_in import BUILT_IN, location, variables
from harness.targets.built_in_kind import EXEC
from harness.targets.device import CPU, for_device

PYTHON_PLAYER = Path(__file__).with_name("python_player.py")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""The environment variables by which libraries are told how many threads to take. XLA takes what it likes."""


@dataclass(frozen=True)
class Launch:
    """What a target is started with."""

    target: str
    device: str = CPU
    layer: str = ""
    threads: int | None = None
    """How many it may use; None: one, unless the environment says otherwise."""
    python: str | None = None
    """The interpreter of the environment in which it is played; None: this one."""

    @property
    def is_program(self) -> bool:
        """Whether it speaks the wire itself, as a user's or a built-in program does."""
        return self.target.startswith(EXEC) or (self.target in BUILT_IN and BUILT_IN[self.target].is_program)

    def command(self) -> list[str]:
        """The program and its arguments. Raises UsageError for a command that cannot be read, found or built."""
        if not self.is_program:
            return [self.python or sys.executable, str(PYTHON_PLAYER)]
        try:
            command = self.target if self.target.startswith(EXEC) else location(self.target)
            words = shlex.split(command[len(EXEC) :])
        except (ValueError, NotInstallableError) as error:
            raise UsageError(f"target {self.target!r}: {error}") from None
        if not words:
            raise UsageError(f"target {self.target!r}: no command; write exec:PROGRAM ARGUMENTS ...")
        if shutil.which(words[0]) is None:
            raise UsageError(f"target {self.target!r}: there is no program {words[0]!r}")
        return words

    def environment(self) -> dict[str, str]:
        # Most cases are small: threads would only wait for each other, most of all where several targets run at once.
        environment = {"OMP_NUM_THREADS": "1"} | os.environ
        if self.threads is not None:
            environment |= dict.fromkeys(THREADS, str(self.threads))
        if self.device == CPU:  # which of a GPU's kernels is the fastest, JAX measures anew
            environment |= compilation_cache.environment()
        if self.target in BUILT_IN and self.is_program:
            environment |= variables(self.target)
        if self.python:
            environment.pop("PYTHONHOME", None)  # where this Python has its library
        elif not self.is_program:
            environment |= {"PYTHONPATH": place.python_path()}  # for the processes that a target starts
        return for_device(environment, self.device)


def interpreter_of(environment: str) -> str:
    """The interpreter of an environment: a folder, an interpreter, or the name of one. Raises UsageError."""
    path = Path(environment)
    if path.is_dir():
        python = python_in(path)
        if not python.is_file():
            raise UsageError(f"--python {environment}: no interpreter in that folder (looked for {', '.join(PLACES)})")
        return str(python.absolute())  # a link to elsewhere is what makes it an environment
    program = shutil.which(environment)
    if program is None:
        raise UsageError(f"--python {environment}: no such folder, and no such program")
    return str(Path(program).absolute())
