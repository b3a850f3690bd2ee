"""What is passed on says nothing of the machine's folders, and is otherwise as it was."""

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from harness.cli.output import write_json
from harness.place import ROOT
from harness.record.ledger import Ledger
from harness.record.private import without_folders
from tests import ledger_sample as sample

HOME = str(Path.home())
LIBRARY = Path(os.__file__).parent


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        ("/home/me/env/lib/python3.12/site-packages/torch/nn.py:3: Warn", "site-packages/torch/nn.py:3: Warn"),
        (f'File "{HOME}/.cache/x/lib/python3.12/site-packages/a/b.py", line 3', 'File "site-packages/a/b.py", line 3'),
        ("C:\\Users\\me\\env\\Lib\\site-packages\\x.py", "site-packages\\x.py"),
        ("/usr/lib/python3/dist-packages/x.py", "dist-packages/x.py"),
        (f"no file {ROOT}/tests/x.py", "no file tests/x.py"),
        (f"{LIBRARY}/json/decoder.py", f"{LIBRARY.name}/json/decoder.py"),
        (f"cannot read {HOME}/models/net.pt", "cannot read ~/models/net.pt"),
        (f"in {HOME}", "in ~/"),
        (f"{tempfile.gettempdir()}/abc/x", "tmp/abc/x"),
        (f"{HOME}less/x", f"{HOME}less/x"),
        ("mean/std of 1/n, y/x", "mean/std of 1/n, y/x"),
        ("no path at all", "no path at all"),
    ],
)  # fmt: skip
def test_words_without_the_machines_folders(said, passed_on):
    assert without_folders(said) == passed_on


def test_ledgers_and_json_hold_none(tmp_path):
    path = f"{sys.prefix}/lib/python3/site-packages/secret.py"
    target = sample.target("numpy", error=path, notes=[{"id": "prints", "text": f"warns: {path}"}])
    ledger = Ledger(tmp_path / "l.jsonl", sample.header())
    ledger.add("target", target)
    ledger.add("comparison", sample.comparison(f"{HOME}/mine.py:Norm", "y", message=f"Error: {path}"))
    ledger.add("finding", {"output": [f"FINDING {path}"]})
    write_json(tmp_path / "v.json", {"targets": [target]})
    for text in ((tmp_path / "l.jsonl").read_text(), (tmp_path / "v.json").read_text()):
        assert sys.prefix not in text
        assert "site-packages/secret.py" in text
    first = json.loads((tmp_path / "l.jsonl").read_text().splitlines()[2])
    assert first["target"] == f"{HOME}/mine.py:Norm"  # a name is what was given, and what records are joined by
    assert first["error"] == sample.comparison("numpy", "y")["error"]  # a number
    ledger.close()
