"""Everything that the report's templates show, from a ledger's records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.kinds import (
    Environment,
    Header,
    LayerThroughput,
    NotInstalled,
    PublishedFigures,
    SuiteTiming,
    TargetRecord,
)
from harness.record.read import Records
from reports.agreement import Matrix, agreement, own_first
from reports.companion import CaseText, Companion
from reports.curves import implementations
from reports.findings import TargetFindings, findings
from reports.headline import Headline, headline, others
from reports.heat import CaseChoices, HeatMap, case_choices, heat_map
from reports.history import LibraryHistory
from reports.key_figures import KeyFigure, key_figures
from reports.lockstep import Growth, Ladder, LockstepRow, growth, ladder, lockstep_rows
from reports.pairs import ConventionsTable, Triangle, conventions, triangles
from reports.panels import PanelRow, panels
from reports.parameters import ParameterPanel, parameter_panels
from reports.seeds import OverSeeds, over_seeds
from reports.throughput import ThroughputTable, throughput_tables
from reports.training import LAST_EPOCH, TrainingRow, first_seeds, training_rows


@dataclass(frozen=True)
class ReportView:
    finished: bool
    """False while the run goes on: what is absent is then still to come."""
    header: Header
    environment: Environment
    published: PublishedFigures
    own: tuple[str, ...]
    targets: Sequence[TargetRecord]
    verdicts: Sequence[str]
    headline: Headline
    figures: Sequence[KeyFigure]
    others: str
    matrices: Sequence[Matrix]
    not_installed: Sequence[NotInstalled]
    findings: Sequence[TargetFindings]
    quiet: Sequence[str]
    """The targets of which there is nothing to say."""
    pairs: Sequence[Triangle]
    conventions: ConventionsTable
    lockstep: Sequence[LockstepRow]
    ladder: Ladder | None
    growth: Sequence[Growth]
    seeds: OverSeeds
    throughput: Sequence[ThroughputTable]
    layers: Sequence[LayerThroughput]
    suites: Sequence[SuiteTiming]
    trainings: Sequence[TrainingRow]
    first_seeds: Sequence[TrainingRow]
    """Of each implementation the training with the lowest seed."""
    several_seeds: bool
    names: Sequence[str]
    devices: Sequence[str]
    panels: Sequence[PanelRow]
    parameters: Sequence[tuple[str, Sequence[ParameterPanel]]]
    heat: HeatMap
    changes: Sequence[TargetFindings]
    """The targets that differ, with what to change."""
    cases: Sequence[CaseText]
    """What the cases are, in the order in which they were played."""
    choices: CaseChoices
    histories: Sequence[LibraryHistory]
    agree_of_all: int
    """How many comparisons of our own agree, of law and policy together."""
    range_epochs: int
    is_short: bool
    """Whether a training has another number of epochs than the published figures."""
    is_sample: bool
    channels: int
    """Of the first batch-norm layer."""


def report_view(
    records: Records,
    published: PublishedFigures,
    finished: bool,
    companion: Companion | None = None,
    histories: Sequence[LibraryHistory] = (),
) -> ReportView:
    companion = companion or Companion()
    matrices, targets = agreement(records), own_first(records)
    rows, trainings = lockstep_rows(records.lockstep), training_rows(records)
    with_findings = findings(records, companion)
    heat = heat_map(records)
    loud = {row.target for row in with_findings}
    runs = records.trainings
    return ReportView(
        finished=finished,
        header=records.header,
        environment=records.header.environment,
        published=published,
        own=records.header.own,
        targets=targets,
        verdicts=list(dict.fromkeys(name for target in targets for name in target.counts)),
        headline=headline(records, rows, trainings, finished),
        figures=key_figures(records, matrices, rows, trainings),
        others=others(records),
        matrices=matrices,
        not_installed=records.not_installed,
        findings=with_findings,
        quiet=[target.target for target in targets if target.target not in loud],
        pairs=triangles(records),
        conventions=conventions(records),
        lockstep=rows,
        ladder=ladder(records.lockstep),
        growth=growth(records.lockstep),
        seeds=over_seeds(records),
        throughput=throughput_tables(records),
        layers=records.layers,
        suites=records.suites,
        trainings=trainings,
        first_seeds=first_seeds(trainings),
        several_seeds=len(first_seeds(trainings)) < len(trainings),
        names=implementations(runs),
        devices=list(dict.fromkeys(run.device for run in runs)),
        panels=panels(runs, published),
        parameters=parameter_panels(runs, published),
        heat=heat,
        changes=[row for row in with_findings if row.error or row.failures],
        cases=[companion.cases[row.case] for row in heat.rows if row.case in companion.cases],
        choices=case_choices(heat, companion.cases),
        histories=histories,
        agree_of_all=sum(target.counts.get("agree", 0) for target in targets if target.target in records.header.own),
        range_epochs=LAST_EPOCH,
        is_short=any(run.epochs != LAST_EPOCH for run in runs),
        is_sample=records.header.is_sample or any(run.is_sample for run in runs),
        channels=max([len(published.gamma), *(len(run.gamma) for run in runs)]),
    )
