"""Two ways of getting the files of Fashion-MNIST over the network: torchvision, and Debian's package."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path

from harness.train.idx_files import DataError, find_files

DEBIAN_DIR = Path("/usr/share/datasets/fashion-mnist")  # where the package dataset-fashion-mnist puts it
DEBIAN_PACKAGE = "dataset-fashion-mnist"
PROBE_SECONDS = 5  # a server that has not answered by then is taken to be out of reach
STALL_SECONDS = 10  # a download that has not grown for so long is given up


def download_with_torchvision(folder: Path) -> None:
    try:
        from torchvision.datasets import FashionMNIST
    except Exception as error:  # a broken installation raises RuntimeError and others
        raise DataError(f"torchvision cannot be imported ({error})") from error
    if not reachable(FashionMNIST.mirrors[0] + FashionMNIST.resources[1][0]):
        raise DataError("torchvision's server is out of reach")
    timeout = socket.getdefaulttimeout()  # torchvision sets none of its own
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        FashionMNIST(str(folder), download=True)
    finally:
        socket.setdefaulttimeout(timeout)


def download_debian_package(folder: Path) -> None:
    """No root needed: the package is unpacked, not installed."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("there is no apt-get and dpkg-deb")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        run_while_growing(["apt-get", "download", "-o", "Acquire::Retries=0", DEBIAN_PACKAGE], place)
        (package,) = place.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package.name, "."], cwd=place, check=True, capture_output=True)
        for path in find_files(place / DEBIAN_DIR.relative_to("/")).values():
            shutil.move(path, folder / path.name)


def reachable(url: str) -> bool:
    """Whether a server answers for `url` soon. In a thread, since looking up a name knows no timeout."""
    answers: list[int] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        with (
            contextlib.suppress(OSError, HTTPException),
            urllib.request.urlopen(request, timeout=PROBE_SECONDS) as response,
        ):
            answers.append(response.status)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answers)


def run_while_growing(command: list[str], folder: Path) -> None:
    """Run `command` in `folder`, for as long as what it writes there grows. Raises DataError if it fails."""
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(command, cwd=folder, stdout=output, stderr=output) as process:
            size, since = 0, time.monotonic()
            while process.poll() is None and time.monotonic() - since < STALL_SECONDS:
                time.sleep(0.1)
                now = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                if now > size:
                    size, since = now, time.monotonic()
            if process.poll() is None:
                process.kill()
                raise DataError(f"{command[0]} made no progress for {STALL_SECONDS} s")
        if process.returncode:
            output.seek(0)
            last = output.read().decode(errors="replace").strip().splitlines()[-1:]
            raise DataError(f"{command[0]} failed: {' '.join(last)}")
