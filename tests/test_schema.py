"""The published JSON Schema: equal to the types, and every output validates, with no field that it does not know."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from harness.bench.options import LayerOptions
from harness.cases.catalogue import suite
from harness.check import CheckOptions
from harness.cli import every_library, full_report, library_jobs, report_runs, run_commands
from harness.cli.output import write_json
from harness.cli.places import WhereToJudge
from harness.cli.snippets import run_snippet
from harness.judge.judgement import Verdict
from harness.judge.report import NOT_LOADED
from harness.place import ROOT
from harness.record.kinds import TargetVerdict
from harness.record.ledger import SCHEMA, Ledger
from harness.record.read import read, read_lines
from harness.record.schema import SCHEMA_FILE, as_text
from harness.targets.built_in import BUILT_IN
from harness.train.fashion_mnist import load_sample
from harness.train.options import LockstepOptions, TrainingOptions
from reports.render import render
from tests import ledger_sample as sample
from tests.forked_command import bnproof

COMMITTED = sorted((ROOT / "reports" / "published").glob("*/ledger.jsonl*"))
MISBEHAVING = ROOT / "tests" / "targets" / "misbehaving.py"
PUBLISHED = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def strict(schema: Any) -> Any:
    """`schema` without fields beyond those that it names: what is written is to be in the schema, too."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return closed | {name: strict(value) for name, value in schema.items()}


STRICT = strict(PUBLISHED)


def validator(name: str, schema: Any = STRICT) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})


AT_MOST = 200
"""How many lines of a kind are validated, spread evenly: of some there are thousands alike."""


def validate_lines(path, schema=STRICT):
    """Lines by the schema of their own kind, so that a failure says which field is wrong. Returns the kinds."""
    by_kind = defaultdict(list)
    for number, line in enumerate(read_lines(path), 1):
        record = json.loads(line)
        by_kind[record["type"]].append((number, record))
    for kind, lines in by_kind.items():
        validators = [validator(name, schema) for name in schema["$defs"] if name.startswith(f"Line.{kind}.")]
        for number, record in lines[:: -(-len(lines) // AT_MOST)]:
            errors = [list(of_type.iter_errors(record)) for of_type in validators]
            assert [] in errors, f"{path}, line {number}: {[error.message for error in min(errors, key=len)]}"
    return set(by_kind)


@pytest.fixture
def few_images(monkeypatch):
    """600 images of the sample, wherever a command loads its data."""
    data = load_sample()
    few = replace(
        data,
        train_images=data.train_images[:600],
        train_labels=data.train_labels[:600],
        test_images=data.test_images[:100],
        test_labels=data.test_labels[:100],
    )
    monkeypatch.setattr(run_commands, "load_data", lambda _: few)
    return few


# --- the schema itself ---


def test_the_published_schema_is_that_of_the_types():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == as_text(), (
        "the types have changed: python -m harness.record.schema > harness/record/schema.json"
    )


def test_it_is_a_valid_schema_and_asks_for_something():
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)
    whole = jsonschema.Draft202012Validator(PUBLISHED)
    assert whole.is_valid({"type": "not_installed", "target": "mlx", "install": "pip install mlx"})
    for wrong in (
        {"type": "not_installed", "target": "mlx"},
        {"type": "dream", "target": "mlx"},
        {"type": "header", "schema": "other/1"},
        [],
        {},
    ):
        assert not whole.is_valid(wrong)


def test_words_stand_for_what_is_not_finite_and_for_nothing_else():
    line = validator("line")
    assert line.is_valid({"type": "comparison"} | sample.comparison("numpy", "y", "inf", error="nan", got="-inf"))
    assert not line.is_valid({"type": "comparison"} | sample.comparison("numpy", "y") | {"ratio": "much"})


def test_a_targets_verdict_is_any_of_a_comparison_or_that_it_was_not_loaded_or_installed():
    assert {verdict.value for verdict in TargetVerdict} == {*Verdict, NOT_LOADED, "not_installable"}


# --- ledgers ---


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_ledgers_validate(path):
    validate_lines(path)


def test_the_sample_ledgers_validate(tmp_path):
    records = sample.records()
    records["throughput"] = [sample.throughput("torch"), sample.layer(), sample.suite_timing("torch")]
    records["accuracy"], records["equivalence"] = [sample.accuracy("torch")], [sample.equivalence("numpy", "torch")]
    assert validate_lines(sample.write(tmp_path, records)) >= {"accuracy", "throughput", "footer"}
    validate_lines(sample.write(tmp_path / "hostile", sample.hostile()), PUBLISHED)  # it has fields of its own


def test_a_quick_report_validates_and_its_page_grows_from_the_first_minute(tmp_path, monkeypatch, few_images):
    """One target, 600 images of the sample, no throughput: every other part is the real one."""
    only = {"numpy": BUILT_IN["numpy"], "flax-linen": BUILT_IN["flax-linen"]}
    pages = []

    def watched(*arguments, **options):
        page = render(*arguments, **options)
        pages.append(page.read_text(encoding="utf-8"))
        return page

    monkeypatch.setattr("reports.render.render", watched)
    monkeypatch.setattr(full_report, "BUILT_IN", only)
    monkeypatch.setattr(full_report, "is_installed", lambda name: name == "numpy")
    monkeypatch.setattr(report_runs, "installed", lambda: ("numpy",))
    monkeypatch.setattr(report_runs, "what_is_missing", lambda: "left out here")
    extent = report_runs.Extent(quick=True, seeds=2, steps=2)
    full_report.make(tmp_path, extent=extent, device="cpu", data=few_images, seed=0)
    kinds = validate_lines(tmp_path / "ledger.jsonl")
    assert kinds >= {"header", "not_installed", "target", "comparison", "training", "accuracy", "footer"}
    records = read(tmp_path / "ledger.jsonl")
    assert [run.seed for run in records.trainings] == [0, 1]
    (timed,) = records.suites
    assert (timed.name, timed.suite, timed.comparisons) == ("numpy", "quick", len(records.comparisons))
    assert timed.parts["play"] > 0 < timed.parts["judge"]
    assert sum(timed.parts.values()) <= timed.seconds
    *growing, last = pages
    assert len(growing) >= 5
    assert all('http-equiv="refresh"' in page and "Still running" in page for page in growing)
    assert "Nothing is checked yet." in growing[0]
    assert "numpy" in growing[1]
    assert 'http-equiv="refresh"' not in last
    assert "Still running" not in last
    assert "Not run yet" in growing[0]
    assert "Not run yet" not in last


def test_the_matrix_validates(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", every_library.header("quick", 0))
    options = CheckOptions(suite("quick"))
    checked = [library_jobs.check_and_probe(name, WhereToJudge(), options) for name in ("numpy", "torch")]
    for target in checked:
        every_library.add_entry(ledger, target)
    for pair in every_library.pairs([target.report for target in checked]):
        ledger.add("pair", pair)
    snippet = tmp_path / "snippet.py"
    snippet.write_text("# targets: numpy\n# title: t\n# documented: no\nprint('FINDING x')\n")
    ledger.add("finding", run_snippet(snippet))
    ledger.close()
    assert validate_lines(ledger.path) == {"header", "target", "cell", "pair", "finding", "footer"}
    assert render(ledger.path, tmp_path).exists()


# --- what commands write with --json ---


def test_check_validates(tmp_path):
    targets = [f"{MISBEHAVING}:{name}" for name in ("Good", "Raises", "Segfaults", "NothingSupported", "Nowhere")]
    bnproof("check", *targets, "--case", "rank4", "--timeout", 10, "--json", tmp_path / "v.json")
    output = json.loads((tmp_path / "v.json").read_text())
    assert {target["verdict"] for target in output["targets"]} >= {"agree", "raised", "crashed", "not_loaded"}
    validator("CheckOutput").validate(output)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ListOutput", ["list"]),
        ("ProbeOutput", ["probe", f"{MISBEHAVING}:Good"]),
        ("TranslateOutput", ["translate", "--from", "torch", "--to", "flax", "momentum=0.1"]),
        ("BenchSuiteOutput", ["bench", "suite", "numpy"]),
    ],
)
def test_commands_validate(tmp_path, name, arguments):
    assert bnproof(*arguments, "--json", tmp_path / "v.json").returncode == 0
    validator(name).validate(json.loads((tmp_path / "v.json").read_text()))


def test_lockstep_and_train_validate(tmp_path, few_images):
    run_commands.lockstep(LockstepOptions(("numpy", "torch"), steps=2), None, tmp_path / "lockstep.json")
    validator("LockstepOutput").validate(json.loads((tmp_path / "lockstep.json").read_text()))
    request = run_commands.TrainRequest(2, folder=tmp_path, json_file=tmp_path / "train.json")
    run_commands.train(TrainingOptions("numpy", epochs=2), request)
    output = json.loads((tmp_path / "train.json").read_text())
    validator("TrainOutput").validate(output)
    assert output["accuracy"]
    assert few_images.is_sample


@pytest.mark.parametrize(
    ("framework", "ways"), [("torch", ("forward", "backward", "both")), ("jax", ("backward",))]
)  # fmt: skip
def test_bench_layer_validates(tmp_path, framework, ways):
    options = LayerOptions(
        2, frameworks=(framework,), shapes=((8, 3, 4, 4),), layouts=("channels first",), ways=ways, seconds=0.0001
    )
    run_commands.bench_layer(options, tmp_path / "layer.json", tmp_path / "layer.svg")
    output = json.loads((tmp_path / "layer.json").read_text())
    validator("BenchLayerOutput").validate(output)
    assert [record["way"] for record in output["records"]] == list(ways)
    assert {record["decision"] for record in output["records"]} <= {"faster", "slower", "INCONCLUSIVE"}
    x = 4 * 8 * 3 * 4 * 4
    assert {record["kept_bytes"] // x for record in output["records"]} <= {1, 2}
    assert "one pass" in (tmp_path / "layer.svg").read_text()


def test_bench_training_validates(tmp_path):
    output = {"schema": SCHEMA, "environment": sample.header()["environment"]}
    records = [sample.throughput("torch"), sample.throughput("jax", ratio_near=None, core_distance_ns=None)]
    write_json(tmp_path / "v.json", output | {"records": records, "rounds": {"torch": []}})
    validator("BenchTrainingOutput").validate(json.loads((tmp_path / "v.json").read_text()))


def test_a_comparison_validates(tmp_path):
    bnproof("check", "numpy", "--same-as", "numpy", "--case", "rank2", "--json", tmp_path / "s.json")
    output = json.loads((tmp_path / "s.json").read_text())
    assert {line["right"] for line in output["same_as"]["targets"]["numpy"]} == {"both"}
    validator("CheckOutput").validate(output)
