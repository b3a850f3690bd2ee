"""`bnproof check A --same-as B`: does A do what B does? For converters, and for one layer on two devices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.cli.request import CheckRequest

if TYPE_CHECKING:
    from harness.cases.case import Case
    from harness.judge.report import TargetReport

PREDICTION = ("eval",)


def compare(reports: list[TargetReport], request: CheckRequest) -> int:
    """Compare each but the last with the last, print and write. Returns the exit status of the comparison: 0 the same,
    1 not, 2 where one cannot be loaded, 3 where one died, 4 where nothing could be compared.
    """
    from harness.cli import verdicts
    from harness.cli.output import AGREED, DIED, FAULTY, NOTHING_JUDGED, USAGE, err, out, write_json
    from harness.judge.beside import beside

    *others, model = reports
    for report in reports:
        if report.load_error:
            err.print(f"error: {report.load_error}", style="red", markup=False, soft_wrap=True)
    if any(report.load_error for report in reports):
        return USAGE
    ops = () if request.same_in_training else PREDICTION
    compared = {report.target: beside(report, model, ops) for report in others}
    for report in others:
        show(report, model, request.same_in_training)
    content = {name: [line.as_dict() for line in lines] for name, lines in compared.items()}
    write_json(request.json_file, verdicts.as_json(reports) | {"same_as": {"model": model.target, "targets": content}})
    if any(report.verdict in ("crashed", "timed_out") for report in reports):
        return DIED
    if not all(compared.values()):
        out.print("nothing could be compared", highlight=False)
        return NOTHING_JUDGED
    return AGREED if all(line.same for lines in compared.values() for line in lines) else FAULTY


def in_prediction(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """Those that predict; in prediction alone, so that nothing that training does comes between."""
    predicting = [case for case in cases if "eval" in case.script and not case.options.asked_for]
    return tuple(replace(case, script=PREDICTION, shapes=()) for case in predicting)


def show(report: TargetReport, model: TargetReport, in_training: bool) -> None:
    """One line, and a line for each dtype and observable."""
    from rich.markup import escape

    from harness.cli.output import out
    from harness.judge.beside import beside, sentence

    lines = beside(report, model, () if in_training else PREDICTION)
    differing = [line for line in lines if not line.same]
    steps = sum(line.compared for line in lines)
    where = "in training and prediction" if in_training else "in prediction"
    word = "[red]differs from[/]" if differing else "[green]does the same as[/]"
    names = f"[bold]{escape(report.target)}[/] {word} [bold]{escape(model.target)}[/]"
    out.print(f"{names} {where}  [dim]({steps} comparisons)[/]", highlight=False, soft_wrap=True)
    for line in sorted(lines, key=lambda line: line.ratio, reverse=True):
        out.print(f"  {escape(sentence(line, report.target, model.target))}", highlight=False, soft_wrap=True)


def show_devices(reports: list[TargetReport]) -> None:
    """One layer on several devices: each beside the first."""
    from harness.targets.device import split_device

    loaded = [report for report in reports if not report.load_error]
    for number, report in enumerate(loaded):
        name, device = split_device(report.target)
        earlier = next((r for r in loaded[:number] if split_device(r.target)[0] == name), None)
        if earlier is not None and split_device(earlier.target)[1] != device:
            show(report, earlier, in_training=True)
