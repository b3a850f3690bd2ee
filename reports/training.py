"""Trainings: the rows of their tables, and whether each lands where a correct run must."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.kinds import Header, TrainingResult
from harness.record.read import Records

LAST_EPOCH = 10
"""The published figures and the ranges are those of this epoch."""
RANGED = ("loss", "train_accuracy")
"""The measures that a range is known for."""


@dataclass(frozen=True)
class TrainingRow:
    """One training. None where its ranges do not apply: another number of epochs, or other data."""

    run: TrainingResult
    loss_in_range: bool | None
    train_accuracy_in_range: bool | None

    @property
    def in_range(self) -> bool | None:
        return None if self.loss_in_range is None else bool(self.loss_in_range and self.train_accuracy_in_range)

    @property
    def out_of_range(self) -> list[str]:
        """The measures that are outside."""
        judged = {"loss": self.loss_in_range, "train accuracy": self.train_accuracy_in_range}
        return [name for name, inside in judged.items() if inside is False]


def training_rows(records: Records) -> list[TrainingRow]:
    return [_row(run, records.header) for run in records.trainings]


def _row(run: TrainingResult, header: Header) -> TrainingRow:
    published = header.published
    if published is None or run.epochs != LAST_EPOCH or header.is_sample or run.is_sample:
        return TrainingRow(run, None, None)
    loss, accuracy = published.loss_range, published.train_accuracy_range
    return TrainingRow(run, loss[0] <= run.loss <= loss[1], accuracy[0] <= run.train_accuracy <= accuracy[1])


def first_seeds(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Of each implementation the training with the lowest seed."""
    first: dict[str, TrainingRow] = {}
    for row in sorted(rows, key=lambda row: row.run.seed):
        first.setdefault(row.run.implementation, row)
    return [row for row in rows if row is first[row.run.implementation]]
