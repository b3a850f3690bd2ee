"""How fast trainings are: a table a clock."""

from __future__ import annotations

from dataclasses import dataclass

from harness.record.kinds import Spread, TrainingThroughput, distance_range
from harness.record.read import Records


@dataclass(frozen=True)
class ThroughputTable:
    """The contestants of one clock; they ran in the same rounds, against the same baseline."""

    clock: str
    against: str
    control: Spread
    rounds: int
    matmul_flops: float
    core_distance: tuple[float, float] | None
    """The outermost quartiles, in ns; None where it was not measured."""
    rows: tuple[TrainingThroughput, ...]


def throughput_tables(records: Records) -> list[ThroughputTable]:
    by_clock: dict[str, list[TrainingThroughput]] = {}
    for record in records.throughput:
        by_clock.setdefault(record.clock, []).append(record)
    return [
        ThroughputTable(
            clock=clock.replace("_", " "),
            against=rows[0].against,
            control=rows[0].control,
            rounds=rows[0].rounds,
            matmul_flops=rows[0].matmul_flops,
            core_distance=distance_range(row.core_distance_ns for row in rows),
            rows=tuple(rows),
        )
        for clock, rows in by_clock.items()
    ]
