"""What Inductor's C++ compiler made is found again, and nothing else is: a compiler in sh counts what it is asked."""

import os
import subprocess
from pathlib import Path

import pytest

from harness.targets.through.kept_objects import launcher

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere nothing is kept")
COMPILER = """#!/bin/sh
for word; do
    case $word in
        -E) cat source.cpp header.hpp; exit;;
        -D*) defined=$word;;
        --version) echo "g++ (of a test)"; exit;;
    esac
    test "$before" = -o && output=$word
    before=$word
done
echo "$output" >> compiled
grep -q wrong source.cpp && { echo half > "$output"; exit 3; }
{ cat source.cpp header.hpp; echo "$defined"; } > "$output"
"""


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "g++"
    path.write_text(COMPILER)
    path.chmod(0o755)
    Path("source.cpp").write_text("source\n")
    Path("header.hpp").write_text("header\n")
    return path


def made(compiler, *options, output="a.o"):
    """What is in the object, or the exit status of who failed; and how often anything was compiled."""
    done = subprocess.run([launcher(str(compiler)), "source.cpp", *options, "-c", "-o", output])
    compiled = Path("compiled").read_text().splitlines()
    return done.returncode or Path(output).read_text(), len(compiled)


def test_the_same_is_compiled_once(compiler):
    assert made(compiler) == ("source\nheader\n\n", 1)
    Path("a.o").unlink()
    assert made(compiler) == ("source\nheader\n\n", 1)
    assert made(compiler, output="b.o") == ("source\nheader\n\n", 1)


@pytest.mark.parametrize("file", ["source.cpp", "header.hpp"])
def test_another_source_or_header_is_compiled(compiler, file):
    made(compiler)
    Path(file).write_text("another\n")
    content, compiled = made(compiler)
    assert "another" in content
    assert compiled == 2


def test_with_other_options_it_is_compiled(compiler):
    made(compiler)
    assert made(compiler, "-DX=1") == ("source\nheader\n-DX=1\n", 2)


def test_another_compiler_compiles(compiler):
    made(compiler)
    compiler.write_text(COMPILER + "echo newer >> $output\n")
    assert made(compiler) == ("source\nheader\n\nnewer\n", 2)


def test_what_fails_is_not_kept(compiler):
    Path("source.cpp").write_text("wrong\n")
    assert made(compiler) == (3, 1)
    assert made(compiler) == (3, 2)


def test_what_gives_no_object_alone_is_the_compilers_own(compiler):
    """A version that is asked for, a program that is linked, a list of headers, an assembler's source."""
    said = subprocess.run([launcher(str(compiler)), "--version"], capture_output=True, text=True).stdout
    assert said == "g++ (of a test)\n"
    for words in ("source.cpp -o program", "source.cpp -MD -c -o a.o", "source.S -c -o s.o"):
        for _ in range(2):
            subprocess.run([launcher(str(compiler)), *words.split()], check=True)
    assert Path("compiled").read_text().split() == ["program", "program", "a.o", "a.o", "s.o", "s.o"]


def test_its_name_ends_as_the_compilers(compiler):
    assert Path(launcher(str(compiler))).name.endswith("-g++")


def test_without_a_place_it_is_the_compiler_itself(compiler, monkeypatch):
    Path("cache").write_text("no folder")
    assert launcher(str(compiler)) == str(compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", "elsewhere")
    assert launcher("no-such-compiler") == "no-such-compiler"
