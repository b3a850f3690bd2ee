"""What is installed is all under `bnproof`: a user's own `harness`, `reports` and `tests` are left alone, and used."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import warnings
import zipfile
from pathlib import Path

import pytest

from tests import ledger_sample
from tests.test_other_python import environment as environment_with_numpy

ROOT = Path(__file__).parents[1]
ROOMS = ("harness", "impls", "reference", "reports")
DECOY = 'raise RuntimeError(f"{__name__} is the user\'s own")\n'
MINE = """
import numpy as np


class Right:
    conventions = "d2l"

    def __init__(self, setup):
        self.setup, self.mean, self.var = setup, setup.moving_mean, setup.moving_var

    def normalize(self, x, dy, mean, var, dx_of):
        setup, axes = self.setup, (0, *range(2, x.ndim))
        wide = x.astype(np.promote_types(x.dtype, np.float32))
        per_channel = [array.reshape(1, -1, *[1] * (x.ndim - 2)) for array in (mean, var, setup.gamma, setup.beta)]
        mean, var, gamma, beta = per_channel
        std = np.sqrt(var + wide.dtype.type(setup.eps))
        x_hat = (wide - mean) / std
        results = {"y": gamma * x_hat + beta, "dx": dx_of(dy * gamma, x_hat, axes) / std}
        return {name: array.astype(x.dtype) for name, array in results.items()} | {
            "dgamma": (dy * x_hat).sum(axes), "dbeta": dy.sum(axes)
        }

    def train(self, x, dy):
        axes = (0, *range(2, x.ndim))
        mean, var, keep = x.mean(axes), x.var(axes), x.dtype.type(self.setup.momentum)
        self.mean = keep * self.mean + (1 - keep) * mean
        self.var = keep * self.var + (1 - keep) * var

        def dx_of(grad, x_hat, axes):
            projected = x_hat * (grad * x_hat).mean(axes, keepdims=True)
            return grad - grad.mean(axes, keepdims=True) - projected

        return self.normalize(x, dy, mean, var, dx_of)

    def eval(self, x, dy):
        return self.normalize(x, dy, self.mean, self.var, lambda grad, *_: grad)

    def stats(self):
        return {"moving_mean": self.mean, "moving_var": self.var}


class Wrong(Right):
    def train(self, x, dy):
        results = super().train(x, dy)
        return results | {"dgamma": results["dbeta"], "dbeta": results["dgamma"]}
"""
THEIR_TEST = """
import pytest


def test_theirs(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("bnproof")
    for name in ("harness", "reports", "tests"):
        with pytest.raises(RuntimeError, match=f"{name} is the user's own"):
            __import__(name)
"""
IMPORT_THEIRS = """
import sys
for name in sys.argv[1:]:
    try:
        __import__(name)
    except RuntimeError as error:
        print(error)
"""
IMPORT_EVERYTHING = f"""
import gc, importlib, importlib.util, pkgutil, sys
gc.disable()  # all of it stays
import bnproof

imported = 0
for module in pkgutil.walk_packages(bnproof.__path__, "bnproof."):
    try:
        importlib.import_module(module.name)
        imported += 1
    except ModuleNotFoundError as error:  # of a framework that is not installed, and of nothing else
        assert error.name.partition(".")[0] not in ("bnproof", *{ROOMS}), module.name
        assert importlib.util.find_spec(error.name.partition(".")[0]) is None, module.name
twice = [name for name in sys.modules if name.partition(".")[0] in {ROOMS}]
assert not twice, twice
print(imported)
gc.freeze()
"""


OF_A_REPORT = ("jinja2", "markupsafe", "matplotlib", "scipy", "pytest", "psutil")
WITHOUT_A_REPORT = f"""
import sys
for name in {OF_A_REPORT}:
    sys.modules[name] = None  # not installed
from bnproof.harness.cli.app import main
main()
"""
FROM_PYTHON = """
import sys
import bnproof
assert "numpy" not in sys.modules
from mine import Right, Wrong
results = [bnproof.check(target, cases=["rank2"]) for target in (Right, Wrong, "mine.py:Wrong", "mine.py:Nobody")]
print([result.verdict.value for result in results])
print([[finding.id for finding in result.diagnosis] for result in results])
print(max(case.ratio for case in results[0].cases if case.ratio is not None) <= 1, bnproof.probe(Right).nearest)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", folder, ROOT]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, timeout=120)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment with the wheel, that also sees what this environment has, but not the sources.

    A folder named in a .pth file is on the path; the .pth files in it, by which an editable installation works, are
    not read.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    interpreter = environment / "bin" / "python"
    (library,) = environment.glob("lib/python*/site-packages")
    dependencies = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (library / "dependencies.pth").write_text("\n".join(dependencies))
    install = ["install", "--no-deps", "--no-index", "--quiet", "--ignore-installed", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", interpreter, *install], check=True, timeout=120)
    return interpreter


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A user's project: a layer, a test, and packages that are called as our rooms are."""
    folder = tmp_path_factory.mktemp("theirs")
    for name in (*ROOMS, "tests", "bench"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(DECOY)
    (folder / "mine.py").write_text(MINE)
    (folder / "unit").mkdir()
    (folder / "unit" / "test_theirs.py").write_text(THEIR_TEST)
    return folder


@pytest.fixture
def run(python, theirs):
    """Run the environment's Python, or a script of it, in the user's folder, which is then on Python's path."""

    def run(*command, script=None):
        program = [python.parent / script] if script else [python]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
        command = [*map(str, [*program, *command])]
        return subprocess.run(command, cwd=theirs, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_the_users_own_packages_are_what_their_names_import(run):
    names = (*ROOMS, "tests")
    done = run("-c", IMPORT_THEIRS, *names)
    assert done.stdout.splitlines() == [f"{name} is the user's own" for name in names], done.stderr
    done = run("-c", "import bnproof; print(bnproof.__file__, bnproof.__version__)")
    assert "site-packages" in done.stdout, done.stderr


def test_check(run):
    done = run("check", "numpy", "mine.py:Right", "--suite", "quick", script="bnproof")
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("check", "mine:Wrong", "--suite", "quick", script="bnproof")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "dgamma_dbeta_swapped" in done.stdout


def test_a_check_takes_nothing_that_only_a_report_does(run, tmp_path):
    files = [tmp_path / name for name in ("s.md", "b.svg", "j.xml", "v.json")]
    options = [*zip(("--markdown", "--badge", "--junit", "--json"), files, strict=True)]
    options = [word for option in options for word in option]
    done = run("-c", WITHOUT_A_REPORT, "check", "mine.py:Wrong", "--case", "rank2", "--annotations", *options)
    assert done.returncode == 1, done.stderr
    assert "::error file=mine.py,line=" in done.stdout
    assert all(file.stat().st_size for file in files)
    done = run("-c", WITHOUT_A_REPORT, "compare", files[-1], files[-1])
    assert done.returncode == 0, done.stderr
    done = run("-c", WITHOUT_A_REPORT, "render", files[-1])
    assert done.stderr == "error: making pages takes jinja2: pip install 'bnproof[report]'\n"


def test_from_python(run):
    done = run("-c", FROM_PYTHON)
    assert done.stdout.splitlines() == [
        "['agree', 'differ', 'differ', 'not_loaded']",
        "[[], ['dgamma_dbeta_swapped'], ['dgamma_dbeta_swapped'], []]",
        "True d2l",
    ], done.stderr


def test_check_in_another_environment(run, tmp_path):
    """It has NumPy alone, and is given our player's files, not what is installed beside them."""
    env = environment_with_numpy(tmp_path)
    done = run("check", "mine.py:Right", "numpy", "--case", "rank2", "--python", env, script="bnproof")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("layer", "status"), [("Right", 0), ("Wrong", 1)])
def test_checks_as_tests(run, layer, status):
    done = run("-m", "pytest", "--pyargs", "bnproof.harness", "--bn", f"./mine.py:{layer}", "--suite", "quick", "-q")
    assert done.returncode == status, done.stdout + done.stderr
    assert re.search(r"\b\d\d passed", done.stdout)
    assert ("dgamma_dbeta_swapped" in done.stdout) is (layer == "Wrong")


def test_their_own_tests(run):
    done = run("-m", "pytest", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_their_own_option_may_be_called_as_one_of_ours(run, theirs):
    """The options are there only where bnproof's tests are run."""
    option = theirs / "unit" / "conftest.py"
    option.write_text("def pytest_addoption(parser):\n    parser.addoption('--suite')\n")
    done = run("-m", "pytest", "-q", "unit", "--suite", "theirs")
    option.unlink()
    assert done.returncode == 0, done.stdout + done.stderr


def test_report(run, tmp_path):
    ledger = ledger_sample.write(tmp_path, ledger_sample.records())
    render = f"""
from pathlib import Path
from bnproof.reports.render import render
print(render(Path({str(ledger)!r}), Path({str(tmp_path / "out")!r})))
"""
    done = run("-c", render)
    assert done.returncode == 0, done.stderr
    assert "<svg" in (tmp_path / "out" / "index.html").read_text()


def test_every_module_is_there_under_one_name(run):
    done = run("-P", "-c", IMPORT_EVERYTHING)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 100


def test_wheel_holds_the_sources_and_is_made_again_from_a_source_distribution(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    folders = [ROOT / room for room in ROOMS if room != "reports"] + [ROOT / "reports" / "templates"]
    files = [*(ROOT / "reports").glob("*.py"), *(file for folder in folders for file in folder.rglob("*"))]
    sources = {
        file.relative_to(ROOT).as_posix() for file in files if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name.removeprefix("bnproof/") for name in names if ".dist-info/" not in name} == sources | {"__init__.py"}
    backend = f"import sys; sys.path.insert(0, {str(ROOT / '.ci')!r}); import one_name; one_name."
    build = [sys.executable, "-c", f"{backend}build_sdist({str(tmp_path)!r})"]
    subprocess.run(build, cwd=ROOT, check=True, timeout=120, capture_output=True)
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / source.name.removesuffix(".tar.gz")
    build = [sys.executable, "-c", "import sys; sys.path.insert(0, '.ci'); import one_name; one_name.build_wheel('..')"]
    subprocess.run(build, cwd=unpacked, check=True, timeout=120, capture_output=True)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import harness.check\n", "harness/x.py:1: write `from ... import ...`"),
        ("from \\\n    harness import check\n", "harness/x.py:1: write the module on the line of its `from`"),
    ],
)
def test_what_cannot_be_renamed_stops_the_build(backend, source, message):
    with pytest.raises(backend.BuildError, match=re.escape(message)):
        backend.imports_renamed("harness/x.py", source.encode())


def test_imports_are_renamed_and_nothing_else(backend):
    source = (
        '"""from harness import that"""\n'
        "from harness.check import check; from reports import (\n    render,\n)\n"
        "from harnessed import x\nfrom . import harness\n"
        "def f():\n    import numpy, harness.place as place\n"
        "    if 'é': from impls import pytorch\n"
    )
    renamed = backend.imports_renamed("harness/x.py", source.encode()).decode()
    assert renamed == (
        '"""from harness import that"""\n'
        "from bnproof.harness.check import check; from bnproof.reports import (\n    render,\n)\n"
        "from harnessed import x\nfrom . import harness\n"
        "def f():\n    import numpy, bnproof.harness.place as place\n"
        "    if 'é': from bnproof.impls import pytorch\n"
    )


BLOCKS = """
class A:
    async def f(self):
        with open(self) as file:
            import {0}harness.place as a
        for _ in file:
            import {0}harness.place as b
        else:
            import {0}harness.place as c
        while file:
            import {0}harness.place as d
    try:
        import {0}harness.place as e
    except OSError:
        import {0}harness.place as f
    else:
        import {0}harness.place as g
    finally:
        import {0}harness.place as h
match A:
    case 1:
        import {0}harness.place as i
    case _ if A: import {0}harness.place as j
if A: pass
elif A: from {0}harness import k
"""


def test_imports_are_renamed_in_every_block(backend):
    assert backend.imports_renamed("harness/x.py", BLOCKS.format("").encode()).decode() == BLOCKS.format("bnproof.")


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / ".ci")
    if sys.version_info < (3, 12):  # once anybody has looked for pip, setuptools' own distutils is not found any more
        monkeypatch.setenv("SETUPTOOLS_USE_DISTUTILS", "stdlib")
    with warnings.catch_warnings(action="ignore"):  # setuptools is the first to import distutils, if nobody else was
        import one_name

    return one_name
