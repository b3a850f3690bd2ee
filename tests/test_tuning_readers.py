"""The experiment that moves the numbers of diagnosis moves them in every module that reads one."""

from pathlib import Path

from harness import diagnose
from tests.experiments.tuning import READERS

FOLDER = Path(diagnose.__path__[0])


def test_no_reader_is_left_out():
    reading = {path.stem for path in FOLDER.glob("*.py") if "tuning." in path.read_text(encoding="utf-8")}
    reading -= {path.stem for path in FOLDER.glob("tuning.py")}
    assert {module.__name__.rpartition(".")[2] for module in READERS} == reading
