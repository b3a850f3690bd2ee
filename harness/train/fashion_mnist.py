"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), from wherever this machine has it or can get it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.place import IS_CHECKOUT, ROOT
from harness.train import downloads, idx_files
from harness.train.idx_files import DataError, find_files

DATA_DIR = ROOT / "data" if IS_CHECKOUT else Path.home() / ".cache" / "bnproof"
ENVIRONMENT = "BNPROOF_DATA"
ADVICE = f"Pass a folder that holds its four idx files (--data DIR or {ENVIRONMENT})"
SAMPLE = Path(__file__).parent / "sample" / "fashion_mnist_sample.npz"


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
    for folder in (DATA_DIR, downloads.DEBIAN_DIR):
        paths = find_files(folder)
        if len(paths) == len(idx_files.FILES):
            return read_files(paths)
    failures = []
    for download in (downloads.download_with_torchvision, downloads.download_debian_package):
        try:
            return _downloaded_by(download)
        except Exception as error:  # whatever goes wrong in a download, there is another source
            failures.append(str(error))
    if not allow_sample:
        raise DataError(f"Fashion-MNIST could not be had: {'; '.join(failures)}. {ADVICE}")
    return load_sample("; ".join(failures))


def load_sample(why: str = "asked for") -> FashionMnist:
    """The 5,000 + 1,000 images in this repository: the first ones of each class, as many of every class."""
    with np.load(SAMPLE) as arrays:
        parts = {name: arrays[name] for name in idx_files.FILES}
    source = (
        "ONLY A SAMPLE of Fashion-MNIST, 5,000 training and 1,000 test images: accuracy and loss do not compare "
        f"with those of the full data ({why}). {ADVICE}"
    )
    return of_parts(parts, source, is_sample=True)


def read_files(paths: dict[str, Path]) -> FashionMnist:
    """paths: as `find_files` gives them, all four."""
    parts = {name: idx_files.read_file(path, idx_files.FILES[name]) for name, path in paths.items()}
    folder = paths["train_images"].parent
    return of_parts(parts, f"Fashion-MNIST, 60,000 + 10,000 images, from {folder}")


def of_parts(parts: dict[str, np.ndarray], source: str, is_sample: bool = False) -> FashionMnist:
    """parts: by the names of `idx_files.FILES`."""
    return FashionMnist(
        parts["train_images"],
        parts["train_labels"],
        parts["test_images"],
        parts["test_labels"],
        source=source,
        is_sample=is_sample,
    )


def _from_named_folder(folder: Path) -> FashionMnist:
    """A folder that the user named must do: falling through to another would hide the mistake."""
    if not folder.is_dir():
        raise DataError(f"the data folder {folder} does not exist or is not a folder. {ADVICE}")
    paths = find_files(folder)
    missing = [f"{file.name}.gz" for name, file in idx_files.FILES.items() if name not in paths]
    if missing:
        raise DataError(f"the data folder {folder} lacks {', '.join(missing)}. {ADVICE}")
    return read_files(paths)


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
