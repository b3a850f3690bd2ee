"""Environments made on demand, and the releases that an index tells of. Nothing here needs a network."""

import base64
import hashlib
import subprocess
import sys
import threading
import types
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.environments import environments, package_index
from harness.environments.disk_use import disk_use
from harness.environments.environments import VirtualEnvironment, made, make
from harness.environments.interpreters import available
from harness.environments.package_index import Release, releases_in, select, suits
from harness.environments.requirements import NotInstallableError, Requirements, running_version
from harness.errors import UsageError
from harness.targets.built_in import BUILT_IN


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER, str(tmp_path / "environments"))
    return tmp_path / "environments"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A package of one line, as pip takes it."""
    path = tmp_path_factory.mktemp("wheel") / "tiny_norm-1.5-py3-none-any.whl"
    files = {
        "tiny_norm.py": "EPS = 0.125\n",
        "tiny_norm-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-norm\nVersion: 1.5\n",
        "tiny_norm-1.5.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            archive.writestr(name, text)
            lines.append(f"{name},sha256={digest},{len(text)}")
        archive.writestr("tiny_norm-1.5.dist-info/RECORD", "\n".join([*lines, "tiny_norm-1.5.dist-info/RECORD,,"]))
    return str(path)


def an_environment(folder, requirements=Requirements()):  # noqa: B008 - it is frozen
    """As if it had been made: the record alone."""
    place = folder / requirements.key
    place.mkdir(parents=True)
    environment = VirtualEnvironment(place, requirements, {"pip": "26.0"}, "2026-01-02T03:04:05+00:00", 1.5)
    environments._write(environment)
    return environment


def test_it_is_made_once_and_found_again(wheel):
    lines = []
    first = make(Requirements(pip=(wheel,)), lines.append)
    assert any("tiny" in line for line in lines)
    assert first.versions["tiny-norm"] == "1.5"
    printed = subprocess.run([first.python, "-c", "import tiny_norm; print(tiny_norm.EPS)"], capture_output=True)
    assert printed.stdout.strip() == b"0.125"
    lines.clear()
    assert make(Requirements(pip=(wheel,)), lines.append) == first
    assert lines == []
    assert made() == [first]
    assert disk_use([first.folder]).total > 1000


def test_two_that_want_the_same_wait_for_each_other(folder, monkeypatch):
    built = []

    def build(requirements, place, *_):
        built.append(place)
        return an_environment(folder, requirements)

    monkeypatch.setattr(environments, "_build", build)
    threads = [threading.Thread(target=make, args=(Requirements(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_what_was_broken_off_is_made_anew(folder, monkeypatch):
    requirements = Requirements(pip=("some",))
    (folder / requirements.key / "bin").mkdir(parents=True)
    assert environments.find(requirements) is None
    monkeypatch.setattr(environments, "_build", lambda asked, *_: an_environment(folder, asked))
    assert not (make(requirements).folder / "bin").exists()


@pytest.mark.parametrize(
    ("requirements", "text"),
    [
        (Requirements(python="3.99"), "needs Python 3.99; here are"),
        (Requirements(programs=("no-such-program",)), "needs no-such-program, which is not on the PATH"),
        (Requirements(debian=("no-such-package",)), "apt-get install no-such-package"),
        (Requirements(pip=("./no-such-file.whl",)), "no-such-file.whl"),
    ],
)
def test_what_cannot_be_had_says_why_and_leaves_nothing(requirements, text, folder):
    with pytest.raises(NotInstallableError, match=text):
        make(requirements)
    assert not (folder / requirements.key).exists()


def test_pip_is_found_where_distutils_is_imported_already(monkeypatch):
    """setuptools' finder warns of it, and the compilers of PyTorch import it."""
    monkeypatch.setitem(sys.modules, "distutils", types.ModuleType("distutils"))
    assert environments._pips_python(Requirements(pip=("a",)), print) == Path(sys.executable)


def test_a_time_limit(folder):
    requirements = Requirements(pip=("some",))
    with pytest.raises(NotInstallableError, match="time limit"):
        make(requirements, limit=0.0)
    assert not (folder / requirements.key).exists()


def test_the_key_says_what_is_in_the_folder():
    plain = Requirements(pip=("a", "b"))
    assert plain.key == Requirements(pip=("b", "a"), programs=("node",), python=running_version()).key
    assert plain.key == Requirements(pip=("a", "b", "a ")).key
    assert Requirements(pip=("a[x] >= 1, <2",)).key == Requirements(pip=("a[x]>=1,<2",)).key
    assert Requirements(pip=("A.whl",)).key != Requirements(pip=("a.whl",)).key
    others = [Requirements(pip=("a",)), Requirements(pip=("a", "b"), uploaded_before="2024-01-01")]
    assert len({plain.key, *(other.key for other in others)}) == 3
    assert running_version() in available()


def test_where_dates_matter_pip_asks_one_index(monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "/somewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index")
    dated = environments._variables(Requirements(uploaded_before="2024-01-01"))
    assert "PIP_FIND_LINKS" not in dated
    assert dated["PIP_INDEX_URL"] == "https://index"
    assert environments._variables(Requirements())["PIP_FIND_LINKS"] == "/somewhere"


def test_the_commands_list_and_clean(folder):
    kept, removed = (an_environment(folder, Requirements(pip=(name,))) for name in ("kept", "removed"))
    listed = CliRunner().invoke(app, ["envs", "list"]).output
    assert kept.folder.name in listed
    assert "2 environments" in listed
    assert CliRunner().invoke(app, ["envs", "clean", removed.folder.name]).exit_code == 0
    assert made() == [kept]
    assert isinstance(CliRunner().invoke(app, ["envs", "clean", "unknown"]).exception, UsageError)
    CliRunner().invoke(app, ["envs", "clean"])
    assert made() == []


# --- releases ---


def file_of(version, day, kind="-py3-none-any.whl", **more):
    return {"filename": f"lib-{version}{kind}", "upload-time": f"{day}T10:00:00Z", **more}


ANSWER = {
    "files": [
        file_of("0.10.0", "2024-10-01"),
        file_of("0.8.0", "2024-02-02", **{"requires-python": ">=3.9"}),
        file_of("0.8.0", "2024-02-01", ".tar.gz"),
        file_of("0.8.5", "2024-07-01"),
        file_of("0.9.0", "2024-08-01"),
        file_of("0.9.1", "2024-08-09", yanked="broken"),
        file_of("0.11.0rc1", "2025-01-01"),
        file_of("0.8.0", "2024-02-01", ".win32.exe"),
    ]
}


def test_releases_in_order_without_what_nobody_should_take():
    known = releases_in(ANSWER)
    assert [release.version for release in known] == ["0.8.0", "0.8.5", "0.9.0", "0.10.0"]
    assert known[0].uploaded == "2024-02-01"
    assert known[0].days_later(30) == "2024-03-02"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["0.8"], ["0.8.5"]),
        (["0.8.0"], ["0.8.0"]),
        (["latest"], ["0.10.0"]),
        (["0.8", "..", "latest"], ["0.8.5", "0.9.0", "0.10.0"]),
        (["0.8.0", "0.8.5", "0.9", "..", "0.10"], ["0.8.0", "0.8.5", "0.9.0", "0.10.0"]),
    ],
)
def test_words_for_releases(words, expected):
    assert [release.version for release in select(releases_in(ANSWER), words)] == expected


@pytest.mark.parametrize(
    ("words", "text"),
    [(["0.7"], "there is no release 0.7; the last is 0.10.0"), (["new"], "is no version"), (["0.8", ".."], "after")],
)
def test_words_that_mean_no_release(words, text):
    with pytest.raises(UsageError, match=text):
        select(releases_in(ANSWER), words)


def test_which_python_a_release_suits():
    assert suits(Release("1", "", ">=3.9"), "3.11")
    assert not suits(Release("1", "", ">=3.12"), "3.11")
    assert not suits(Release("1", "", "<3.11"), "3.11")


def test_an_index_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="did not answer for 'flax'"):
        package_index.releases("flax")


def test_a_target_of_a_date_is_installed_as_of_it():
    assert BUILT_IN["objax"].requirements.uploaded_before == "2023-12-01"
    assert BUILT_IN["tinygrad"].requirements.programs == ("clang",)
