r"""REPORTED.md: layers after the kinds of mistake that public reports tell of, and what each is called.

python -m tests.experiments.reported > tests/experiments/REPORTED.md
"""

import warnings

from harness.cases.catalogue import BY_ID
from tests.in_process import checked
from tests.targets.layers_reports import REPORTS, cases_of


def played(layer):
    """Its report, in float32 unless it says otherwise: a mistake in a formula shows in any dtype."""
    dtypes = vars(layer).get("dtypes", ("float32",))
    cases = tuple(BY_ID[case] for case in cases_of(layer))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return checked(type(layer.__name__, (layer,), {"dtypes": dtypes}), cases=cases)


def row(layer, report):
    named = ", ".join(finding.id for finding in report.diagnosis) or "nothing"
    return f"| {layer.__name__} | {layer.report} | {layer.expected} | {report.verdict} | {named} |"


def table(reports):
    """reports: {layer: its report}."""
    flagged = sum(report.verdict == "differ" for report in reports.values())
    ids = {layer: [finding.id for finding in report.diagnosis] for layer, report in reports.items()}
    named = sum(found == [layer.expected] != ["unexplained"] for layer, found in ids.items())
    nameless = sum(layer.expected == "unexplained" for layer in reports)
    lines = [
        "# Layers after public reports",
        "",
        "Each is a batch norm in plain NumPy (`tests/targets/layers_reports.py`) with a mistake of the kind that the",
        "report tells of, or that such code makes; it is written from one line of description, not from that code.",
        "`python -m tests.experiments.reported` makes this table, `tests/test_reported.py` holds it.",
        "",
        f"**{flagged} of {len(reports)} are flagged; {named} are named as what they are; without a name: {nameless}.**",
        "",
        "| layer | after | what is true of it | verdict | diagnosis |",
        "|---|---|---|---|---|",
        *(row(layer, report) for layer, report in reports.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table({layer: played(layer) for layer in REPORTS}), end="")
