"""The report's sections on whole runs: lockstep step by step, accuracy over seeds, throughput."""

from __future__ import annotations

import re

from tests import ledger_sample as sample
from tests.test_report import Page, made, title


def test_throughput_seeds_and_equivalence_are_shown_where_the_ledger_has_them(tmp_path):
    found = sample.records()
    assert "Throughput" not in made(tmp_path, found)[1]
    found["throughput"] = [sample.throughput("torch"), sample.throughput("jax", met=False, decision="INCONCLUSIVE")]
    found["throughput"] += [sample.throughput("torch", "step", against="resident"), sample.layer()]
    found["accuracy"] = [sample.accuracy("torch")]
    found["equivalence"] = [sample.equivalence("numpy", "torch", equivalent=False)]
    page, text = made(tmp_path, found)
    for output in (Page(page).text, text.replace("\\", "")):
        for told in ("23,456", "4.56", "4.43 to 4.67", "0.97 to 1.02", "inconclusive", "against: resident", "17%"):
            assert told in output
        for told in ("64×64×56×56", "32.100", "2.04", "0.9012 ± 0.0023", "0.8765", "0.00012", "not shown"):
            assert told in output
    assert "1 of 3 runs" in Page(page).text
    assert 'class="spread"' in page


def test_lockstep_shows_its_last_look_and_how_it_got_there(tmp_path):
    found = sample.records()
    looks = [(1, 1e-16, False), (235, 2e-13, False), (470, 4.4e-13, True)]
    found["lockstep"] = [
        sample.lockstep("numpy", "jax", "bn1.beta", size, 1e-13) | {"steps": step, "last": last, "dtype": dtype}
        for step, size, last in looks
        for dtype in ("float64", "float32")
    ]
    page, text = made(tmp_path, found)
    assert re.findall(r"^\| numpy / jax \| (\w+) \| (\d+) .*4.4×10⁻¹³", text, re.M) == [
        ("float64", "470"),
        ("float32", "470"),
    ]
    assert page.count("Step by step, in") == 2
    found["lockstep"][2]["distance"] = 1e-9  # out on the way: still wrong, however it ends
    assert title(made(tmp_path, found)[0]).startswith("✗Something of ours is wrong")


def test_the_key_figures_of_several_seeds_are_their_means(tmp_path):
    found = sample.records()
    found["training"] = [
        {**found["training"][0], "implementation": name, "seed": seed, "loss": loss, "examples_per_second": speed}
        for name, seed, loss, speed in [("numpy", 0, 0.25, 1000), ("numpy", 1, 0.27, 3000), ("jax", 0, 0.28, 5000)]
    ]
    text = Page(made(tmp_path, found)[0]).text
    assert "final loss, mean of 2 seeds" in text
    assert "0.260 · 0.280" in text
    assert "numpy 2,000, jax 5,000" in text
