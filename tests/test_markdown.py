"""Every Markdown that the project writes or holds: what is meant as a table is one, with as many cells in each row."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from harness.cases.catalogue import suite
from harness.check import CheckOptions, check
from harness.cli.summary import summary
from harness.place import ROOT
from reports.render import render
from tests import ledger_sample as sample

MARKDOWN = MarkdownIt("commonmark").enable("table")
COMMITTED = sorted((ROOT / "reports" / "published").glob("*/ledger.jsonl*"))
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "reference/*.md", "tests/**/*.md", "reports/published/*/*.md", "reports/lesson/*.md")
    for path in ROOT.glob(pattern)
)


def cells_of(line: str) -> int:
    """How many cells a row has: its bars that are not escaped, the outer ones included, less one."""
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def faults(text: str) -> list[str]:
    """The lines that look like rows of a table and are none, or have another number of cells than the head."""
    lines = text.splitlines()
    in_tables, found = set(), []
    tokens = MARKDOWN.parse(text)
    code = {number for token in tokens if token.type in ("fence", "code_block") for number in range(*token.map)}
    for token in tokens:
        if token.type == "table_open":
            first, end = token.map
            rows = [number for number in range(first, end) if lines[number].strip()]
            in_tables.update(rows)
            found += [lines[number] for number in rows if cells_of(lines[number]) != cells_of(lines[first])]
    rows = {number for number, line in enumerate(lines) if line.lstrip().startswith("|")} - code
    return found + [lines[number] for number in sorted(rows - in_tables)]


def tables(text: str) -> int:
    return sum(token.type == "table_open" for token in MARKDOWN.parse(text))


def test_the_test_sees_what_is_no_table():
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert not faults(table)
    assert faults(table.replace("|\n|--", "|\n\n|--"))  # an empty line between head and rule
    assert faults(table.replace("| 2 |", "| 2 | 3 |"))
    assert faults(table + "\n| 3 | 4 |\n")  # a row on its own
    assert not faults(f"```\n{table[:10]}```\n")


def several_seeds() -> dict:
    records = sample.records()
    records["training"] = [
        sample.training(name, seed=seed, gamma=[seed + 0.125] * 6) for name in ("numpy", "torch") for seed in range(8)
    ]
    records["accuracy"] = [sample.accuracy("numpy"), sample.accuracy("torch", measures={})]
    records["equivalence"] = [sample.equivalence("numpy", "torch")]
    records["throughput"] = [sample.throughput("torch"), sample.throughput("jax", "step", core_distance_ns=None)]
    records["throughput"] += [sample.layer(), sample.suite_timing("torch")]
    return records


def without_own() -> dict:
    return {"header": [sample.header()]}


def with_known() -> dict:
    records = sample.records()
    records["comparison"].append(sample.comparison("tutorial", "y", 12.0, "known", case="large_mean", dtype="float16"))
    records["target"].append(sample.target("mine", "known"))
    return records


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "running"])
@pytest.mark.parametrize("make", [sample.records, several_seeds, without_own, with_known, sample.hostile])
def test_reports(tmp_path, make, finished):
    render(sample.write(tmp_path, make(), footer=finished), tmp_path, finished)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not faults(text)
    assert tables(text) >= 3


def test_over_seeds_is_a_table_and_parameters_have_their_seed(tmp_path):
    render(sample.write(tmp_path, several_seeds()), tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    over_seeds = text.partition("### Over seeds")[2]
    assert tables(over_seeds.partition("## Throughput")[0]) == 1
    parameters = re.findall(r"^\| (\S+) \| gamma \|", text, re.M) + re.findall(r"^\| (.*), .* \| gamma \|", text, re.M)
    assert parameters == ["*published*", "numpy", "torch"]
    assert "| numpy, seed 0 | gamma | 0.12 |" in text
    assert "those of the other seeds are in ledger.jsonl" in text
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count('<span class="muted small">seed 7</span>') == 2  # the figures of either framework
    assert page.count("γ, seed ") == page.count("β, seed ") == 8 * 2  # a picture each, with a label


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_pages_of_committed_ledgers(path, committed_page):
    page = committed_page(path)
    (text,) = (file.read_text(encoding="utf-8") for file in page.parent.glob("*.md"))
    assert not faults(text)
    assert tables(text) >= 5


def test_the_summary_of_a_check():
    names = ["numpy", "tests/targets/misbehaving.py:Raises", "nowhere|at|all.py:X"]
    reports = [*check(names, CheckOptions(suite("quick")[:4]))]
    reports.append(replace(reports[0], target="a|b\n| c"))
    text = summary(reports, ["a|stale"])
    assert not faults(text)
    assert tables(text) == 1


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents(path):
    assert not faults(path.read_text(encoding="utf-8"))


def test_there_are_documents_with_tables():
    assert {"README.md", "CONTRIBUTING.md"} <= {path.name for path in DOCUMENTS}
    assert sum(tables(path.read_text(encoding="utf-8")) for path in DOCUMENTS) >= 5
