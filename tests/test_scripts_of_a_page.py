"""Every failing cell of a report leads to a script without bnproof: in the page, beside it, or that of another case."""

import re

from harness.cli.companion import of_records
from reports.findings import LONGEST_NAME, script_name
from reports.render import render
from tests import ledger_sample as sample


def failing(case, **more):
    place = {"index": [1, 2], "step": 0, "op": "eval"}
    return sample.comparison("tutorial", "y", 3e7, "differ", case=case, dtype="float32", **place | more)


def row_of(page, case):
    found = re.search(rf'<tr id="fails-tutorial\.{case}".*?</tr>', page, re.S)
    assert found
    return found[0]


def test_where_the_script_of_a_failure_is(tmp_path):
    records = sample.records()
    mistakes = [
        {"id": "eps_missing", "text": "", "cases": ["rank2"]},
        {"id": "beta_sign", "text": "", "cases": ["frozen"]},
    ]
    records["target"][4] |= {"verdict": "differ", "diagnosis": mistakes}
    records["comparison"] += [
        failing("rank2"),
        failing("thousand_values", index=[1, 2, 3, 4]),
        failing("frozen", op="frozen", step=1, index=[1, 2, 0, 0]),
    ]
    page = render(sample.write(tmp_path, records), tmp_path, companion_of=of_records).read_text(encoding="utf-8")
    assert 'href="#script-tutorial.rank2"' in row_of(page, "rank2")
    assert 'href="scripts/script-tutorial.thousand_values.py"' in row_of(page, "thousand_values")
    assert 'href="scripts/script-tutorial.thousand_values.npz"' in row_of(page, "thousand_values")
    assert 'href="#fails-tutorial.rank2"' in row_of(page, "frozen")
    beside = sorted(path.name for path in (tmp_path / "scripts").iterdir())
    assert beside == [f"script-tutorial.thousand_values.{ending}" for ending in ("npz", "py")]
    assert "bnproof" not in (tmp_path / "scripts" / "script-tutorial.thousand_values.py").read_text()


def test_the_name_of_a_script_stays_in_its_folder():
    names = {script_name(target, "rank2") for target in ("../../x", "a/b.py:C", "x" * 300, "x" * 301, "é\u202e\n")}
    assert len(names) == 5
    assert all(re.fullmatch(r"[\w.~-]+", name, re.ASCII) and len(name) <= LONGEST_NAME + 9 for name in names)
