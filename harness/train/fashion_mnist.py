"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), from wherever this machine has it or can get it.

Every file is checked against the SHA-256 of its decompressed content: the original .gz files and Debian's differ
in their compression, not in what they hold. A file that fails the check is an error, never training data.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.place import IS_CHECKOUT, ROOT

DATA_DIR = ROOT / "data" if IS_CHECKOUT else Path.home() / ".cache" / "bnproof"
DEBIAN_DIR = Path("/usr/share/datasets/fashion-mnist")  # where the package dataset-fashion-mnist puts it
DEBIAN_PACKAGE = "dataset-fashion-mnist"
ENVIRONMENT = "BNPROOF_DATA"
SAMPLE = Path(__file__).parent / "sample" / "fashion_mnist_sample.npz"
PROBE_SECONDS = 5  # a server that has not answered by then is taken as out of reach
STALL_SECONDS = 10  # a download that has not grown for so long is given up


@dataclass(frozen=True)
class File:
    name: str
    """Without .gz."""
    shape: tuple[int, ...]
    sha256: str
    """Of the decompressed content, header and all."""


FILES = {
    "train_images": File(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train_labels": File(
        "train-labels-idx1-ubyte",
        (60000,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "test_images": File(
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "test_labels": File(
        "t10k-labels-idx1-ubyte",
        (10000,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}


@dataclass(frozen=True)
class FashionMnist:
    train_images: np.ndarray
    """(60000, 28, 28) uint8; 5,000 in the sample."""
    train_labels: np.ndarray
    """(60000,) uint8, 0 to 9."""
    test_images: np.ndarray
    """(10000, 28, 28) uint8; 1,000 in the sample."""
    test_labels: np.ndarray
    source: str
    """Where it came from, for people."""
    is_sample: bool = False


class DataError(UsageError):
    """The data are missing or are not Fashion-MNIST; the message says what to do."""


def load(data_dir: str | Path | None = None, *, allow_sample: bool = True) -> FashionMnist:
    """Fashion-MNIST from the first of: `data_dir`, or else $BNPROOF_DATA; the project's data folder; the Debian
    package's folder; a download by torchvision; a download of the Debian package; the sample in this repository.

    A folder may hold the files as .gz or uncompressed, at its top or as torchvision puts them. Downloads go
    into the project's data folder, and their failure leads to the next source.
    Raises DataError for a damaged file, for a named folder that lacks one, and, without `allow_sample`,
    where only the sample is left.
    """
    named = data_dir or os.environ.get(ENVIRONMENT)
    if named:
        return _from_named_folder(Path(named))
    for folder in (DATA_DIR, DEBIAN_DIR):
        found = find_files(folder)
        if len(found) == len(FILES):
            return read_files(found)
    failures = []
    for download in (_download_with_torchvision, _download_debian_package):
        try:
            return _downloaded_by(download)
        except Exception as error:  # whatever goes wrong in a download, there is another source
            failures.append(str(error))
    if not allow_sample:
        raise DataError(f"Fashion-MNIST could not be had: {'; '.join(failures)}. {_ADVICE}")
    return load_sample("; ".join(failures))


_ADVICE = f"Pass a folder that holds its four idx files (--data DIR or {ENVIRONMENT})"


def load_sample(why: str = "asked for") -> FashionMnist:
    """The 5,000 + 1,000 images in this repository: balanced over the classes, the first ones of each."""
    with np.load(SAMPLE) as arrays:
        parts: dict[str, Any] = {name: arrays[name] for name in FILES}
    source = (
        "ONLY A SAMPLE of Fashion-MNIST, 5,000 training and 1,000 test images: accuracy and loss do not compare "
        f"with those of the full data ({why}). {_ADVICE}"
    )
    return FashionMnist(**parts, source=source, is_sample=True)


# --- folders and files ---


def find_files(folder: Path) -> dict[str, Path]:
    """The files of the data set that `folder` holds, by the names of `FILES`; empty where there is no folder."""
    found: dict[str, Path] = {}
    for name, file in FILES.items():
        for place in (folder, folder / "FashionMNIST" / "raw"):
            for candidate in (place / f"{file.name}.gz", place / file.name):
                if candidate.is_file():
                    found.setdefault(name, candidate)
    return found


def read_files(found: dict[str, Path]) -> FashionMnist:
    parts: dict[str, Any] = {name: read_file(path, FILES[name]) for name, path in found.items()}
    folder = found["train_images"].parent
    return FashionMnist(**parts, source=f"Fashion-MNIST, 60,000 + 10,000 images, from {folder}")


def read_file(path: Path, file: File) -> np.ndarray:
    """The array of one idx file, compressed or not. Raises DataError unless it is exactly `file`."""
    again = f"Delete it and get {path.name} again"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. {again}") from error
    header = 4 + 4 * len(file.shape)  # magic number, then one 32-bit integer a dimension
    size = header + int(np.prod(file.shape))
    if len(content) != size:
        raise DataError(f"{path} should hold {size} bytes once decompressed, and holds {len(content)}. {again}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise DataError(
            f"{path} is not Fashion-MNIST's {file.name}: expected SHA-256 {file.sha256}, got {digest}. {again}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(file.shape).copy()


def _from_named_folder(folder: Path) -> FashionMnist:
    """A folder that the user named must do: falling through to another would hide the mistake."""
    if not folder.is_dir():
        raise DataError(f"the data folder {folder} does not exist or is not a folder. {_ADVICE}")
    found = find_files(folder)
    missing = [f"{file.name}.gz" for name, file in FILES.items() if name not in found]
    if missing:
        raise DataError(f"the data folder {folder} lacks {', '.join(missing)}. {_ADVICE}")
    return read_files(found)


# --- downloads ---


def _downloaded_by(download: Callable[[Path], None]) -> FashionMnist:
    """Download into a folder beside the data, check, and only then move the files to where they are looked for."""
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DATA_DIR) as name:
        folder = Path(name)
        download(folder)
        _from_named_folder(folder)
        for path in find_files(folder).values():
            shutil.move(path, DATA_DIR / path.name)
    return read_files(find_files(DATA_DIR))


def _download_with_torchvision(folder: Path) -> None:
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


def _download_debian_package(folder: Path) -> None:
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
