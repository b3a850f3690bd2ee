"""What `pytest harness` excuses of PyTorch's layer: cases there are, for a reason that a snippet shows."""

import re

from harness.cases.catalogue import BY_ID, CASES
from harness.known_here import KNOWN_HERE
from harness.place import ROOT
from harness.pytest_reports import Selection


def test_each_is_a_case_and_has_a_snippet():
    for known in KNOWN_HERE.values():
        assert known.keys() <= BY_ID.keys()
        assert all((ROOT / re.search(r"\((.*)\)$", reason)[1]).is_file() for reason in known.values())


def test_what_a_user_asks_for_is_judged_without_it():
    ours = Selection(("numpy", "torch-native"), CASES, known={"rank2": "why"})
    assert ours.known_of("torch-native") == KNOWN_HERE["torch-native"] | {"rank2": "why"}
    assert ours.known_of("numpy") == {"rank2": "why"}
    asked = Selection(("torch-native",), CASES, users=("torch-native",))
    assert asked.known_of("torch-native") == {}
