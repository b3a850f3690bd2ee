"""The command line in a process of its own, forked from one that has imported it already: half a second less each.

A process that has nothing but the command imported waits for requests, a JSON line each, and forks for every one of
them; what is forked becomes `python -m harness.cli` in all respects but its start. (The tests' own process may not be
forked: it has threads.) test_robustness.py and test_installed.py start the command anew.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODULES = ("harness.cli.app", "harness.cli.show", "harness.api", "harness.check", "harness.record.checked")
SECONDS = 120
"""A command that takes longer is ended."""


def bnproof(*arguments: object, cwd: Path | str | None = None) -> subprocess.CompletedProcess[str]:
    """What `bnproof ARGUMENTS` gives, run in `cwd`."""
    words = [*map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        request = {"arguments": words, "cwd": str(cwd or Path.cwd()), "folder": folder}
        status = _answer(request)["status"]
        out, err = (Path(folder, name).read_text() for name in ("out", "err"))
    return subprocess.CompletedProcess(["bnproof", *words], status, out, err)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    server = _server()
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    answer: dict[str, Any] = json.loads(server.stdout.readline())
    return answer


@lru_cache(1)
def _server() -> subprocess.Popen[str]:
    """The process that forks. It ends with its input."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.forked_command"],
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


def _become(request: dict[str, Any]) -> None:
    """The command, as if it had been started here."""
    signal.alarm(SECONDS)
    for number, (name, flags) in enumerate(
        [(os.devnull, os.O_RDONLY), *((f"{request['folder']}/{n}", os.O_WRONLY | os.O_CREAT) for n in ("out", "err"))]
    ):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["arguments"]
    runpy.run_module("harness.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    request = _serve()
    if request:
        _become(request)
