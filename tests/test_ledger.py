"""The ledger: whole or refused, non-finite numbers as words, honest counts."""

import json

import numpy as np
import pytest

from harness.record.ledger import Ledger, LedgerError, number, plain, read


def written(path, records=2):
    ledger = Ledger(path, {"seed": 0})
    for i in range(records):
        ledger.add("comparison", {"ratio": float(i)})
    ledger.close()
    return path


def test_a_whole_ledger_reads_back(tmp_path):
    records = read(written(tmp_path / "a" / "ledger.jsonl"))
    assert [one["ratio"] for one in records["comparison"]] == [0.0, 1.0]
    assert records["footer"][0]["counts"] == {"comparison": 2}


def test_each_record_is_on_disk_before_the_next_is_made(tmp_path):
    ledger = Ledger(tmp_path / "l.jsonl", {})
    ledger.add("comparison", {"ratio": 1.0})
    assert len((tmp_path / "l.jsonl").read_text().splitlines()) == 2
    ledger.close()


def test_without_a_footer_it_is_refused(tmp_path):
    path = written(tmp_path / "l.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(LedgerError, match="no footer: the run that wrote it did not finish"):
        read(path)


def test_a_lost_record_is_noticed(tmp_path):
    path = written(tmp_path / "l.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1] + lines[2:]))
    with pytest.raises(LedgerError, match="its footer counts"):
        read(path)


def test_a_line_cut_off_is_named(tmp_path):
    path = written(tmp_path / "l.jsonl")
    path.write_text(path.read_text()[:-10])
    with pytest.raises(LedgerError, match="line 4 is not JSON"):
        read(path)


def test_another_schema_is_refused(tmp_path):
    path = tmp_path / "l.jsonl"
    path.write_text('{"type":"header","schema":"other/1"}\n{"type":"footer","counts":{}}\n')
    with pytest.raises(LedgerError, match="no header of schema bnproof/1"):
        read(path)


def test_an_unwritable_place_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="name another place"):
        Ledger(tmp_path / "file" / "ledger.jsonl", {})


def test_non_finite_numbers_are_words_and_come_back():
    record = plain({"a": float("nan"), "b": [np.float32("inf"), -np.inf], "c": np.int64(3), "d": None})
    assert record == {"a": "nan", "b": ["inf", "-inf"], "c": 3, "d": None}
    json.dumps(record, allow_nan=False)
    assert number("-inf") == -np.inf
    assert np.isnan(number("nan"))
    assert number(None) is None
