"""Where the data come from, in which order, and that damaged data are refused. No test uses the network."""

import gzip
import hashlib
import struct
import sys

import numpy as np
import pytest

from harness.train import downloads, fashion_mnist, idx_files
from harness.train.fashion_mnist import ENVIRONMENT, load, load_sample
from harness.train.idx_files import FILES, DataError, File


@pytest.fixture
def contents(monkeypatch):
    """A small data set in the place of Fashion-MNIST: idx contents by file name."""
    rng = np.random.default_rng(0)
    files, contents = {}, {}
    for name, file in FILES.items():
        shape = (6, *file.shape[1:])
        header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
        contents[file.name] = header + rng.integers(0, 10, shape, dtype=np.uint8).tobytes()
        files[name] = File(file.name, shape, hashlib.sha256(contents[file.name]).hexdigest())
    monkeypatch.setattr(idx_files, "FILES", files)
    return contents


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """No source but those that a test sets up."""
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setattr(fashion_mnist, "DATA_DIR", tmp_path / "data")
    monkeypatch.setattr(downloads, "DEBIAN_DIR", tmp_path / "debian")
    monkeypatch.setattr(downloads, "reachable", lambda _: False)
    monkeypatch.setattr(downloads.shutil, "which", lambda _: None)


def write(folder, contents, level=9, compressed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, level))
        else:
            (folder / name).write_bytes(content)
    return folder


# --- reading ---


def test_arrays_are_what_the_files_say(contents, tmp_path):
    data = load(write(tmp_path / "here", contents))
    assert data.train_images.shape == (6, 28, 28)
    assert data.test_labels.shape == (6,)
    assert data.train_images.dtype == np.uint8
    assert data.test_labels.tobytes() == contents["t10k-labels-idx1-ubyte"][8:]
    assert data.train_images.tobytes() == contents["train-images-idx3-ubyte"][16:]
    assert not data.is_sample
    assert str(tmp_path / "here") in data.source


@pytest.mark.parametrize("options", [{"level": 1}, {"level": 9}, {"compressed": False}])
@pytest.mark.parametrize("place", [".", "FashionMNIST/raw"])
def test_any_compression_and_torchvision_s_layout(contents, tmp_path, options, place):
    write(tmp_path / place, contents, **options)
    assert load(tmp_path).train_labels.tobytes() == contents["train-labels-idx1-ubyte"][8:]


# --- the order of the search ---


def test_argument_then_environment_then_project_then_debian(contents, tmp_path, monkeypatch):
    write(downloads.DEBIAN_DIR, contents)
    assert str(downloads.DEBIAN_DIR) in load().source
    write(fashion_mnist.DATA_DIR, contents)
    assert str(fashion_mnist.DATA_DIR) in load().source
    monkeypatch.setenv(ENVIRONMENT, str(write(tmp_path / "environment", contents)))
    assert str(tmp_path / "environment") in load().source
    assert str(tmp_path / "argument") in load(write(tmp_path / "argument", contents)).source


def test_half_a_project_folder_leads_on(contents):
    write(downloads.DEBIAN_DIR, contents)
    write(fashion_mnist.DATA_DIR, {"train-images-idx3-ubyte": contents["train-images-idx3-ubyte"]})
    assert str(downloads.DEBIAN_DIR) in load().source


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_named_folder_must_exist_and_be_complete(contents, tmp_path, monkeypatch, by):
    write(fashion_mnist.DATA_DIR, contents)  # would do, but is not what was asked for

    def load_from(folder):
        if by == "argument":
            return load(folder)
        monkeypatch.setenv(ENVIRONMENT, str(folder))
        return load()

    with pytest.raises(DataError, match="missing_folder does not exist"):
        load_from(tmp_path / "missing_folder")
    folder = write(tmp_path / "incomplete", contents)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte\.gz.*--data DIR"):
        load_from(folder)


# --- damage ---


def test_a_truncated_gz_is_refused(contents, tmp_path):
    path = write(tmp_path, contents) / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz cannot be read.*Delete it"):
        load(tmp_path)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"\0", lambda _: b""])
def test_a_wrong_size_is_refused(contents, tmp_path, damage):
    name = "train-labels-idx1-ubyte"
    write(tmp_path, contents | {name: damage(contents[name])})
    with pytest.raises(DataError, match="should hold 14 bytes once decompressed, and holds"):
        load(tmp_path)


@pytest.mark.parametrize("position", [3, 8, -1])
def test_one_wrong_byte_is_refused(contents, tmp_path, position):
    name = "t10k-images-idx3-ubyte"
    wrong = bytearray(contents[name])
    wrong[position] ^= 1
    write(tmp_path, contents | {name: bytes(wrong)})
    expected = hashlib.sha256(contents[name]).hexdigest()
    with pytest.raises(DataError, match=f"not Fashion-MNIST's {name}: expected SHA-256 {expected}, got"):
        load(tmp_path)


def test_a_damaged_file_in_the_project_folder_is_not_passed_over(contents):
    write(downloads.DEBIAN_DIR, contents)
    write(fashion_mnist.DATA_DIR, contents | {"train-labels-idx1-ubyte": b"not a data set"})
    with pytest.raises(DataError, match="Delete it"):
        load()


def test_mnist_itself_is_refused(tmp_path):
    """The same names and sizes, other pictures: only the checksum knows."""
    for file in FILES.values():
        header = struct.pack(f">BBBB{len(file.shape)}I", 0, 0, 8, len(file.shape), *file.shape)
        (tmp_path / file.name).write_bytes(header + bytes(int(np.prod(file.shape))))
    with pytest.raises(DataError, match="is not Fashion-MNIST's"):
        load(tmp_path)


# --- downloads and the sample ---


def test_a_download_is_checked_and_kept(contents, monkeypatch):
    monkeypatch.setattr(
        downloads, "download_with_torchvision", lambda folder: write(folder / "FashionMNIST/raw", contents)
    )
    assert str(fashion_mnist.DATA_DIR) in load().source
    names = sorted(path.name for path in fashion_mnist.DATA_DIR.iterdir())
    assert names == sorted(f"{name}.gz" for name in contents)


def test_a_bad_download_is_thrown_away(contents, monkeypatch):
    bad = contents | {"train-labels-idx1-ubyte": b"a page of a captive portal"}
    monkeypatch.setattr(downloads, "download_with_torchvision", lambda folder: write(folder, bad))
    monkeypatch.setattr(fashion_mnist, "load_sample", lambda why: why)  # it is not of the small data set
    assert "should hold 14 bytes" in load()
    assert list(fashion_mnist.DATA_DIR.iterdir()) == []
    monkeypatch.setattr(downloads, "download_debian_package", lambda folder: write(folder, contents))
    assert load().train_labels.tobytes() == contents["train-labels-idx1-ubyte"][8:]
    assert len(list(fashion_mnist.DATA_DIR.iterdir())) == len(contents)


def test_a_broken_torchvision_is_no_obstacle(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    assert "torchvision cannot be imported" in load().source


def test_the_sample_is_the_last_resort_and_says_so():
    data = load()
    assert data.is_sample
    assert data.source.startswith("ONLY A SAMPLE")
    assert "there is no apt-get" in data.source
    with pytest.raises(DataError, match=r"could not be had.*there is no apt-get.*--data DIR"):
        load(allow_sample=False)


def test_the_sample_is_balanced():
    data = load_sample()
    assert data.train_images.shape == (5000, 28, 28)
    assert data.test_images.shape == (1000, 28, 28)
    assert data.train_images.dtype == data.test_labels.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(data.train_labels), np.full(10, 500))
    np.testing.assert_array_equal(np.bincount(data.test_labels), np.full(10, 100))
    assert hashlib.sha256(data.train_images.tobytes()).hexdigest() == SAMPLE_SHA256
    assert "Zalando" in (fashion_mnist.SAMPLE.parent / "LICENSE").read_text()


SAMPLE_SHA256 = "219e0834d6dbbfcccb72e61d67310bfef387e43aba6c40b2bc63758d7ad925c9"


def test_a_command_that_hangs_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.3)
    with pytest.raises(DataError, match="made no progress"):
        downloads.run_while_growing([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)


def test_a_command_that_fails_gives_its_last_line(tmp_path):
    with pytest.raises(DataError, match="failed: no such package"):
        downloads.run_while_growing([sys.executable, "-c", "exit('first\\nno such package')"], tmp_path)
