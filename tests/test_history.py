"""The history of a library: what is judged under each release, and how a page tells of it."""

import json
import sys
from pathlib import Path

import pytest

from harness.cli import over_releases
from harness.cli.over_releases import HistoryOptions
from harness.environments.environments import VirtualEnvironment
from harness.environments.package_index import Release
from harness.environments.requirements import NotInstallableError, Requirements
from harness.errors import UsageError
from harness.findings import Finding
from harness.record.kinds import ReleaseRecord, TargetVerdict
from harness.record.read import read
from harness.targets.built_in import BUILT_IN
from harness.targets.libraries import LIBRARIES, Library
from reports.history import histories_in, life
from reports.matrix import write as write_matrix
from reports.render import render
from tests import ledger_sample as sample

RELEASES = [Release("1.0.0", "2024-01-01", ">=3.9"), Release("1.1.0", "2024-06-01"), Release("2.0.0", "", "<3.5")]


@pytest.fixture
def library(monkeypatch):
    """A library of three releases: one to judge, one that cannot be installed, one for another Python."""
    asked = []

    def make_environment(requirements):
        asked.append(requirements)
        if "lib==1.1.0" in requirements.pip:
            raise NotInstallableError("no matching wheel")
        versions = {"numpy": "2.0", "lib": "1.0.0"}
        return VirtualEnvironment(Path(sys.prefix), requirements, versions, "", 0.0)

    monkeypatch.setitem(LIBRARIES, "lib", Library(("numpy",), ("numpy",)))
    monkeypatch.setattr(over_releases, "releases", lambda _: RELEASES)
    monkeypatch.setattr(over_releases, "make_environment", make_environment)
    monkeypatch.setattr(VirtualEnvironment, "python", property(lambda _: Path(sys.executable)))
    return asked


def test_every_release_is_judged_or_says_why_not(library, tmp_path, capsys):
    file = tmp_path / "out.json"
    status = over_releases.make("lib", ["1.0", "..", "latest"], HistoryOptions(tmp_path, "quick", json_file=file))
    records = read(tmp_path / "history-lib.jsonl").releases
    assert [record.verdict for record in records] == ["agree", "not_installable", "not_installable"]
    assert records[0].versions["numpy"] == "2.0"
    assert "no matching wheel" in records[1].reason
    assert "wants Python <3.5" in records[2].reason
    assert status == 4  # nothing of the last release could be judged
    assert library[0] == Requirements(("lib==1.0.0", "numpy"), python=library[0].python, uploaded_before="2024-01-31")
    assert len(json.loads(file.read_text())["releases"]) == 3
    assert "lib 1.0.0 2024-01-01 numpy: agree" in capsys.readouterr().out


def test_a_library_without_a_history():
    with pytest.raises(UsageError, match=r"there is no history of 'nolib': known are .*flax"):
        over_releases.make("nolib", ["latest"], HistoryOptions(Path()))


def test_what_is_judged_is_built_in():
    assert all(target in BUILT_IN for library in LIBRARIES.values() for target in library.targets)


def record(version, *ids, verdict="differ"):
    findings = tuple(Finding(id_, "", ()) for id_ in ids)
    return ReleaseRecord("lib", version, "2024-01-01", "target", TargetVerdict(verdict), diagnosis=findings)


@pytest.mark.parametrize(
    ("has", "text"),
    [
        ("yyy", "in the oldest that was judged, 1, still in 3"),
        ("nyn", "began with 2, gone in 3"),
        ("yn?", "in the oldest that was judged, 1, gone in 2"),
        ("?ny", "began with 3, still in 3"),
        ("yny", "in the oldest that was judged, 1, gone in 2; began with 3, still in 3"),
    ],
)
def test_when_a_finding_began_and_ended(has, text):
    kinds = {"y": (("fast_variance",), "differ"), "n": ((), "agree"), "?": ((), "not_loaded")}
    records = [record(str(n), *kinds[c][0], verdict=kinds[c][1]) for n, c in enumerate(has, 1)]
    assert life("fast_variance", records).text == text


def test_the_matrix_shows_the_histories_beside_it(tmp_path):
    records = [record("1.0", sample.HOSTILE, verdict="differ"), record("1.1", verdict="agree")]
    ledger = sample.write(tmp_path, {"header": [sample.header()], "release": records})
    ledger = ledger.rename(tmp_path / "history-lib.jsonl")
    (history,) = histories_in(tmp_path)
    assert [version.version for version in history.versions] == ["1.0", "1.1"]
    page = write_matrix(read(ledger), tmp_path, [history]).read_text()
    assert "Over their releases" in page
    assert "gone in 1.1" in page
    assert "<script>alert" not in page
    assert "| target, finding | 1.0 | 1.1 | from when to when |" in (tmp_path / "matrix.md").read_text()


def test_a_report_shows_those_beside_it_too(tmp_path):
    records = [record("1.0", "fast_variance"), record("1.1", verdict="agree")]
    sample.write(tmp_path, {"header": [sample.header()], "release": records}).rename(tmp_path / "history-lib.jsonl")
    page = render(sample.write(tmp_path, sample.records()), tmp_path).read_text()
    assert 'id="history-lib"' in page
    assert '<a href="#history">' in page
    assert "in the oldest that was judged, 1.0, gone in 1.1" in page
