"""What the command line prints of whole trainings: lines and tables by Rich. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from harness.bench.results import Spread, TrainingThroughput, distance_range
from harness.cli.output import coloured, out

if TYPE_CHECKING:
    from harness.train.results import AccuracyRecord, EquivalenceRecord, Interval, LockstepRecord, TrainingResult


def line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True)


def training(result: TrainingResult) -> None:
    """What the tutorial prints, plus the second clock."""
    line(
        f"[bold]{result.implementation}[/] on {escape(result.device)}, {result.dtype}: "
        f"loss {result.loss:.3f}, train acc {result.train_accuracy:.3f}, test acc {result.test_accuracy:.3f}"
    )
    line(
        f"  {result.step_examples_per_second:,.0f} examples/s (step), {result.examples_per_second:,.0f} "
        f"end to end, compile {result.compile_seconds:.1f} s"
    )
    for name, values in (("gamma", result.gamma), ("beta", result.beta)):
        line(f"  first layer's {name}: " + ", ".join(f"{value:.2f}" for value in values))


def lockstep(records: Sequence[LockstepRecord]) -> bool:
    """A line a pair: the tensor that is furthest out, against the yardstick. True if all are within."""
    pairs = sorted({(record.a, record.b) for record in records})
    for a, b in pairs:
        of_pair = [record for record in records if (record.a, record.b) == (a, b)]
        furthest = max((record for record in of_pair if record.last), key=lambda record: record.share)
        out_of_bounds = [record for record in of_pair if not record.is_within]
        line(
            f"{a} / {b}: {coloured('differ' if out_of_bounds else 'agree')} after {furthest.steps} steps in "
            f"{furthest.dtype}; furthest {furthest.tensor} at {furthest.distance:.2g} "
            f"({furthest.self} from itself, relabelled: {furthest.self_distance:.2g})"
        )
        if out_of_bounds:
            line(f"  first out: {out_of_bounds[0].tensor} at step {out_of_bounds[0].steps}")
    return all(record.is_within for record in records)


def accuracy(records: Sequence[AccuracyRecord], pairs: Sequence[EquivalenceRecord]) -> None:
    """Mean and 95% interval over the seeds, then whether the frameworks are equivalent."""
    for record in records:
        measures = [f"{name.replace('_', ' ')} {interval(values)}" for name, values in record.measures.items()]
        line(f"[bold]{record.implementation}[/], {len(record.seeds)} seeds: " + "; ".join(measures))
        place = record.published
        line(
            f"  the published test accuracy {place.value}: {place.ends_below} of {place.ends} runs end below it, "
            f"{place.epochs_below} of all {place.epochs} epochs are"
        )
    for pair in pairs:
        line(
            f"{pair.a} - {pair.b}: {pair.measure.replace('_', ' ')} differs by {pair.difference:+.5f} "
            f"({pair.low:+.5f} to {pair.high:+.5f}), margin {pair.margin}: "
            + ("[green]equivalent[/]" if pair.equivalent else "[yellow]not shown to be equivalent[/]")
            + f" (p = {pair.p:.2g})"
        )


def interval(values: Interval) -> str:
    if values.deviation is None:
        return f"{values.mean:.4f}"
    return f"{values.mean:.4f} ({values.low:.4f} to {values.high:.4f}, sd {values.deviation:.4f})"


def throughput(records: Sequence[TrainingThroughput]) -> None:
    """A line a contestant, under a heading a clock."""
    for clock in dict.fromkeys(record.clock for record in records):
        of_clock = [record for record in records if record.clock == clock]
        heading = f"[bold]{clock.replace('_', ' ')}[/], against: {of_clock[0].against}"
        heading += f"; control {spread(of_clock[0].control)}"
        distances = distance_range(record.core_distance_ns for record in of_clock)
        if distances:
            heading += f"; cores {distances[0]:.0f} to {distances[1]:.0f} ns from each other and back"
        line(heading)
        for record in of_clock:
            line(
                f"  {escape(record.name)}: {record.examples_per_second:,.0f} examples/s, "
                f"ratio {spread(record.ratio)}, {record.decision}{aim(record)}{near(record)}; "
                f"by CPU time {record.cpu_ratio:.2f}, compile {record.compile_seconds:.1f} s, "
                f"{record.memory_mb:,.0f} MB, {record.limit_share:.0%} of the matmul rate"
            )


def aim(record: TrainingThroughput) -> str:
    if record.met is None:
        return ""
    return f", aim {record.aim} met" if record.met else f", [red]aim {record.aim} missed[/]"


def near(record: TrainingThroughput) -> str:
    """The ratio where cores were near, if they were not always."""
    if record.ratio_near is None or record.rounds_near == record.rounds:
        return ""
    return f"; {record.ratio_near.median:.2f} in the {record.rounds_near} rounds with near cores"


def spread(values: Spread) -> str:
    return f"{values.median:.2f} ({values.low:.2f} to {values.high:.2f})"
