"""What a ledger's records hold: a type for every kind. Field names are those of the JSON.

The types of what is measured belong to the rooms that measure it; here are those that only a record has. Reports take
all of them, and the vocabulary of verdicts, from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from harness.bench.results import LayerThroughput, Spread, SuiteTiming, TrainingThroughput, distance_range
from harness.findings import Finding, Note
from harness.judge.judgement import FAULTS, SEVERITY, Judgement, Kind, Reason, Verdict
from harness.judge.pair import PAIR_SEVERITY, Pair, PairVerdict
from harness.record.environment import Environment
from harness.train.results import (
    AccuracyRecord,
    EpochRecord,
    EquivalenceRecord,
    LockstepRecord,
    PublishedFigures,
    TrainingResult,
)
from reference.conventions import Conventions

__all__ = [
    "FAULTS",
    "KINDS",
    "PAIR_SEVERITY",
    "SEVERITY",
    "AccuracyRecord",
    "CellRecord",
    "CheckedTarget",
    "ComparisonRecord",
    "Conventions",
    "Environment",
    "EpochRecord",
    "EquivalenceRecord",
    "Finding",
    "Footer",
    "Header",
    "JudgedConventions",
    "Judgement",
    "Kind",
    "LayerThroughput",
    "LibraryFinding",
    "LockstepRecord",
    "NotInstalled",
    "Note",
    "OverallPair",
    "Pair",
    "PairVerdict",
    "PublishedFigures",
    "Reason",
    "ReleaseRecord",
    "Spread",
    "SuiteTiming",
    "TargetRecord",
    "TargetVerdict",
    "TrainingResult",
    "TrainingThroughput",
    "Verdict",
    "distance_range",
]  # fmt: skip


class TargetVerdict(StrEnum):
    """A target's verdict: one of `Verdict`, or that it could not be loaded or installed."""

    agree = "agree"
    differ = "differ"
    raised = "raised"
    inconclusive = "inconclusive"
    unsupported = "unsupported"
    crashed = "crashed"
    timed_out = "timed_out"
    not_run = "not_run"
    noted = "noted"
    known = "known"
    not_loaded = "not_loaded"
    not_installable = "not_installable"


@dataclass(frozen=True)
class Header:
    """The first record of a ledger. What is absent from the matrix's has a default."""

    schema: str
    made: str
    """When the run began, in ISO 8601."""
    seed: int
    suite: str
    environment: Environment
    data: str = ""
    """Which data set the trainings used."""
    is_sample: bool = False
    own: tuple[str, ...] = ()
    """The names of our own targets."""
    published: PublishedFigures | None = None


@dataclass(frozen=True)
class NotInstalled:
    """A built-in target that could not be checked here."""

    target: str
    install: str
    """The command that installs it."""
    reason: str = ""
    """Why it could not be installed."""


@dataclass(frozen=True)
class JudgedConventions(Conventions):
    """The conventions that a target was judged by."""

    source: str
    """Where they come from: "declared", "probed" or "--as PRESET"."""


@dataclass(frozen=True)
class TargetRecord:
    """One target, without its comparisons. Those of the matrix have defaults."""

    target: str
    conventions: JudgedConventions | None
    verdict: TargetVerdict
    error: str | None
    """Why it could not be loaded."""
    versions: dict[str, str]
    counts: dict[str, int]
    """How many comparisons have each verdict."""
    diagnosis: tuple[Finding, ...]
    notes: tuple[Note, ...]
    basis: str = ""
    """By what the verdict was reached, where the target declares no conventions itself."""
    not_judged: str = ""
    """What the target did not give, so that it was not judged."""
    what: str = ""
    """What the built-in target is, in a few words."""
    probed: Conventions | None = None
    """The conventions as they show from outside."""
    unseen: tuple[str, ...] = ()
    """Which of `probed` could not be seen."""
    observed: dict[str, str] | None = None
    """Behaviour beyond the conventions: how the variance is computed, in which dtype sums are accumulated."""
    seconds: float | None = None
    device: str | None = None
    """Where it computed: "cpu", or "cuda:0 NAME"; None where that was not recorded."""
    summation: str | None = None
    """How it says that it sums: "any", "pairwise" or "wide"."""
    language: str = ""
    """What plays it is written in that: "Python 3.13.1"."""
    library: str = ""
    """Whose a built-in target is, as pip or npm names it."""
    through: str | None = None
    """The transformation that it was played through, which `target` names as well; None: as it is."""


@dataclass(frozen=True)
class JudgementOn(Judgement):
    """A judgement, and the device that it holds for."""

    device: str | None = None


@dataclass(frozen=True)
class CheckedTarget(TargetRecord):
    """One target in `check --json`: with its comparisons."""

    cases: tuple[JudgementOn, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ComparisonRecord(JudgementOn):
    """One comparison of one target."""

    target: str
    reason: Reason | None = None  # type: ignore[assignment]
    """None in ledgers from before there were reasons."""


@dataclass(frozen=True)
class OverallPair:
    """Two targets over all observables and dtypes: the matrix's record of a pair."""

    a: str
    b: str
    verdict: PairVerdict
    declared_by: tuple[str, ...]
    ratio: float | None
    where: str | None
    """The observable, dtype and case of the ratio."""


@dataclass(frozen=True)
class CellRecord:
    """The worst law comparison of a target in one dtype, mode and observable."""

    target: str
    dtype: str
    observable: str
    """As a column is headed: "y" in training, "eval y" in prediction."""
    verdict: Verdict
    case: str
    step: int | None
    error: float | None
    bound: float | None
    ratio: float | None
    message: str | None


@dataclass(frozen=True)
class LibraryFinding:
    """A fault of a library, shown by a snippet that runs without bnproof."""

    file: str
    targets: tuple[str, ...]
    title: str
    documented: str
    """Whether and where the library says so."""
    code: str
    output: tuple[str, ...]
    reproduced: bool
    """Whether the snippet, run on this machine, printed what it claims."""


@dataclass(frozen=True)
class ReleaseRecord:
    """A built-in target under one release of its library."""

    library: str
    """As pip names it."""
    version: str
    uploaded: str
    """The day of the release, an ISO date; empty where it is unknown."""
    target: str = ""
    verdict: TargetVerdict = TargetVerdict.not_run
    reason: str = ""
    """Why it could not be installed or loaded."""
    python: str = ""
    """The version of Python that it ran on."""
    versions: dict[str, str] = field(default_factory=dict)
    """All that was installed with it."""
    diagnosis: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Footer:
    """The last record of a whole ledger."""

    counts: dict[str, int]
    """How many records of each kind there are, header and footer apart."""


KINDS: dict[str, tuple[type, ...]] = {
    "header": (Header,),
    "not_installed": (NotInstalled,),
    "target": (TargetRecord,),
    "comparison": (ComparisonRecord,),
    "pair": (Pair, OverallPair),
    "lockstep": (LockstepRecord,),
    "training": (TrainingResult,),
    "accuracy": (AccuracyRecord,),
    "equivalence": (EquivalenceRecord,),
    "throughput": (TrainingThroughput, LayerThroughput, SuiteTiming),
    "cell": (CellRecord,),
    "finding": (LibraryFinding,),
    "release": (ReleaseRecord,),
    "footer": (Footer,),
}
"""What a record of each kind is; where there are several types, `harness.record.read` tells them apart."""
