"""The report's sections on whole runs: lockstep step by step, accuracy over seeds, throughput."""

from __future__ import annotations

import math
import re

import pytest

from harness.bench.results import Clock, Decision, Spread, TrainingThroughput
from harness.cli import report_runs
from harness.cli.report_runs import kept
from tests import ledger_sample as sample
from tests.test_report import Page, made, title


def test_throughput_seeds_and_equivalence_are_shown_where_the_ledger_has_them(tmp_path):
    records = sample.records()
    assert "Throughput" not in made(tmp_path, records)[1]
    records["throughput"] = [sample.throughput("torch"), sample.throughput("jax", met=False, decision="INCONCLUSIVE")]
    records["throughput"] += [sample.throughput("torch", "step", against="resident"), sample.layer()]
    records["accuracy"] = [sample.accuracy("torch")]
    records["equivalence"] = [sample.equivalence("numpy", "torch", equivalent=False)]
    page, text = made(tmp_path, records)
    for output in (Page(page).text, text.replace("\\", "")):
        for words in ("23,456", "4.56", "4.43 to 4.67", "0.97 to 1.02", "inconclusive", "against: resident", "17%"):
            assert words in output
        for words in ("64×64×56×56", "32.100", "2.04", "0.9012 ± 0.0023", "0.8765", "0.00012", "not shown"):
            assert words in output
    assert "1 of 3 runs" in Page(page).text
    assert 'class="spread"' in page


@pytest.mark.parametrize("others", [[], [sample.throughput("torch")]], ids=["alone", "beside a training"])
def test_the_seconds_of_the_suite_are_shown_by_part(tmp_path, others):
    timings = [sample.suite_timing("torch"), sample.suite_timing("numpy", seconds=1.25, parts={"play": 0.625})]
    page, text = made(tmp_path, sample.records() | {"throughput": [*others, *timings]})
    assert "| target | suite | seconds | comparisons | a second | start | play |" in text
    assert "| torch | full | 3.50 | 4,276 | 1,222 | 0.25 | 2.75 |" in text
    assert "| numpy | full | 1.25 | 4,276 | 1,222 | 0.00 | 0.62 |" in text
    row = page[page.index('id="suite"') :].partition('<th scope="row">numpy</th>')[2].partition("</tr>")[0]
    assert re.findall(r">([^<]+)<", row) == ["full", "1.25", "4,276", "1,222", "0.00", "0.62"]
    assert text.count("## Throughput") == page.count('<section id="throughput">') == 1
    assert ("Paired rounds" in page, "Paired rounds" in text) == (bool(others), bool(others))


def test_lockstep_shows_its_last_comparison_and_how_it_got_there(tmp_path):
    records = sample.records()
    comparisons = [(1, 1e-16, False), (235, 2e-13, False), (470, 4.4e-13, True)]
    records["lockstep"] = [
        sample.lockstep("numpy", "jax", "bn1.beta", size, 1e-13) | {"steps": step, "last": last, "dtype": dtype}
        for step, size, last in comparisons
        for dtype in ("float64", "float32")
    ]
    page, text = made(tmp_path, records)
    assert re.findall(r"^\| numpy / jax \| (\w+) \| (\d+) .*4.4×10⁻¹³", text, re.M) == [
        ("float64", "470"),
        ("float32", "470"),
    ]
    assert page.count("Step by step, in") == 2
    records["lockstep"][2]["distance"] = 1e-9  # out on the way: still wrong, however it ends
    assert title(made(tmp_path, records)[0]).startswith("✗Something of ours is wrong")


def test_the_key_figures_of_several_seeds_are_their_means(tmp_path):
    records = sample.records()
    records["training"] = [
        {**records["training"][0], "implementation": name, "seed": seed, "loss": loss, "examples_per_second": speed}
        for name, seed, loss, speed in [("numpy", 0, 0.25, 1000), ("numpy", 1, 0.27, 3000), ("jax", 0, 0.28, 5000)]
    ]
    text = Page(made(tmp_path, records)[0]).text
    assert "final loss, mean of 2 seeds" in text
    assert "0.260 · 0.280" in text
    assert "numpy 2,000, jax 5,000" in text


def test_a_measurement_is_kept_and_read_again_as_what_it_was(tmp_path, monkeypatch):
    """Enumerations, nested records and numbers that JSON has not; measured anew with another version of anything."""
    path = tmp_path / "throughput.json"
    spread = Spread(median=4.0, low=3.9, high=math.inf)
    measured = TrainingThroughput(
        name="torch",
        clock=Clock.STEP,
        against="tutorial, data resident",
        control=Spread(median=1.0, low=0.9, high=1.1),
        ratio=spread,
        decision=Decision.FASTER,
        aim=1.5,
        met=True,
        memory_mb=600.0,
        threads=2,
        device="cpu",
        how="eager",
        cpu_ratio=3.0,
        compile_seconds=1.0,
        rounds=3,
        examples=6000,
        examples_per_second=20000.0,
        limit_share=0.2,
        matmul_flops=2e11,
        core_distance_ns=spread,
    )
    assert kept(path, TrainingThroughput, lambda: (measured,)) == (measured,)
    (again,) = kept(path, TrainingThroughput, lambda: pytest.fail("measured again"))
    assert again == measured
    assert again.clock is Clock.STEP
    monkeypatch.setattr(report_runs, "environment", lambda: {"python": "4"})
    assert kept(path, TrainingThroughput, lambda: ()) == ()
    assert kept(None, TrainingThroughput, lambda: (measured,)) == (measured,)


def test_a_report_without_throughput_says_why(monkeypatch, capsys):
    for name in ("add_lockstep", "runs_of", "run_trainings"):
        monkeypatch.setattr(report_runs, name, lambda *_: [])
    monkeypatch.setattr(report_runs, "what_is_missing", lambda: "no memory is shared here")
    assert not report_runs.add_runs(None, report_runs.Extent(quick=True, seeds=1, steps=2), "cpu", None, 0, print)
    assert "throughput is not measured: no memory is shared here" in capsys.readouterr().out
