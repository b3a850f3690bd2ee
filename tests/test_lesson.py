"""The lesson: its equations stand in the code as it says, its mistakes have the names that they are diagnosed by."""

import json

import pytest

from harness.diagnose.mistakes.known import TEXTS
from harness.train.fashion_mnist import load_sample
from tests.experiments import lesson, lesson_notebook
from tests.test_markdown import faults, tables

PUBLISHED = (lesson.PLACE / "README.md").read_text(encoding="utf-8")


def test_the_published_equations_are_the_lines_of_today():
    assert lesson.equations() in PUBLISHED


def test_every_figure_is_there_and_every_mistake_is_one_that_is_known():
    for name in ("with-and-without.svg", "mistakes.svg"):
        assert f"({name})" in PUBLISHED
        assert (lesson.PLACE / name).read_text(encoding="utf-8").startswith("<?xml")
    assert {layer.id for layer in lesson.MISTAKES} <= set(TEXTS)
    assert len(lesson.MISTAKES) == 6
    assert all(f"| `{layer.id}` |" in PUBLISHED for layer in lesson.MISTAKES)


def test_a_short_run_makes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "EPOCHS", 1)
    data = lesson.part_of(load_sample(), images=256, tested=50)
    runs = {layer.id: lesson.run(layer, data) for layer in (lesson.RIGHT, lesson.WITHOUT, lesson.MISTAKES[0])}
    inverted = runs["momentum_inverted"]
    assert inverted.losses == pytest.approx(runs["right"].losses)  # it shows in prediction alone
    assert runs["without batch norm"].gamma == (1.0,) * 6
    every = runs | {layer.id: inverted for layer in lesson.MISTAKES}
    text = lesson.page(every, "a few")
    assert not faults(text)
    assert tables(text) == 2
    lesson.figure([*runs.values()], tmp_path / "f.svg", "t")
    first = (tmp_path / "f.svg").read_bytes()
    lesson.figure([*runs.values()], tmp_path / "f.svg", "t")
    assert (tmp_path / "f.svg").read_bytes() == first


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((2.6, 2.4), ""),
        ((1.0,), ""),
        ((40.0, 31.2, float("nan")), "above the scale:\n31.2 to 40"),
        ((float("nan"),), "not a number"),
    ],
)
def test_a_panel_without_a_curve_says_where_it_is(losses, words):
    assert lesson.off_the_scale(losses) == words


NOTEBOOK = json.loads((lesson.PLACE / "lesson.ipynb").read_text(encoding="utf-8"))


def test_the_published_notebook_is_that_of_today_and_names_each_mistake():
    published = [(cell["cell_type"], "".join(cell["source"])) for cell in NOTEBOOK["cells"]]
    assert published == [(kind, text.rstrip("\n")) for kind, text in lesson_notebook.cells(lesson)]
    texts = [
        text for cell in NOTEBOOK["cells"] for output in cell.get("outputs", ()) for text in output.get("text", ())
    ]
    judged = {line.split()[-1] for line in texts if " differ  " in line}
    assert judged == {layer.id for layer in lesson.MISTAKES}


def test_its_cells_run(monkeypatch):
    """A part of it; the whole is run by a kernel, where CI has one: `pytest --nbmake reports/lesson`."""
    monkeypatch.setenv("LESSON_IMAGES", "64")
    for name, value in (("EPOCHS", 1), ("TESTED", 16), ("MISTAKES", lesson.MISTAKES[:1])):
        monkeypatch.setattr(lesson, name, value)
    made = lesson_notebook.notebook(lesson)
    printed = "".join(
        text for cell in made["cells"] for output in cell.get("outputs", ()) for text in output.get("text", ())
    )
    assert "BatchNorm              agree" in printed
    assert "MomentumInverted       differ  momentum_inverted" in printed
    assert "after 100 steps the modes differ by 0.000" in printed
    assert "image/png" in made["cells"][-1]["outputs"][0]["data"]
