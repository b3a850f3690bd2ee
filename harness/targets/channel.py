"""Lines to and from a target's process. Neither a full pipe, nor a long answer, nor a silent player can block."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time

CHUNK = 2**20
BASE_LIMIT = 16 * 2**20
LIMIT_PER_BYTE = 4
"""An answer may be 16 MiB long, and four times as long as its request on top."""


class ChannelError(Exception):
    """What came is no line of an answer to the request."""


class Channel:
    """The suite's end of a process's standard input and output: a request goes out, then one line is waited for."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._in, self._out = process, process.stdin.fileno(), process.stdout.fileno()
        for descriptor in (self._in, self._out):
            os.set_blocking(descriptor, False)
        self._outgoing = memoryview(b"")
        self._incoming = bytearray()
        self._limit = BASE_LIMIT
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)

    def start(self, line: bytes) -> None:
        """Send the first request. What came before it is taken for its answer."""
        self._send(line)

    def send(self, line: bytes) -> None:
        """Raises ChannelError where something came that nobody asked for."""
        if self.has_more():
            raise ChannelError("it answered more than once")
        self._send(line)

    def _send(self, line: bytes) -> None:
        self._limit = BASE_LIMIT + LIMIT_PER_BYTE * len(line)
        self._outgoing = memoryview(line)
        self._selector.register(self._in, selectors.EVENT_WRITE)
        self._write()

    def receive(self, seconds: float) -> bytes | None:
        """The next line that is not blank, if it comes within `seconds`. Raises EOFError at the end, ChannelError."""
        for key, _ in self._selector.select(seconds):
            if key.fd == self._in:
                self._write()
            else:
                return self._read()
        return None

    def has_more(self) -> bool:
        """Whether something came that is not blank and was not waited for."""
        if not self._incoming:
            with contextlib.suppress(BlockingIOError):
                self._incoming += self._chunk()
        return bool(self._incoming.strip())

    def ask_to_end(self, line: bytes, seconds: float) -> bool:
        """Send a last request and wait so long for the process to close its output. What it still sends is dropped."""
        with contextlib.suppress(ChannelError):
            self.send(line)
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            if self._selector.select(left) and not self._chunk():
                return True
        return False

    @property
    def ended_within_a_line(self) -> bool:
        return bool(self._incoming.strip())

    def close(self) -> None:
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            try:
                while self._outgoing:
                    self._outgoing = self._outgoing[os.write(self._in, self._outgoing) :]
            except BrokenPipeError:
                self._outgoing = memoryview(b"")  # nobody reads any more; how the process ended is for `receive`
        if not self._outgoing:
            self._selector.unregister(self._in)

    def _chunk(self) -> bytes:
        """What there is to read; b"" at the end."""
        return os.read(self._out, CHUNK)

    def _read(self) -> bytes | None:
        chunk = self._chunk()
        if not chunk:
            raise EOFError
        searched = len(self._incoming)
        self._incoming += chunk
        return self._line(searched)

    def _line(self, searched: int) -> bytes | None:
        """The first line that came and is not blank: the bytes before `searched` hold no end of a line."""
        while (end := self._incoming.find(b"\n", searched)) >= 0:
            self._check_length(end)
            line, searched = bytes(self._incoming[:end]), 0
            del self._incoming[: end + 1]
            if line.strip():
                if self.has_more():
                    raise ChannelError("it answered more than once")
                return line
        self._check_length(len(self._incoming))
        return None

    def _check_length(self, length: int) -> None:
        if length > self._limit:
            raise ChannelError(f"it is longer than {self._limit / 2**20:.0f} MiB")
