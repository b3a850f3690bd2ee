"""The adapters of other people's libraries, and the snippets behind what the matrix says of them."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check
from harness.cli.every_library import MatrixOptions, add_left_out, cells, header, make, pairs
from harness.cli.snippets import all_snippets, built_from, code, heading, run_snippet
from harness.environments.environments import find
from harness.errors import UsageError
from harness.judge.judgement import Verdict
from harness.record.ledger import Ledger
from harness.record.read import read
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.built_in_kind import PLAYERS
from harness.targets.device import CUDA, split_device
from harness.targets.left_out import LEFT_OUT
from harness.targets.replicas.targets import REPLICATED
from reports.matrix import render
from tests.forked_command import FRAMEWORKS, run_script

ROOT = Path(__file__).parent.parent
CASES = tuple(BY_ID[name] for name in ("rank4", "five_steps"))
ALL_SNIPPETS = all_snippets()
QUICK_ENOUGH = ("torch-channels-last", "onnx-reference-15", "mlx")


def need(name):
    if not is_installed(name):
        pytest.skip(f"{name} is not installed: {BUILT_IN[name].install}")


def test_what_is_left_out_is_no_target_and_has_its_reason(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", header("quick", 0))
    add_left_out(ledger)
    ledger.close()
    listed = read(tmp_path / "ledger.jsonl").not_installed
    assert [absent.target for absent in listed] == [*LEFT_OUT, *REPLICATED]
    assert all(absent.reason and absent.install.startswith("pip install ") for absent in listed)
    assert not {*LEFT_OUT, *REPLICATED} & {*BUILT_IN}


def test_what_is_dealt_out_over_replicas_is_told_from_what_there_is_not(tmp_path):
    with pytest.raises(UsageError, match=r"several processes .* `bnproof check torch-sync --replicas 2` plays all"):
        make(MatrixOptions(tmp_path, targets=("torch-sync",)))


IN_PYTHON = [name for name, built_in in BUILT_IN.items() if not built_in.is_program]


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name not in IN_PYTHON])
def test_a_program_is_where_it_should_be(name):
    built_in = BUILT_IN[name]
    assert (PLAYERS / built_in.words[1]).is_file()
    if built_in.is_built:
        assert all(map(Path.is_file, map(Path, built_in.requirements.sources)))
        assert built_in.flags
    else:
        assert all("@" in package[1:] for package in built_in.packages)  # a version, which the page shows
        assert built_in.program


@pytest.mark.parametrize("name", IN_PYTHON)
def test_a_target_is_where_it_should_be_and_says_what_it_needs(name):
    """Whether or not the library is installed: the attribute exists, and no import or package is left out."""
    built_in = BUILT_IN[name]
    module, _, attribute = built_in.where.partition(":")
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    assert attribute in names_bound_by(tree)
    assert libraries_imported_by(tree) <= {needed.partition(".")[0] for needed in built_in.needs.split()}
    assert name == "numpy" or built_in.packages


def names_bound_by(tree):
    """What a module defines or imports at its top level."""
    names = {target.id for node in tree.body for target in targets_of(node)}
    names |= {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return names | {alias.asname or alias.name for node in imports for alias in node.names}


def targets_of(node):
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target for target in targets if isinstance(target, ast.Name)]


def libraries_imported_by(tree):
    """The packages that importing the module imports, but for Python's own, ours, and NumPy, which all need."""
    packages = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            packages.add(node.module.partition(".")[0])
    return packages - sys.stdlib_module_names - {"impls", "reference", "numpy"}


@pytest.mark.parametrize("name", QUICK_ENOUGH)
def test_agrees_on_ordinary_numbers(name):
    need(name)
    (report,) = check([name], CheckOptions(CASES))
    assert report.load_error is None
    assert report.verdict == Verdict.agree, [j for j in report.judgements if j.counts_against][:2]


def test_verdicts_do_not_depend_on_the_order():
    names = [name for name in ("numpy", "onnx-reference-15", "tutorial", "onnx-reference-9") if is_installed(name)]
    options = CheckOptions((BY_ID["rank4"],), diagnosed=False)
    first = {report.target: report for report in check(names, options)}
    again = {report.target: report for report in check(names[::-1], options)}
    for name in names:
        assert first[name].verdict == again[name].verdict
        assert [j.as_dict() for j in first[name].judgements] == [j.as_dict() for j in again[name].judgements]


@pytest.mark.parametrize("path", ALL_SNIPPETS, ids=[path.stem for path in ALL_SNIPPETS])
def test_a_snippet_is_short_and_stands_alone(path):
    top = heading(path)
    assert top.title
    assert top.documented
    assert {split_device(name)[0] for name in top.targets} <= {*BUILT_IN}
    assert len([line for line in code(path).splitlines() if line.strip()]) <= 20
    if path.suffix != ".py":
        assert not {"harness", "impls", "wire.hpp"} & {*re.findall(r"[\w.]+", code(path))}
        return
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
        assert not {name.partition(".")[0] for name in names} & {"harness", "impls", "reference", "reports"}


def sees_a_gpu() -> bool:
    torch = pytest.importorskip("torch")
    return torch.cuda.is_available()


@pytest.mark.parametrize("path", ALL_SNIPPETS, ids=[path.stem for path in ALL_SNIPPETS])
def test_a_snippet_prints_what_it_claims(path):
    names, devices = zip(*map(split_device, heading(path).targets), strict=True)
    if CUDA in devices and not sees_a_gpu():
        pytest.skip(f"{path.name} is about a GPU, and none is seen")
    if not any(map(is_installed, names)):
        need(names[0])
    if path.suffix == ".cpp" and find(built_from(path)) is None:
        pytest.skip(f"{path.name} has not been built: bnproof matrix {names[0]}")  # a compiler takes ten seconds
    begins_with_a_framework = path.suffix == ".py" and path.name.partition("_")[0] in FRAMEWORKS
    result = run_snippet(path, run=run_script if begins_with_a_framework else subprocess.run)
    assert result.reproduced, result


@pytest.mark.parametrize("run", [subprocess.run, run_script])
def test_a_snippet_that_shows_nothing_is_not_published(tmp_path, run):
    pytest.importorskip("torch")
    path = tmp_path / "torch_quiet.py"
    for body in ("print('all is well')", "print('FINDING')\nraise SystemExit(1)", "print('FINDING')\n1 / 0"):
        path.write_text(f"# targets: numpy\n# title: t\n# documented: no\n{body}\n")
        assert not run_snippet(path, run=run).reproduced


def test_the_pages_come_from_the_ledger_alone(tmp_path):
    reports = list(check(["numpy"], CheckOptions(CASES)))
    ledger = Ledger(
        tmp_path / "ledger.jsonl", {"made": "today", "suite": "full", "seed": 0, "environment": ENVIRONMENT}
    )
    target = {"target": "numpy", "what": "a <b> | c", "versions": {"numpy": "2"}, "verdict": "differ", "seconds": 1.0}
    finding = {"id": "eps_wrong", "text": "eps is <not> added", "cases": ["rank2"]}
    judged = {"conventions": None, "error": None, "counts": {}, "diagnosis": [finding], "notes": []}
    ledger.add("target", target | judged | {"probed": None, "unseen": []})
    for cell in cells(reports[0]):
        ledger.add("cell", cell)
    for pair in pairs(reports):
        ledger.add("pair", pair)
    shown = {"file": "a.py", "targets": ["numpy"], "title": "a <title>", "documented": "no", "code": "x < 1\n# y"}
    ledger.add("finding", shown | {"output": ["FINDING x"], "reproduced": True})
    ledger.add("finding", shown | {"title": "unproved", "output": [], "reproduced": False})
    ledger.close()
    page = render(tmp_path / "ledger.jsonl", tmp_path).read_text()
    markdown = (tmp_path / "matrix.md").read_text()
    assert "a &lt;b&gt;" in page
    assert "x &lt; 1" in page
    assert "a <b>" not in page
    assert "eps is &lt;not&gt; added" in page
    assert "- eps_wrong: numpy" in markdown.replace("\\_", "_")
    lines = markdown.splitlines()
    rules = [n for n, line in enumerate(lines) if line.startswith("|---")]
    assert rules
    assert all(lines[n - 1].count("|") == lines[n].count("|") for n in rules)  # or it is shown as no table
    assert "```python\nx < 1\n# y\n```" in markdown
    assert "unproved" not in page + markdown


ENVIRONMENT = {"python": "3.13", "platform": "Linux", "processor": "p", "cores": 2, "packages": {}}
