"""Every combination of conventions as a hypothesis: the one with the fewest judgements against it fits best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from harness.cases.case import Case, Script
from harness.cases.catalogue import BY_ID
from harness.judge.expected import Expected
from harness.judge.judge import judge
from harness.judge.kept_expected import kept_expected
from harness.judge.oracle import NoOracleError
from harness.targets.player import Observation, Player
from reference.conventions import Conventions

MOMENTUM = 0.125
SEED = 0
PROBING_CASES = ("rank4", "rank2", "two_values", "five_steps", "small_variance")
FIELDS: dict[str, tuple[str | bool, ...]] = {
    "debias": (False, True),
    "eps_at": ("inside_sqrt", "outside_sqrt"),
    "moving_var": ("biased", "unbiased"),
    "momentum": ("keep", "new"),
}
"""The fields that are varied and their values, the usual first: of hypotheses that fit alike the first is taken."""


@dataclass(frozen=True)
class ProbingPlay:
    """A case as it was played under no conventions at all."""

    case: Case
    script: Script
    observation: Observation


@dataclass(frozen=True)
class Fit:
    """The hypothesis that fits best, the fields in which others fit as well, and how many judgements count against."""

    conventions: Conventions
    unseen: tuple[str, ...]
    misses: int


def play_probing_cases(player: Player, dtype: str, channel_axis: int, ranks: tuple[int, ...]) -> list[ProbingPlay]:
    """What the target does in the cases that show its conventions; those in which it dies are left out."""
    plays = []
    for case in (BY_ID[identity] for identity in PROBING_CASES):
        if case.ndim in ranks:
            script = probing_script(case.id, dtype)
            answer = player.play(script, channel_axis)
            if isinstance(answer, Observation):
                plays.append(ProbingPlay(case, script, answer))
    return plays


@lru_cache(8 * len(PROBING_CASES))
def probing_script(case_id: str, dtype: str) -> Script:
    """The same for every target, so that what is expected of it is worth keeping."""
    return BY_ID[case_id].make(dtype, SEED, MOMENTUM)


@lru_cache(512)
def expected_of(script: Script, conventions: Conventions) -> list[Expected]:
    """Of 16 hypotheses about five cases: for three such bases in two dtypes. Raises NoOracleError.

    Kept on the disk as that of a suite is: it is most of what probing takes.
    """
    return kept_expected(script, conventions)


def best_fit(base: Conventions, plays: list[ProbingPlay]) -> Fit:
    """The best of all combinations of FIELDS; the rest is `base`'s."""
    combinations = [dict(zip(FIELDS, values, strict=True)) for values in product(*FIELDS.values())]
    hypotheses = [replace(base, **combination) for combination in combinations]  # type: ignore[arg-type]
    misses = {hypothesis: _misses(hypothesis, plays) for hypothesis in hypotheses}
    best = min(hypotheses, key=lambda hypothesis: misses[hypothesis])
    equals = [hypothesis for hypothesis in hypotheses if misses[hypothesis] == misses[best]]
    unseen = tuple(name for name in FIELDS if len({getattr(hypothesis, name) for hypothesis in equals}) > 1)
    return Fit(best, unseen, misses[best])


def _misses(conventions: Conventions, plays: list[ProbingPlay]) -> int:
    """How many law judgements count against a hypothesis."""
    misses = 0
    for play in plays:
        try:
            expected = expected_of(play.script, replace(conventions, channel_axis=1))  # which a script always has
        except NoOracleError:
            continue
        judgements = judge(play.case, play.script, expected, play.observation)
        misses += sum(judgement.counts_against for judgement in judgements)
    return misses
