"""`--python`: a target is played in another environment, which has NumPy and nothing of ours."""

import ast
import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.cli.failures import command
from harness.cli.request import CheckRequest
from harness.errors import UsageError
from harness.targets import launch
from harness.targets.isolate import IsolatedTarget
from harness.targets.load import TargetError

ROOT = Path(__file__).parents[1]
THEIRS = """
import sys
import numpy as np
from helper import EXTRA

assert not {"harness", "ml_dtypes", "typer", "msgspec"} & {path.partition(".")[0] for path in sys.path}


class Norm:
    conventions = "torch"
    dtypes = ("float32",)
    ranks = (2,)

    def __init__(self, setup):
        self.setup = setup

    def train(self, x, dy):
        raise NotImplementedError

    def eval(self, x, dy):
        assert sys.prefix != sys.base_prefix and "ml_dtypes" not in sys.modules
        s = self.setup
        return {"y": ((x - s.moving_mean) / np.sqrt(s.moving_var + np.float32(s.eps)) * s.gamma + s.beta) * EXTRA}


class Doubled(Norm):
    def eval(self, x, dy):
        return {"y": 2 * super().eval(x, dy)["y"]}


class AlsoBfloat16(Norm):
    dtypes = ("float32", "bfloat16")
    ranks = (2, 4)


class Refuses(Norm):
    def eval(self, x, dy):
        raise ValueError("not today")


def function(x, gamma, beta, moving_mean, moving_var, eps, momentum, training):
    mean, var = (x.mean(0), x.var(0)) if training else (moving_mean, moving_var)
    y = (x - mean) / np.sqrt(var + np.asarray(eps, x.dtype)) * gamma + beta
    if not training:
        return y
    keep, new = (np.asarray(weight, x.dtype) for weight in (1 - momentum, momentum))
    return y, keep * moving_mean + new * mean, keep * moving_var + new * var


function.conventions = {"preset": "torch", "moving_var": "biased", "single_value": "any"}
function.ranks = (2,)
"""


def environment(folder, with_numpy=True):
    """A virtual environment. NumPy's own folders are linked into it, which takes no time and no network."""
    venv.create(folder, symlinks=True)
    (library,) = folder.glob("lib/python*/site-packages")
    if with_numpy:
        packages = Path(np.__file__).parents[1]
        for package in ("numpy", "numpy.libs"):
            if (packages / package).exists():
                (library / package).symlink_to(packages / package)
    return folder


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "norm.py").write_text(THEIRS)
    (folder / "helper.py").write_text("EXTRA = 1\n")
    return folder / "norm.py"


def checked(target, env, *cases):
    options = CheckOptions(tuple(BY_ID[case] for case in cases or ("rank2",)), diagnosed=False)
    with IsolatedTarget(str(target), python=launch.interpreter_of(str(env))) as player:
        return check_target(player, options)


def test_nothing_but_numpy_is_there(env):
    code = "import numpy\nfor name in ('harness', 'ml_dtypes', 'pip', 'typer', 'torch'):\n"
    code += " try: __import__(name)\n except ImportError: continue\n raise SystemExit(name)"
    done = subprocess.run([env / "bin" / "python", "-c", code], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "verdict"), [("Norm", "agree"), ("Doubled", "differ"), ("function", "agree")])
def test_a_target_is_played_there(env, theirs, name, verdict):
    report = checked(f"{theirs}:{name}", env)
    assert report.verdict == verdict, (report.load_error, report.judgements)


def test_our_own_reference_is_played_there(env):
    assert checked("numpy", env, "rank4", "five_steps").verdict == "agree"


def test_bfloat16_alone_needs_another_package(env, theirs):
    report = checked(f"{theirs}:AlsoBfloat16", env, "small_variance")
    told = {judgement.message for judgement in report.judgements if judgement.dtype == "bfloat16"}
    assert told == {"bfloat16 needs ml_dtypes: No module named 'ml_dtypes'"}


def test_the_command_takes_it_and_says_it_again(env, theirs, tmp_path):
    arguments = [
        "check",
        f"{theirs}:Refuses",
        "--case",
        "rank2",
        "--python",
        str(env),
        "--json",
        str(tmp_path / "v.json"),
    ]
    done = subprocess.run([sys.executable, "-m", "harness.cli", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert f"--python {env}" in done.stdout
    assert json.loads((tmp_path / "v.json").read_text())["targets"][0]["verdict"] == "raised"


def test_a_case_is_shown_again_in_the_same_environment():
    assert command("numpy", ["rank2"], CheckRequest(("numpy",), python="old env")).split(" --")[2:3] == [
        "python 'old env'"
    ]


def test_an_environment_without_numpy_says_so(tmp_path):
    python = launch.interpreter_of(str(environment(tmp_path / "bare", with_numpy=False)))
    words = r"bare.*NumPy is missing there .*: pip install numpy"
    with IsolatedTarget("numpy", python=python) as target, pytest.raises(TargetError, match=words):
        target.describe()


def test_a_python_that_is_too_old_says_so():
    code = f"import runpy, sys; sys.version_info = (3, 8, 1); runpy.run_path({str(launch.PYTHON_PLAYER)!r})"
    done = subprocess.run([sys.executable, "-c", code], input="{}\n", capture_output=True, text=True)
    assert "it is Python 3.8; a player needs 3.9 or newer" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize(
    ("given", "words"),
    [("no/such/folder", "no such folder, and no such program"), (".", "no interpreter in that folder")],
)
def test_an_environment_that_is_none_is_a_usage_error(given, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        launch.interpreter_of(given)


def test_an_interpreter_may_be_named(env, monkeypatch):
    assert launch.interpreter_of(str(env / "bin" / "python")) == str(env / "bin" / "python")
    monkeypatch.setenv("PATH", str(env / "bin"))
    assert launch.interpreter_of("python") == str(env / "bin" / "python")


# --- the player's files are Python 3.9 ---


def players_modules():
    """The files that a player imports to play a NumPy class or function, and the wrappers."""
    code = (
        "import sys\nimport harness.targets.worker, harness.targets.wrap.function, reference.under_test\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] in ('harness', 'reference')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    wrappers = (ROOT / "harness" / "targets" / "wrap").glob("*.py")
    return sorted({*map(Path, done.stdout.split()), *wrappers, launch.PYTHON_PLAYER})


def test_the_players_files_are_written_for_python_3_9():
    """As far as can be seen without one: the grammar, and what came to be called otherwise since."""
    files = players_modules()
    assert len(files) > 25
    for file in files:
        tree = ast.parse(file.read_text(), str(file), feature_version=(3, 9))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                assert not (name == "zip" and node.keywords), f"{file}:{node.lineno}: zip(strict=) is of Python 3.10"
                union = name == "isinstance" and isinstance(node.args[1], ast.BinOp)
                assert not union, f"{file}:{node.lineno}: isinstance(_, a | b) is of Python 3.10"
            if isinstance(node, ast.ImportFrom):
                newer = {alias.name for alias in node.names} & {"StrEnum", "UTC", "Self", "pairwise"}
                assert not newer, f"{file}:{node.lineno}: {newer} is of Python 3.10 or 3.11"
        imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        assert not imported & {"ml_dtypes", "msgspec", "psutil", "scipy"}, file
