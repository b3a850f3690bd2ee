"""A matrix that goes on: a finished one is there at once, and one that was broken off makes no record twice."""

import contextlib
import json

import pytest

from harness.bench.results import TrainingThroughput
from harness.cases.catalogue import BY_ID
from harness.cli import every_library, kept_matrix, library_jobs, report_runs
from harness.cli.every_library import MatrixOptions, make
from harness.cli.ledgers import open_ledger
from harness.cli.places import WhereToJudge
from harness.targets.in_process import InProcessTarget
from harness.targets.player import Death
from harness.targets.remember import Remembering
from reference.under_test import NumpyBatchNorm
from tests import ledger_sample as sample

TARGETS = ("numpy", "tutorial", "torch", "jax")
CASES = (BY_ID["rank2"],)
NOT_THERE = "torch"


class KilledError(BaseException):
    pass


class BetaIgnored(NumpyBatchNorm):
    def __init__(self, setup):
        super().__init__(setup)
        self.layer.beta *= 0


class Known(InProcessTarget):
    """Under a built-in target's name; counts its plays."""

    def __init__(self, name, counts):
        super().__init__({"tutorial": BetaIgnored}.get(name, NumpyBatchNorm))
        self.name, self.counts = name, counts

    def untransformed(self):
        return None

    def play(self, script, channel_axis) -> "Death":
        self.counts["plays"] += 1
        return super().play(script, channel_axis)


@pytest.fixture
def counts(monkeypatch):
    counted = {"plays": 0, "probes": 0, "installs": 0}
    probe = library_jobs.probe

    def counted_probe(player):
        counted["probes"] += 1
        return probe(player)

    def placed(name, _):
        counted["installs"] += 1
        return WhereToJudge(reason="it is too large") if name == NOT_THERE else WhereToJudge(versions={"numpy": "2"})

    def opened(name, options):
        player = Known(name, counted)
        return Remembering(player, options.resume, "") if options.resume else contextlib.nullcontext(player)

    monkeypatch.setattr(library_jobs, "probe", counted_probe)
    monkeypatch.setattr(library_jobs, "place_of", placed)
    monkeypatch.setattr(library_jobs, "opened", opened)
    monkeypatch.setattr(library_jobs, "suite", lambda _: CASES)
    monkeypatch.setattr(every_library, "add_findings", lambda *_: None)
    monkeypatch.setattr("reports.matrix.render", lambda _, out: (out / "index.html").write_text("a page"))
    monkeypatch.setattr(kept_matrix, "digest_of_sources", lambda: "the same")
    return counted


def options(folder, resume=True):
    kept = folder / "kept" if resume else None
    return MatrixOptions(folder / "out", "quick", targets=TARGETS, resume=kept)


def records(folder):
    lines = [json.loads(line) for line in (folder / "out" / "ledger.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in ("made", "seconds")} for line in lines]


def all_of(counts):
    before = dict(counts)
    counts.update(dict.fromkeys(counts, 0))
    return before


def test_a_finished_one_is_there_at_once_and_the_same(tmp_path, counts):
    make(options(tmp_path))
    assert all(all_of(counts).values())
    ledger = (tmp_path / "out" / "ledger.jsonl").read_bytes()
    (tmp_path / "out" / "index.html").unlink()
    assert make(options(tmp_path)) == 0
    assert not any(all_of(counts).values())
    assert (tmp_path / "out" / "ledger.jsonl").read_bytes() == ledger
    assert (tmp_path / "out" / "index.html").exists()


@pytest.mark.usefixtures("counts")
def test_what_is_asked_and_our_code_make_another_one(monkeypatch):
    asked = {"made": "today", "suite": "quick", "seed": 0}
    of = kept_matrix.identity(asked, TARGETS, False)
    assert kept_matrix.identity(asked | {"made": "tomorrow"}, TARGETS, False) == of
    others = [(asked | {"seed": 1}, TARGETS, False), (asked, TARGETS[:2], False), (asked, TARGETS, True)]
    with_this_code = [kept_matrix.identity(*other) for other in others]
    monkeypatch.setattr(kept_matrix, "digest_of_sources", lambda: "another")
    assert of not in [*with_this_code, kept_matrix.identity(asked, TARGETS, False)]


def test_one_that_was_broken_off_at_the_pairs_makes_no_record_twice(tmp_path, counts, monkeypatch):
    make(options(tmp_path / "whole", resume=False))
    all_of(counts)

    ledgers = []

    def kept_open(*arguments):
        ledgers.append(open_ledger(*arguments))
        return ledgers[-1]

    def killed(_):
        ledgers[0]._let_go()  # as the end of a process does
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(every_library, "open_ledger", kept_open)
        patched.setattr(every_library, "compare_pairs", killed)
        with pytest.raises(KilledError):
            make(options(tmp_path))
    first = all_of(counts)
    make(options(tmp_path))
    again = all_of(counts)
    assert first["installs"] == len(TARGETS)
    assert again == {"plays": 0, "probes": 1, "installs": len(TARGETS) - 1}  # what stood last may lack a cell
    assert records(tmp_path) == records(tmp_path / "whole")
    assert [record["type"] for record in records(tmp_path)].count("pair") == 3
    (diagnosis,) = (record["diagnosis"] for record in records(tmp_path) if record.get("diagnosis"))
    assert [finding["id"] for finding in diagnosis] == ["beta_ignored"]


def test_a_target_that_was_not_loaded_is_tried_again():
    lines = [{"type": "target", "target": "a", "error": "no"}, {"type": "target", "target": "b", "error": None}]
    pair = {"type": "pair"}
    assert [*kept_matrix.grouped([*lines, pair]).targets] == ["b"]
    assert [*kept_matrix.grouped([*lines, pair, {"type": "footer"}]).targets] == ["a", "b"]
    assert [*kept_matrix.grouped(lines).targets] == []


def test_a_folder_that_another_ledger_was_made_with_tells_nothing(tmp_path):
    ledger = sample.write(tmp_path, {"header": [sample.header()]})
    header, _, footer = ledger.read_text().partition("\n")
    kept_matrix.mark(tmp_path, ledger, "of")
    assert kept_matrix.kept(tmp_path, ledger, "of").is_whole
    assert not kept_matrix.kept(tmp_path, ledger, "another").is_whole
    ledger.write_text(header.replace("2026", "2027") + "\n" + footer)
    assert not kept_matrix.kept(tmp_path, ledger, "of").is_whole
    ledger.write_text(header + "\n" + footer[:10])
    assert not kept_matrix.kept(tmp_path, ledger, "of").is_whole


@pytest.mark.parametrize("line", ['{"type":"cell","target":"numpy"}', "[" * 100_000, '{"type":"target","target":[]}'])
def test_a_damaged_ledger_tells_nothing(line, tmp_path):
    ledger = sample.write(tmp_path, {"header": [sample.header()]})
    header, _, footer = ledger.read_text().partition("\n")
    kept_matrix.mark(tmp_path, ledger, "of")
    ledger.write_text(f"{header}\n{line}\n{footer}")
    assert kept_matrix.kept(tmp_path, ledger, "of") == kept_matrix.KeptMatrix()


@pytest.mark.parametrize("damaged", ["[1", "[" * 100_000, "{}", '{"environment": 1}', "[]"])
def test_a_damaged_measurement_is_made_again(damaged, tmp_path):
    path = tmp_path / "throughput.json"
    path.write_text(damaged)
    assert report_runs.kept(path, TrainingThroughput, lambda: ()) == ()
    assert json.loads(path.read_text())["records"] == []
