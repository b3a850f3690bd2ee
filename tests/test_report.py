"""The report says what the ledger holds, loudly where it must, and nothing in a ledger can break out of its text."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID
from harness.cli.companion import of_records
from harness.record.kinds import TrainingResult
from harness.record.ledger import LedgerError
from harness.record.read import converter
from reports.curves import curves
from reports.formats import fixed, markdown_text, short
from reports.geometry import linear_ticks, with_labels
from reports.render import render
from tests import ledger_sample as sample

ROOT = Path(__file__).resolve().parents[1]
INF = float("inf")
VOID = {"meta", "link", "br", "img", "hr", "input", "wbr"}
IN_SVG = {"path", "rect", "circle", "polyline", "polygon"}


class Page(HTMLParser):
    """Tags, attributes and visible text of a page; fails where tags are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in IN_SVG | VOID
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text += data


def made(folder: Path, records: dict) -> tuple[str, str]:
    """(the page, the Markdown) of a ledger that holds `records`."""
    page = render(sample.write(folder, records), folder)
    assert page == folder / "index.html"
    return page.read_text(encoding="utf-8"), (folder / "report.md").read_text(encoding="utf-8")


def title(page: str) -> str:
    heading = re.search(r"<h1.*?</h1>", page, re.S)
    assert heading
    return html.unescape(re.sub(r"<[^>]+>", "", heading[0]))


def test_says_first_that_all_of_ours_agree(tmp_path):
    page, text = made(tmp_path, sample.records())
    assert title(page) == "✓All four own implementations agree with the oracle in every case and with each other."
    assert text.startswith("# All four own implementations agree with the oracle in every case and with each other.\n")
    assert 'class="alarm' not in page
    assert "⚠" not in text


def test_numbers_are_those_of_the_ledger(tmp_path):
    records = sample.records()
    records["comparison"].append(
        sample.comparison("torch", "dx", 0.6789, case="one_of_a_kind", error=1.357e-7, bound=1.999e-7)
    )
    records["training"][1] |= {"loss": 0.2876, "step_examples_per_second": 54321.0, "beta": [-9.87] * 6}
    page, text = made(tmp_path, records)
    for output in (Page(page).text, text.replace("\\", "")):
        for expected in ("0.68", "0.288", "54,321", "9,876", "−9.87", "18,366", "6,514", "0.264", "0.903", "2.37"):
            assert expected in output
    for expected in ("one_of_a_kind", "1.4×10⁻⁷", "2.0×10⁻⁷"):
        assert expected in Page(page).text
    assert '<dd class="n">97</dd>' in page  # four of ours, two dtypes, twelve observables, and the one added here
    rows = re.findall(r"^\| torch \|.*$", text, re.M)
    assert any("✓ 0.68" in row for row in rows)


@pytest.mark.parametrize("verdict", ["differ", "raised", "crashed", "timed_out", "inconclusive"])
def test_a_fault_of_ours_changes_the_headline(tmp_path, verdict):
    records = sample.records()
    records["target"][2]["verdict"] = verdict
    records["comparison"].append(sample.comparison("jax", "y", 321.0, verdict, message="it is said why"))
    page, text = made(tmp_path, records)
    assert title(page).startswith("✗Something of ours is wrong: jax ")
    assert '<h1 class="bad">' in page
    assert text.startswith("# Something of ours is wrong: jax ")
    if verdict != "inconclusive":
        assert "it is said why" in text


def test_others_faults_do_not_change_it(tmp_path):
    records = sample.records()
    records["target"][5]["verdict"] = "crashed"
    page, text = made(tmp_path, records)
    assert title(page).startswith("✓All four")
    assert "torch-native (crashed)" in text


@pytest.mark.parametrize(
    ("kind", "record", "expected"),
    [
        ("pair", sample.pair("torch", "flax", "differ", 12.5), "torch and flax differ by more"),
        (
            "lockstep",
            sample.lockstep("numpy", "jax", "bn4.beta", 3e-12),
            "numpy and jax part ways in lockstep (bn4.beta",
        ),
        (
            "lockstep",
            sample.lockstep("numpy", "jax", "bn4.beta", "nan"),
            "numpy and jax part ways in lockstep (bn4.beta",
        ),
        ("training", sample.training("jax", loss=0.31), "jax ends its training outside the range"),
        ("training", sample.training("jax", loss="nan"), "jax ends its training outside the range"),
    ],
)
def test_whole_runs_of_ours_that_part_change_it(tmp_path, kind, record, expected):
    records = sample.records()
    records[kind].append(record)
    page, text = made(tmp_path, records)
    assert title(page).startswith("✗Something of ours is wrong")
    assert expected in title(page)
    assert expected in text.replace("\\", "")


def test_what_is_not_installed_is_not_claimed(tmp_path):
    records = sample.records()
    for kind in ("target", "comparison"):
        records[kind] = [one for one in records[kind] if one["target"] not in ("jax", "flax")]
    records["pair"] = [sample.pair("numpy", "torch")]
    records["lockstep"], records["training"] = [], []
    page, text = made(tmp_path, records)
    assert title(page).startswith("?The two own implementations checked here agree")
    assert "Not checked here: jax and flax." in page
    assert "pip install jax flax" in page
    assert "pip install jax flax" in text


def test_nothing_checked(tmp_path):
    page, text = made(tmp_path, {"header": [sample.header()]})
    assert "None of our own implementations was checked." in title(page)
    assert "holds no training" in text


def test_sample_data_are_loud(tmp_path):
    records = sample.records()
    records["header"] = [sample.header(is_sample=True)]
    page, text = made(tmp_path, records)
    assert re.search(r'<p class="alarm"[^>]*><b>Sample data</b>', page)
    assert text.count("SAMPLE DATA") == 3  # at the top, in the figures, at the trainings
    assert "✓ in range" not in page
    assert "not judged" in page


def test_quick_suite_is_told_and_one_epoch_is_not_judged(tmp_path):
    records = sample.records()
    records["header"] = [sample.header(suite="quick")]
    records["training"] = [sample.training(name, epochs=1, loss=0.733) for name in ("numpy", "torch")]
    page, text = made(tmp_path, records)
    assert "<b>quick suite</b>" in page
    assert "QUICK SUITE" in text
    assert "those of 10 epochs" in page
    assert "not judged" in text
    assert title(page).startswith("✓All four")


def test_hostile_strings_stay_text_in_the_page(tmp_path):
    page, _ = made(tmp_path, sample.hostile())
    parsed = Page(page)  # also: everything is nested as it should be
    assert parsed.tags.count("script") == page.count("<script") == 1  # our own, which opens what links lead into
    assert "{{ 7 * 7 }}" in parsed.text  # shown as it is, not evaluated
    assert parsed.text.count("<script>alert(1)</script>|`x`\"]]>'") > 20
    assert not [one for one in parsed.attributes if one[1].startswith("on")]


def test_hostile_strings_stay_text_in_markdown(tmp_path):
    _, text = made(tmp_path, sample.hostile())
    assert "<script" not in text
    assert "<!--" not in text
    assert not re.search(r"(?<!\\)`", text)
    assert not re.search(r"(?<!\\)\[", text)
    assert "\n# head" not in text
    columns = 0
    for line in text.splitlines():  # every row of a table has its header's number of cells
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert columns in (0, cells) or cells == 0
        columns = cells


@pytest.mark.parametrize("make", [sample.records, sample.hostile])
def test_every_link_leads_somewhere_and_nothing_has_two_anchors(tmp_path, make):
    records = make()
    records["comparison"] += [
        sample.comparison("tutorial", "y", 3e7, "differ", case="rank4"),
        sample.comparison(sample.HOSTILE, "y", 3e7, "differ", case=sample.HOSTILE),
    ]
    if make is sample.records:
        records["target"].append(sample.target(sample.HOSTILE))
    page = render(sample.write(tmp_path, records), tmp_path, companion_of=of_records).read_text(encoding="utf-8")
    attributes = Page(page).attributes
    ids = [value for _, name, value in attributes if name == "id"]
    links = {value[1:] for tag, name, value in attributes if (tag, name) == ("a", "href") and value.startswith("#")}
    assert len(ids) == len({*ids})
    assert links <= {*ids}
    assert {"case-rank4", "target-tutorial", "fails-tutorial.rank4", "every-case"} <= links


def test_a_case_has_its_words_and_a_failure_its_script(tmp_path):
    records = sample.records()
    failure = sample.comparison("torch-native", "y", 3e7, "differ", case="rank2", index=[1, 2], step=1, op="train")
    records["comparison"].append(failure)
    ledger = sample.write(tmp_path, records)
    text = Page(render(ledger, tmp_path, companion_of=of_records).read_text(encoding="utf-8")).text
    assert BY_ID["rank2"].why in text
    assert "torch.nn.BatchNorm1d(channels, eps, momentum)" in text
    assert "import bnproof" not in text
    assert BY_ID["rank2"].why not in Page(render(ledger, tmp_path).read_text(encoding="utf-8")).text


def test_what_differs_and_what_to_change_stands_at_the_top(tmp_path):
    records = sample.records()
    mistake = {"id": "fast_variance", "text": "average (x - mean)^2 instead", "cases": ["rank4"]}
    records["target"][4] |= {"verdict": "differ", "diagnosis": [mistake]}
    records["comparison"].append(sample.comparison("tutorial", "y", 3e7, "differ"))
    page, _ = made(tmp_path, records)
    top = page.partition("<main>")[0]
    assert "What differs, and what to change" in top
    assert "average (x - mean)^2 instead" in top
    assert "What differs" not in made(tmp_path, sample.records() | {"comparison": []})[0]


def test_the_fastest_is_the_fastest_on_average(tmp_path):
    records = sample.records()
    speeds = {"numpy": (900.0, 1100.0), "torch": (100.0, 5000.0), "jax": (3000.0, 3200.0)}
    records["training"] = [
        sample.training(name, seed=seed, examples_per_second=speed)
        for name, both in speeds.items()
        for seed, speed in enumerate(both)
    ]
    text = Page(made(tmp_path, records)[0]).text
    assert "jax on cpu; end to end, mean of 2 seeds: numpy 1,000, torch 2,550, jax 3,100" in " ".join(text.split())


def test_no_address_is_loaded(tmp_path):
    page, _ = made(tmp_path, sample.hostile())
    for tag, name, value in Page(page).attributes:
        if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href") and tag != "a":
            assert value.startswith("data:"), (tag, name, value)
    style = re.search(r"<style>.*?</style>", page, re.S)
    assert style
    assert "url(" not in style[0]
    assert "@import" not in style[0]


def test_derivatives_have_one_column_where_there_are_any(tmp_path):
    records = sample.records()
    assert "derivatives" not in made(tmp_path, records)[0]
    records["comparison"] += [
        sample.comparison("torch", "dx2", 12.3, "differ", op="train_double"),
        sample.comparison("torch", "ty", 0.1, op="eval_jvp"),
    ]
    page, text = made(tmp_path, records)
    assert "✗ 12" in Page(page).text
    assert "derivatives" in page
    assert any("✗ 12" in row for row in re.findall(r"^\| torch \|.*$", text, re.M))


def test_non_finite_numbers_are_shown(tmp_path):
    records = sample.records()
    words = {"error": "nan", "got": "-inf", "want": "inf", "bound": "inf"}
    records["comparison"].append(sample.comparison("tutorial", "dx", "inf", "differ", **words))
    records["comparison"].append(sample.comparison("tutorial", "dbeta", "nan", "differ", **words))
    records["pair"].append(sample.pair("torch", "tutorial", "differ", "nan"))
    records["lockstep"].append(sample.lockstep("numpy", "torch", "bn2.beta", "inf", "nan"))
    records["lockstep"].append(sample.lockstep("numpy", "torch", "bn2.gamma", 0.0, 0.0))
    broken = sample.training("torch", loss="nan", test_accuracy="-inf", gamma=["nan"] * 6, compile_seconds="inf")
    broken["history"][4] |= {"loss": "nan", "test_accuracy": "inf"}
    records["training"].append(broken)
    page, text = made(tmp_path, records)
    for output in (page, text):
        for expected in ("✗ ∞", "✗ NaN", "−∞"):
            assert expected in output
    assert "values not finite" in page
    assert not re.search(r'="[^"]*\b(nan|inf)\b[^"]*"', re.sub(r'title="[^"]*"', "", page))


def test_ledger_that_is_not_whole_is_refused(tmp_path):
    ledger = sample.write(tmp_path, sample.records(), footer=False)
    with pytest.raises(LedgerError, match="no footer"):
        render(ledger, tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_same_ledger_gives_the_same_page(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    assert made(first, sample.records()) == made(second, sample.records())


def test_verdicts_have_signs_and_words(tmp_path):
    records = sample.records()
    records["comparison"].append(sample.comparison("tutorial", None, None, "unsupported", dtype="float16", op=None))
    records["comparison"].append(sample.comparison("torch", "y", 0.5, dtype="float16"))
    page, text = made(tmp_path, records)
    assert page.count("– unsupported") > 10
    assert "· " in text
    assert "≈ declared: momentum, moving\\_var" in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((0.0486, "0.049"), (1.00042, "1.0004"), (1, "1"), (4535.1, "4,500"), (7.03e15, "7.0×10¹⁵"), (0, "0")),
        *((9.53e-17, "9.5×10⁻¹⁷"), (-0.25, "−0.25"), (INF, "∞"), (-INF, "−∞"), (float("nan"), "NaN"), (None, "–")),
        *((0.99999, "0.99999"), (3.14, "3.1"), (99999, "1.0×10⁵"), (0.00012, "1.2×10⁻⁴"), (12.4, "12")),
        *((0.95, "0.9500"), (0.999, "0.9990"), (-1, "−1")),
    ],
)
def test_short_numbers(value, expected):
    assert short(value) == expected


def test_an_axis_writes_all_its_numbers_with_the_same_decimals():
    assert with_labels([0.0, 0.25, 0.5], lambda value: value) == ((0.0, "0.00"), (0.25, "0.25"), (0.5, "0.50"))


def test_the_baseline_is_no_claim_about_itself(tmp_path):
    records = sample.records() | {"throughput": [sample.throughput("torch", against="torch")]}
    for output in made(tmp_path, records):
        assert "the baseline" in output
        assert "faster" not in output


def test_fixed_and_markdown_text():
    assert (fixed(-1234.5678, 2), markdown_text("- a|b`\n<d>")) == ("−1,234.57", "\\- a\\|b\\` &lt;d&gt;")
    assert markdown_text("1. a_b") == "1\\. a\\_b"


@pytest.mark.parametrize("values", [[0.3], [0.0, 0.0], [0.247, 0.9], [1e-9, 1e9], [-5.0, -4.999]])
def test_ticks_enclose(values):
    ticks = linear_ticks(values)
    assert ticks[0] <= min(values)
    assert ticks[-1] >= max(values)
    assert 2 <= len(ticks) <= 9


def test_curves_writes_a_picture_that_tells_a_sample(tmp_path):
    runs = [sample.training("torch"), sample.training("torch", loss="nan"), sample.training("$x_", epochs=1)]
    runs[1]["history"][-1]["loss"] = "nan"
    pictures = []
    results = [converter()(run, TrainingResult, "a run") for run in runs]
    for is_sample in (False, True):
        curves(results, tmp_path / "training.png", is_sample)
        pictures.append((tmp_path / "training.png").read_bytes())
    assert all(one.startswith(b"\x89PNG") for one in pictures)
    assert pictures[0] != pictures[1]
    curves([], tmp_path / "training.png", True)


def test_no_framework_is_imported():
    code = "import sys, reports.render; print({'torch', 'jax', 'flax', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_what_is_not_run_yet_is_said_while_the_run_goes_on(tmp_path):
    records = sample.records()
    records |= {"target": records["target"][:2], "pair": [], "lockstep": [], "training": []}
    render(sample.write(tmp_path, records, footer=False), tmp_path, finished=False)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert title(page) == "?The two own implementations checked so far agree with the oracle in every case."
    assert "Not checked yet: jax and flax." in page
    assert Page(page).text.count("Not run yet.") == 4  # pairs, lockstep, training, throughput
    assert '<meta http-equiv="refresh"' in page
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "STILL RUNNING" in text
    assert text.count("Not run yet.") == 4


def test_known_differences_are_a_verdict_of_their_own(tmp_path):
    records = sample.records()
    records["target"].append(sample.target("mine", "known"))
    records["comparison"].append(sample.comparison("mine", "y", 12.0, "known", case="large_mean"))
    records["comparison"].append(sample.comparison("mine", "y", 0.5))
    page, text = made(tmp_path, records)
    assert title(page).startswith("✓All four")
    assert '<td class="cell told" style="--share:100%" title="case large_mean' in page
    assert "◇ 12" in Page(page).text
    assert "| mine | ◇ 12 |" in text
    assert "differs as is known: large\\_mean" in text


def test_render_is_a_command(tmp_path):
    ledger = sample.write(tmp_path, sample.records())
    command = [sys.executable, "-m", "harness.cli", "render", str(ledger)]
    done = subprocess.run([*command, "--out", tmp_path / "pages"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pages" / "index.html").exists()
    ledger.write_text(ledger.read_text()[:-30])
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {ledger}, line ")
    assert not (tmp_path / "index.html").exists()
