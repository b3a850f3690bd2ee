"""The command line in a process of its own, forked from one that has imported it already: half a second less each.

So are pytest, and scripts that begin with the import of a framework, which takes a second and more.

A process that has nothing but the command imported waits for requests, a JSON line each, and forks for every one of
them; what is forked becomes `python -m harness.cli` in all respects but its start, and what Python takes apart at the
very end, which would be all that was imported. (The tests' own process may not be forked: it has threads.)
test_robustness.py and test_installed.py start the command anew.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND, PYTEST = "harness.cli", "pytest"
FRAMEWORKS = ("torch", "flax")
IMPORTED = {
    COMMAND: (
        "harness.cli.app",
        "harness.cli.show",
        "harness.api",
        "harness.check",
        "harness.record.checked",
        "harness.cli.check_jobs",
        "harness.cli.verdicts",
        "harness.diagnose.diagnose",
    ),
    PYTEST: ("pytest", "_pytest.junitxml", "_pytest.pastebin", "harness.pytest_reports", "harness.pytest_options"),
    "torch": ("torch", "torch._dynamo"),
    "flax": ("flax.linen", "flax.nnx"),
}
"""What is imported before, by what is run. Not test files and conftest.py, which pytest rewrites as it imports them."""
WHERE_THERE = ("typer._adapters", "pydantic._internal._generate_schema")
"""What newer releases of Typer import once they read an option: a tenth of a second."""
SECONDS = 120
"""A command that takes longer is ended."""


def bnproof(*arguments: object, cwd: Path | str | None = None) -> subprocess.CompletedProcess[str]:
    """What `bnproof ARGUMENTS` gives, run in `cwd`."""
    return forked(COMMAND, *arguments, cwd=cwd)


def run_script(command: list[str], cwd: Path | str, **_: object) -> subprocess.CompletedProcess[str]:
    """`subprocess.run([PYTHON, SCRIPT], ...)`, text captured, for a script whose name begins with a framework's."""
    _, script = command
    framework = Path(script).name.partition("_")[0]
    return forked(framework, script, cwd=cwd)


def forked(module: str, *arguments: object, cwd: Path | str | None = None) -> subprocess.CompletedProcess[str]:
    """What `python -m MODULE ARGUMENTS` gives, for COMMAND or PYTEST; `python SCRIPT` for a framework."""
    words = [*map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        request = {"arguments": words, "cwd": str(cwd or Path.cwd()), "folder": folder}
        status = _answer(module, request)["status"]
        out, err = (Path(folder, name).read_text() for name in ("out", "err"))
    return subprocess.CompletedProcess([module, *words], status, out, err)


def _answer(module: str, request: dict[str, Any]) -> dict[str, Any]:
    server = _server(module)
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    answer: dict[str, Any] = json.loads(server.stdout.readline())
    return answer


@lru_cache
def _server(module: str) -> subprocess.Popen[str]:
    """The process that forks to run a module. It ends with its input."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.forked_command", module],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
    )  # fmt: skip
    assert server.stdin
    atexit.register(server.stdin.close)
    return server


def _serve() -> dict[str, Any] | None:
    """Fork for every request until the input ends. Returns the request in each process that was forked, or None."""
    for line in iter(sys.stdin.readline, ""):
        request: dict[str, Any] = json.loads(line)
        process = os.fork()
        if not process:
            return request
        _, status = os.waitpid(process, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)
    return None


def _become(module: str, request: dict[str, Any]) -> None:
    """The command, or pytest, as if it had been started here."""
    signal.alarm(SECONDS)
    for number, (name, flags) in enumerate(
        [(os.devnull, os.O_RDONLY), *((f"{request['folder']}/{n}", os.O_WRONLY | os.O_CREAT) for n in ("out", "err"))]
    ):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request["cwd"])
    try:
        if module in FRAMEWORKS:
            sys.argv[:] = request["arguments"]
            sys.path[0] = str(Path(sys.argv[0]).parent)
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            sys.path[0] = request["cwd"]
            sys.argv[1:] = request["arguments"]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if not isinstance(error.code, int | None):
            raise
        _end(int(error.code or 0))
    _end(0)


def _end(status: int) -> None:
    """As Python ends, but for the modules, whose memory would be copied to be given back: 20 to 60 ms."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    for name in IMPORTED[sys.argv[1]]:
        importlib.import_module(name)
    for name in WHERE_THERE if sys.argv[1] == COMMAND else ():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # else each of the processes looks through all of it for garbage, when it ends at the latest
    request = _serve()
    if request:
        _become(sys.argv[1], request)
