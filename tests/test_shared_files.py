"""Environments share the files that are the same: nothing is lost, and nothing of another is touched."""

import base64
import errno
import hashlib
import os
import py_compile
import signal
import struct
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from harness.environments import environments, sharing
from harness.environments.disk_use import disk_use
from harness.environments.environments import make
from harness.environments.requirements import NotInstallableError, Requirements
from harness.environments.sharing import Saved, prune, share

FILES = {"lib.so": b"x" * 9000, "lib.so.1": b"y" * 9000, "code.py": b"A = 1\n", "config.json": b"{}", "empty.py": b""}
SHARED = ("lib.so", "lib.so.1", "code.py")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER, str(tmp_path / "environments"))
    return tmp_path / "environments"


@pytest.fixture
def contents(root):
    return root / environments.CONTENTS


def package(folder, files=FILES, recorded=FILES):
    """A package as pip leaves it, with a compiled file; `recorded`: what its RECORD says that the files hold."""
    place = folder / "lib" / "python3.11" / "site-packages"
    (place / "p-1.dist-info").mkdir(parents=True)
    lines = []
    for name, data in files.items():
        (place / name).write_bytes(data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(recorded[name]).digest()).decode().rstrip("=")
        lines.append(f"{name},sha256={digest},{len(recorded[name])}")
    py_compile.compile(place / "code.py")
    hostile = ["../../../outside.py,sha256=AAAA,3", "a,b", "/etc/x.py,sha256=AAAA,3", "x.py,sha256=!,3", "y.py,md5=,1"]
    compiled = "__pycache__/code.cpython-311.pyc,,"
    (place / "p-1.dist-info" / "RECORD").write_text("\n".join([*lines, *hostile, compiled]))
    return place


def links(*paths):
    return {path.stat().st_ino for path in paths}


def test_the_same_files_are_there_once(root, contents):
    first, second = (package(root / name) for name in "ab")
    assert share(root / "a", contents) == Saved(0, 0)
    assert share(root / "b", contents) == Saved(3, 18006)
    assert share(root / "b", contents) == Saved(0, 0)
    for name, data in FILES.items():
        assert (len(links(first / name, second / name)) == 1) == (name in SHARED)
        assert (second / name).read_bytes() == data
    use = disk_use([root / "a", root / "b"])
    assert sum(use.whole) - use.total == sum((first / name).stat().st_blocks * 512 for name in SHARED)
    assert use.total - sum(use.alone) == sum(use.whole) - use.total


def test_one_goes_and_the_other_stays_whole(root, contents):
    first, second = (package(root / name) for name in "ab")
    for name in "ab":
        share(root / name, contents)
    for path in sorted(first.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    prune(contents)
    assert all((second / name).read_bytes() == data for name, data in FILES.items())
    assert len([*contents.glob("*/*")]) == len(SHARED)
    for name in SHARED:
        (second / name).unlink()
    prune(contents)
    assert not [*contents.glob("*/*")]


def test_what_a_record_promises_wrongly_is_left_alone(root, contents):
    package(root / "a")
    changed = package(root / "b", FILES | {"lib.so": b"z" * 9000})
    for name in "ab":
        share(root / name, contents)
    assert (changed / "lib.so").read_bytes() == b"z" * 9000
    assert len(links(changed / "lib.so", root / "a/lib/python3.11/site-packages/lib.so")) == 2


def test_other_permissions_are_another_file(root, contents):
    first, second = (package(root / name) for name in "ab")
    (second / "lib.so").chmod(0o755)
    for name in "ab":
        share(root / name, contents)
    assert len(links(first / "lib.so", second / "lib.so")) == 2
    assert (first / "lib.so").stat().st_mode & 0o111 == 0


def test_a_file_that_was_written_to_is_given_to_nobody_else(root, contents):
    first, second = (package(root / name) for name in "ab")
    share(root / "a", contents)
    with (first / "lib.so").open("r+b") as file:
        file.write(b"!")
    assert share(root / "b", contents).files == 2
    assert (second / "lib.so").read_bytes() == FILES["lib.so"]
    third = package(root / "c")
    assert share(root / "c", contents).files == 3
    assert len(links(second / "lib.so", third / "lib.so")) == 1


def test_what_was_compiled_stays_valid(root, contents):
    first, second = (package(root / name) for name in "ab")
    os.utime(second / "code.py", (1_700_000_000, 1_700_000_000))
    (compiled,) = (second / "__pycache__").iterdir()
    py_compile.compile(second / "code.py")
    for name in "ab":
        share(root / name, contents)
    for place in (first, second):
        (compiled,) = (place / "__pycache__").iterdir()
        assert struct.unpack("<I", compiled.read_bytes()[8:12])[0] == int((place / "code.py").stat().st_mtime)
    assert compiled.stat().st_nlink == 1


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSPC])
def test_where_a_link_cannot_be_made_all_stays_as_it_is(root, contents, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    place = package(root / "a")
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    monkeypatch.setattr(sharing.os, "link", refuse)
    assert share(root / "a", contents) == Saved(0, 0)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


@pytest.mark.parametrize("method", ["link", "utime"])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_broken_off_at_any_file_it_is_whole(root, contents, monkeypatch, method, which):
    calls = []
    real = getattr(os, method)

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == which:
            raise KeyboardInterrupt
        return real(*arguments)

    place = package(root / "a")
    monkeypatch.setattr(sharing.os, method, stop)
    with pytest.raises(KeyboardInterrupt):
        share(root / "a", contents)
    monkeypatch.undo()
    second = package(root / "b")
    share(root / "a", contents)
    share(root / "b", contents)
    for where in (place, second):
        assert all((where / name).read_bytes() == data for name, data in FILES.items())
    assert len(links(place / "lib.so", second / "lib.so")) == 1


# --- a disk that fills, a process that is killed ---


def in_place_of_pip(monkeypatch, program):
    monkeypatch.setattr(environments, "_pips_python", lambda *_: Path(sys.executable))
    monkeypatch.setattr(environments, "_installing", lambda _, folder, __: [[sys.executable, "-c", program, folder]])


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """Half a megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    monkeypatch.setenv(environments.FOLDER, str(place / "environments"))
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills_leaves_nothing_that_is_taken_for_whole(small_disk, monkeypatch):
    in_place_of_pip(monkeypatch, "import sys; open(sys.argv[1] + '/big', 'wb').write(bytes(2**20))")
    requirements = Requirements(pip=("some",))
    with pytest.raises(NotInstallableError, match="No space left on device"):
        make(requirements)
    assert environments.find(requirements) is None
    assert not [path for path in (small_disk / "environments").iterdir() if path.is_dir()]
    (small_disk / "environments" / "rest").write_bytes(bytes(400_000))
    with pytest.raises(NotInstallableError, match="No space left on device"):
        make(requirements)  # now the virtual environment itself does not fit


MAKING = """
import sys
from pathlib import Path
from harness.environments import environments
from harness.environments.requirements import Requirements

program = "import os, sys, time; open(sys.argv[1] + '/half', 'w'); print(os.getpid(), flush=True); time.sleep(60)"
environments._pips_python = lambda *_: Path(sys.executable)
environments._installing = lambda _, folder, __: [[sys.executable, "-c", program, folder]]
environments.make(Requirements(pip=("some",)), lambda line: print(line, flush=True))
"""


def runs(process):
    """Whether it is there, and not only waiting to be collected."""
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(os.name == "nt", reason="a hold is inherited where there is flock")
def test_killed_while_it_is_made_it_is_made_anew_and_its_installer_ends(monkeypatch, root):
    with subprocess.Popen([sys.executable, "-c", MAKING], stdout=subprocess.PIPE, text=True) as maker:
        installer = int(maker.stdout.readline())
        maker.send_signal(signal.SIGKILL)
    requirements = Requirements(pip=("some",))
    assert environments.find(requirements) is None
    assert (root / requirements.key / "half").exists()
    assert runs(installer)
    in_place_of_pip(monkeypatch, "")
    environment = make(requirements)
    assert not runs(installer)
    assert not (environment.folder / "half").exists()
    assert environments.find(requirements) == environment


def test_what_another_process_makes_now_is_left_to_it(root):
    place = root / "0123456789abcdef"
    (place / "bin").mkdir(parents=True)
    with FileLock(place.with_suffix(".lock")):
        environments.tidy()
    assert place.exists()


def test_what_was_broken_off_goes_with_the_rest(root):
    (root / "0123456789abcdef" / "bin").mkdir(parents=True)
    environments.tidy()
    assert not (root / "0123456789abcdef").exists()
