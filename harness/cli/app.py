"""The command `bnproof`: its commands put together, and what ends it early.

Frameworks and the suite are imported inside the commands: `--help` must answer at once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Annotated

import typer

from harness.cli import (
    badge,
    bench,
    check,
    compare,
    envs,
    history,
    list_,
    lockstep,
    matrix,
    probe,
    render,
    report,
    reproduce,
    train,
    translate,
    wire_check,
)

USAGE = 2
SIGNALLED = 128
"""A command that a signal ended has this exit status and the signal's number on top, as in a shell."""
PLACES = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EFBIG")
"""Errors of the system that say something about a place to write to, and nothing about this program."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich's help costs as much time as everything else together
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Is this batch norm right? To how many ulps? If not, which known mistake does it make?",
)
app.command("list")(list_.list_)
app.command(epilog=check.EXIT_STATUSES)(check.check)
app.command()(probe.probe)
app.command()(translate.translate)
app.command()(lockstep.lockstep)
app.command()(train.train)
app.command("wire-check")(wire_check.wire_check)
app.command()(matrix.matrix)
app.command()(history.history)
app.add_typer(bench.bench, name="bench")
app.add_typer(envs.envs, name="envs")
app.command()(report.report)
app.command()(render.render)
app.command()(reproduce.reproduce)
app.command(epilog=compare.EXIT_STATUSES)(compare.compare)
app.command()(badge.badge)


def show_version(wanted: bool) -> None:
    if wanted:
        from harness.record.environment import version

        print(f"bnproof {version()}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


class Stopped(BaseException):
    """A signal asked the command to end. Not a KeyboardInterrupt, which Typer and others answer on their own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = SIGNALLED + number


def main() -> None:
    """The entry point: whatever the user can mend, and being stopped, is one line on stderr and an exit status."""
    from harness.errors import UsageError

    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a lone surrogate in a name must not end the command
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    sys.unraisablehook = _send_again
    gc.set_threshold(10_000)  # to look through what is imported for garbage takes a tenth of a short command
    os.environ.setdefault("BNPROOF_EXPECTED", "keep")  # see harness.judge.kept_expected
    try:
        try:
            app(prog_name="bnproof")
        finally:
            gc.freeze()  # nor need its end look through it
            sys.stdout.flush()
    except UsageError as error:
        from harness.cli.output import harmless

        print(harmless(f"error: {error}").replace("\n", " "), file=sys.stderr)  # a path may hold an end of line
        _leave(USAGE)
    except BrokenPipeError:
        _leave(SIGNALLED + signal.SIGPIPE)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # Rich and Click make it a status of 1, which is a verdict
            _leave(SIGNALLED + signal.SIGPIPE)
        raise
    except OSError as error:
        if error.errno not in _numbers(PLACES):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{os.strerror(error.errno)}", file=sys.stderr)
        _leave(USAGE)
    except Stopped as stopped:
        name = signal.Signals(stopped.status - SIGNALLED).name
        print(f"stopped by {name}", file=sys.stderr)
        _leave(stopped.status)


def _open_what_is_closed() -> None:
    """Python has None for a standard stream that was closed, and the next file that is opened would be in its place."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _stop(number: int, frame: FrameType | None) -> None:
    if frame is not None and frame.f_code is _send_again.__code__:
        return  # there it would be ignored as well; it is sent again
    for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(handled, signal.SIG_IGN)  # once: a second one must not break off the tidying up
    raise Stopped(number)


def _send_again(ignored: sys.UnraisableHookArgs) -> None:
    """A signal that came where Python may raise nothing, as in a `__del__`: it would be printed and forgotten."""
    if not isinstance(ignored.exc_value, Stopped):
        sys.__unraisablehook__(ignored)
        return
    number = ignored.exc_value.status - SIGNALLED
    threading.Thread(target=_send, args=(number,), daemon=True).start()  # meanwhile signals are ignored
    signal.signal(number, _stop)


def _send(number: int) -> None:
    """Every hundredth of a second: once one has stopped the command, the others are ignored."""
    while True:
        time.sleep(0.01)
        os.kill(os.getpid(), number)


def _numbers(names: tuple[str, ...]) -> set[int]:
    import errno

    return {getattr(errno, name) for name in names if hasattr(errno, name)}


def _leave(status: int) -> None:
    """End now. Threads that wait for a target are not waited for, and output that goes nowhere is dropped."""
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    waiting = any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    try:
        sys.stdout.flush()
    except OSError:
        waiting = True  # the interpreter would try again, and say so
    if waiting:
        os._exit(status)
    sys.exit(status)
