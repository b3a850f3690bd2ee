"""What the commands write with `--json`: a type for each. Field names are those of the JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from harness.bench.results import LayerThroughput, Round, SuiteTiming, TrainingThroughput
from harness.findings import Note
from harness.record.environment import Environment
from harness.record.kinds import CheckedTarget, JudgedConventions, ReleaseRecord, TargetVerdict
from harness.train.results import AccuracyRecord, EquivalenceRecord, LockstepRecord, TrainingResult


@dataclass(frozen=True)
class ComparedResults:
    """A target and its model in one dtype and observable. `right`: which of the two is within its own bound."""

    dtype: str
    column: str
    compared: int
    ratio: float
    apart: float
    a_off: float
    b_off: float
    case: str
    right: str


@dataclass(frozen=True)
class SameAs:
    """What `--same-as MODEL` found, by target."""

    model: str
    targets: dict[str, tuple[ComparedResults, ...]]


@dataclass(frozen=True)
class CheckOutput:
    """`bnproof check --json`"""

    schema: str
    environment: Environment
    targets: tuple[CheckedTarget, ...]
    same_as: SameAs | None = None


@dataclass(frozen=True)
class ProbeOutput:
    """`bnproof probe --json`"""

    schema: str
    target: str
    conventions: JudgedConventions
    nearest: str
    differs: tuple[str, ...]
    unseen: tuple[str, ...]
    observed: dict[str, str]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class HistoryOutput:
    """`bnproof history --json`"""

    schema: str
    environment: Environment
    releases: tuple[ReleaseRecord, ...]


TranslateOutput = TypedDict(
    "TranslateOutput",
    {"schema": str, "from": str, "to": str, "arguments": dict[str, float], "call": str, "cannot": tuple[str, ...]},
)
"""`bnproof translate --json`: no dataclass can have a field that is called "from"."""


@dataclass(frozen=True)
class LockstepOutput:
    """`bnproof lockstep --json`"""

    schema: str
    environment: Environment
    lockstep: tuple[LockstepRecord, ...]


@dataclass(frozen=True)
class TrainOutput:
    """`bnproof train --json`; the last two with several seeds."""

    schema: str
    environment: Environment
    data: str
    trainings: tuple[TrainingResult, ...]
    accuracy: tuple[AccuracyRecord, ...] = ()
    equivalence: tuple[EquivalenceRecord, ...] = ()


@dataclass(frozen=True)
class BenchTrainingOutput:
    """`bnproof bench training --json`"""

    schema: str
    environment: Environment
    records: tuple[TrainingThroughput, ...]
    rounds: dict[str, tuple[Round, ...]]
    """Every round of every contestant."""


@dataclass(frozen=True)
class BenchLayerOutput:
    """`bnproof bench layer --json`"""

    schema: str
    environment: Environment
    records: tuple[LayerThroughput, ...]


@dataclass(frozen=True)
class BenchSuiteOutput:
    """`bnproof bench suite --json`"""

    schema: str
    environment: Environment
    records: tuple[SuiteTiming, ...]


@dataclass(frozen=True)
class ListedTarget:
    target: str
    what: str
    installed: bool
    install: str
    """The command that installs it."""


@dataclass(frozen=True)
class ListedCase:
    case: str
    why: str
    source: str
    traps: tuple[str, ...]
    """The ids of the known traps that it shows."""
    separates: tuple[str, ...]
    """The mistakes that it shows."""
    shape: tuple[int, ...]
    dtypes: tuple[str, ...]
    policy: bool
    """Whether all of it is policy."""
    quick: bool
    """Whether it is in the quick suite."""


@dataclass(frozen=True)
class ListedTransformation:
    transformation: str
    framework: str
    """Whose layers it transforms."""
    what: str
    keeps: tuple[str, ...]
    """What is judged through it: some of training, prediction, gradients, statistics."""
    needs: tuple[str, ...]
    """Modules and programs besides the framework."""
    lacks: str
    """Why something is not judged."""
    source: str


@dataclass(frozen=True)
class ListOutput:
    """`bnproof list --json`"""

    targets: tuple[ListedTarget, ...]
    cases: tuple[ListedCase, ...]
    transformations: tuple[ListedTransformation, ...] = ()


@dataclass(frozen=True)
class ComparedTarget:
    """One target before and after."""

    target: str
    change: str
    """ "worse", "better", "other" or "none" """
    before: TargetVerdict | None
    """None where the older file does not hold it."""
    after: TargetVerdict | None
    ratio_before: float | None
    """The largest error/bound."""
    ratio_after: float | None
    versions: tuple[str, ...]
    """The packages whose versions changed: "torch 2.9 → 2.10"."""
    new_mistakes: tuple[str, ...]
    gone_mistakes: tuple[str, ...]
    new_notes: tuple[str, ...]
    gone_notes: tuple[str, ...]
    details: tuple[str, ...]
    """What changed, in words."""


@dataclass(frozen=True)
class CompareOutput:
    """`bnproof compare --json`"""

    schema: str
    sentence: str
    worse: bool
    """Whether any target is worse: then the exit status is 1."""
    targets: tuple[ComparedTarget, ...]


OUTPUTS: tuple[type, ...] = (
    CheckOutput,
    CompareOutput,
    HistoryOutput,
    ProbeOutput,
    TranslateOutput,
    LockstepOutput,
    TrainOutput,
    BenchTrainingOutput,
    BenchLayerOutput,
    BenchSuiteOutput,
    ListOutput,
)
