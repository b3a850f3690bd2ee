"""Which mutants `tests.experiments.mutation` draws from. What mutmut itself does is not tried here."""

import subprocess

import pytest

from tests.experiments import mutation


@pytest.mark.parametrize(
    ("mutant", "where"),
    [
        ("harness.judge.pairs.x_compare__mutmut_12", ("harness/judge/pairs.py", "compare")),
        ("harness.judge.pairs.x__inside__mutmut_1", ("harness/judge/pairs.py", "_inside")),
        ("reference.lenet.xǁLeNetǁ__init____mutmut_3", ("reference/lenet.py", "LeNet.__init__")),
    ],
)
def test_a_mutant_says_which_function_it_changes(mutant, where):
    assert mutation.function_of(mutant) == where


BEFORE = """
def same(x):
    return x  # a word

def other(x):
    return x

class A:
    def f(self):
        return 1
"""
AFTER = """
def same(x):
    return x  # another

def other(x):
    return -x

class A:
    def f(self):
        return 1

    def g(self):
        return 2
"""


def test_functions_that_are_new_or_read_otherwise_are_drawn_from(tmp_path, monkeypatch):
    monkeypatch.setattr(mutation, "ROOT", tmp_path)

    def git(*words):
        name = ("-c", "user.name=n", "-c", "user.email=e@e")
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "m.py").write_text(BEFORE, encoding="utf-8")
    git("init")
    git("add", "m.py")
    git("commit", "-m", "before")
    (tmp_path / "m.py").write_text(AFTER, encoding="utf-8")
    mutants = [f"m.{name}__mutmut_1" for name in ("x_same", "x_other", "xǁAǁf", "xǁAǁg")]
    assert mutation.changed_since("HEAD", mutants) == ["m.x_other__mutmut_1", "m.xǁAǁg__mutmut_1"]
    (tmp_path / "n.py").write_text(BEFORE, encoding="utf-8")
    assert mutation.changed_since("HEAD", ["n.x_same__mutmut_1"]) == ["n.x_same__mutmut_1"]  # a file that is new
    with pytest.raises(subprocess.CalledProcessError):
        mutation.changed_since("no-such-commit", mutants)
