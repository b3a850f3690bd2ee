"""The adapters of other people's libraries, and the snippets behind what the matrix says of them."""

import ast
from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check
from harness.cli.matrix import SNIPPETS, cells, code, heading, pairs, run_snippet
from harness.judge.judgement import Verdict
from harness.record.ledger import Ledger
from harness.targets.built_in import BUILT_IN, OTHERS, is_installed
from reports.matrix import render

CASES = tuple(BY_ID[name] for name in ("rank4", "five_steps"))
ALL_SNIPPETS = sorted(SNIPPETS.glob("*.py"))
QUICK_ENOUGH = ("torch-channels-last", "onnx-reference-15", "mlx")


def need(name):
    if not is_installed(name):
        pytest.skip(f"{name} is not installed: {BUILT_IN[name].install}")


@pytest.mark.parametrize("name", OTHERS)
def test_every_library_has_a_file_and_a_pip_line(name):
    one = OTHERS[name]
    module, _, attribute = one.where.partition(":")
    path = Path(__file__).parent.parent / (module.replace(".", "/") + ".py")
    assert path.is_file()
    assert attribute in path.read_text()
    assert one.install.startswith("pip install ")


@pytest.mark.parametrize("name", QUICK_ENOUGH)
def test_agrees_on_ordinary_numbers(name):
    need(name)
    (one,) = check([name], CheckOptions(CASES))
    assert one.load_error is None
    assert one.verdict == Verdict.agree, [j for j in one.judgements if j.counts_against][:2]


def test_verdicts_do_not_depend_on_the_order():
    names = [
        name for name in ("numpy", "onnx-reference-15", "torchvision-frozen", "onnx-reference-9") if is_installed(name)
    ]
    cases = (BY_ID["rank4"],)
    first = {one.target: one for one in check(names, CheckOptions(cases))}
    again = {one.target: one for one in check(names[::-1], CheckOptions(cases))}
    for name in names:
        assert first[name].verdict == again[name].verdict
        assert [j.as_dict() for j in first[name].judgements] == [j.as_dict() for j in again[name].judgements]


@pytest.mark.parametrize("path", ALL_SNIPPETS, ids=[path.stem for path in ALL_SNIPPETS])
def test_a_snippet_is_short_and_stands_alone(path):
    told = heading(path)
    assert {*told} == {"targets", "title", "documented"}
    assert {*told["targets"].split(", ")} <= {*BUILT_IN}
    assert len(code(path).splitlines()) <= 15
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
        assert not {name.partition(".")[0] for name in names} & {"harness", "impls", "reference", "reports"}


@pytest.mark.parametrize("path", ALL_SNIPPETS, ids=[path.stem for path in ALL_SNIPPETS])
def test_a_snippet_prints_what_it_claims(path):
    names = heading(path)["targets"].split(", ")
    if not any(map(is_installed, names)):
        need(names[0])
    found = run_snippet(path)
    assert found["reproduced"], found


def test_a_snippet_that_shows_nothing_is_not_published(tmp_path):
    path = tmp_path / "quiet.py"
    for body in ("print('all is well')", "print('FINDING')\nraise SystemExit(1)"):
        path.write_text(f"# targets: numpy\n# title: t\n# documented: no\n{body}\n")
        assert not run_snippet(path)["reproduced"]


def test_the_pages_come_from_the_ledger_alone(tmp_path):
    reports = list(check(["numpy"], CheckOptions(CASES)))
    ledger = Ledger(
        tmp_path / "ledger.jsonl", {"made": "today", "suite": "full", "seed": 0, "environment": ENVIRONMENT}
    )
    told = {"target": "numpy", "what": "a <b> | c", "versions": {"numpy": "2"}, "verdict": "agree", "seconds": 1.0}
    named = {"id": "eps_wrong", "text": "eps is <not> added", "cases": ["rank2"]}
    ledger.add("target", told | {"probed": None, "unseen": [], "diagnosis": [named]})
    for cell in cells(reports[0]):
        ledger.add("cell", {"target": "numpy"} | cell)
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
    assert 'title="eps is &lt;not&gt; added">eps_wrong' in page
    assert "| eps_wrong |" in markdown.replace("\\_", "_")
    lines = markdown.splitlines()
    rules = [n for n, line in enumerate(lines) if line.startswith("|---")]
    assert rules
    assert all(lines[n - 1].count("|") == lines[n].count("|") for n in rules)  # or it is shown as no table
    assert "```python\nx < 1\n# y\n```" in markdown
    assert "unproved" not in page + markdown


ENVIRONMENT = {"processor": "p", "cores": 2, "commit": None}
