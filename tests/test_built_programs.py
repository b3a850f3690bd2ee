"""Players in C++ are built on demand, once for what they are made from; where they cannot be, the reason is told."""

import shutil
import subprocess

import pytest

from harness.environments import environments, programs
from harness.environments.environments import find, made, make
from harness.environments.requirements import NotInstallableError, Requirements
from harness.errors import UsageError
from harness.targets import built_in
from harness.targets.launch import Launch

needs_compiler = pytest.mark.skipif(programs.compiler() is None, reason=f"needs one of {', '.join(programs.COMPILERS)}")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER, str(tmp_path / "environments"))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "main.cpp"
    path.write_text('#include "status.hpp"\nint main() { return STATUS; }\n')
    path.with_name("status.hpp").write_text("#define STATUS 3\n")
    return path


def requirements(source, flags=()):
    return Requirements(sources=(str(source), str(source.with_name("status.hpp"))), flags=flags)


@needs_compiler
def test_it_is_built_once_and_anew_when_a_file_or_flag_changes(source):
    first = make(requirements(source))
    assert subprocess.run([first.program], check=False).returncode == 3
    assert make(requirements(source)) == find(requirements(source)) == first
    source.with_name("status.hpp").write_text("#define STATUS 4\n")
    second = make(requirements(source))
    assert subprocess.run([second.program], check=False).returncode == 4
    assert requirements(source, ("-lm",)).key != requirements(source).key
    assert {each.folder for each in made()} == {first.folder, second.folder}
    assert "main.cpp" in str(second.requirements)


@needs_compiler
def test_the_first_error_is_the_reason_why_it_is_not_built(source):
    source.write_text("int main() { return unknown_name; }\nmore errors;\n")
    with pytest.raises(NotInstallableError, match=r"main.cpp:1.*unknown_name"):
        make(requirements(source))
    assert made() == []


def test_without_a_compiler_it_says_which_would_do(source, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(NotInstallableError, match=r"c\+\+, g\+\+, clang\+\+"):
        make(requirements(source))


def test_another_release_of_a_package_is_another_program(source, monkeypatch):
    keys = set()
    for version in ("1.0", "2.0"):
        monkeypatch.setattr(programs, "debian_versions", lambda _, version=version: {"libsome-dev": version})
        keys.add(requirements(source).key)
    assert len(keys) == 2


def test_a_target_that_cannot_be_built_says_what_to_install(monkeypatch):
    monkeypatch.setattr(environments, "debian_versions", lambda _: {})
    monkeypatch.setattr(environments, "compiler", lambda: "/usr/bin/c++")
    with pytest.raises(UsageError, match="apt-get install libdnnl-dev"):
        Launch("onednn").command()
    assert not built_in.is_installed("onednn")
