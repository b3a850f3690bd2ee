"""No constant in a law verdict is fitted: each number that makes a bound is in section 15 of ERROR_BOUNDS.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "reference" / "ERROR_BOUNDS.md").read_text(encoding="utf-8")
FILES = {
    name: ROOT / folder / f"{name}.py"
    for folder, names in {
        "reference": (
            "summation_error",
            "quantity",
            "statistics_error",
            "error_bounds",
            "layer_formulas",
            "flushed_products",
            "second_derivative_bounds",
            "underflow_error",
            "fold_bounds",
            "rescaled_bounds",
            "option_bounds",
            "oracle_error",
        ),
        "harness/judge": ("session_bounds", "layer_bounds", "kept_bounds", "derivative_bounds"),
    }.items()
    for name in names
}
NO_COUNTS = {0, 1}
Numbers = dict[tuple[str, str], set[float]]


def in_sources() -> Numbers:
    """{(file, function or constant): its numeric literals}."""
    found: Numbers = {}
    for file, path in FILES.items():
        for where, node in parts(ast.parse(path.read_text(encoding="utf-8"))):
            numbers = {
                child.value
                for child in ast.walk(node)
                if isinstance(child, ast.Constant) and type(child.value) in (int, float)
            } - NO_COUNTS
            if numbers:
                found[file, where] = numbers
    return found


def parts(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """What a module consists of, and a class: functions, constants, fields, by name."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{name_of(child)}", child) for child in [*node.body, *node.decorator_list])
        else:
            yield name_of(node), node


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    return ast.unparse(node.target) if isinstance(node, ast.AnnAssign) else ast.unparse(node)[:40]


def in_the_list() -> dict[tuple[str, str], tuple[set[float], str]]:
    """{(file, where): (numbers, section)} of section 15."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section(15).splitlines() if "|" in line]
    return {(file, where): ({float(n) for n in numbers.split(",")}, of) for file, where, numbers, of, _ in rows[2:]}


def section(number: int) -> str:
    return re.split(r"^## ", TEXT.split(f"## {number}. ")[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_every_number_is_listed_and_every_listed_number_is_there():
    listed = {key: numbers for key, (numbers, _) in in_the_list().items()}
    assert in_sources() == listed


@pytest.mark.parametrize("key", in_the_list())
def test_a_number_belongs_to_a_section_of_the_proof(key):
    _, of = in_the_list()[key]
    assert int(of) in {*range(1, 14), 16, 17, 19, 20}
    assert len(section(int(of))) > 200


def test_nothing_else_makes_a_bound():
    """What these files import of ours is among them, or makes no bound."""
    harmless = {
        "harness.judge.fast_variance",  # of mistakes and notes, never of a law verdict
        "harness.judge.oracle",
        "harness.cases.script",
        "harness.observables",
        "reference.batch_norm",
    }
    ours = {
        f"{path.parent.relative_to(ROOT)}".replace("/", ".") + f".{name}" for name, path in FILES.items()
    } | harmless
    for path in FILES.values():
        modules = [
            n.module for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.module
        ]
        assert {m for m in modules if m.startswith(("reference", "harness"))} <= ours, path.name


def test_a_number_that_is_slipped_in_is_seen(tmp_path, monkeypatch):
    changed = tmp_path / "error_bounds.py"
    source = FILES["error_bounds"].read_text(encoding="utf-8")
    changed.write_text(source.replace("return float64(quantity.radius)", "return 1.05 * float64(quantity.radius)"))
    monkeypatch.setitem(FILES, "error_bounds", changed)
    assert in_sources()["error_bounds", "_bound"] == {1.05}
    with pytest.raises(AssertionError):
        test_every_number_is_listed_and_every_listed_number_is_there()
