"""Suspects: one known mistake, or two of them stacked, that may explain what a target did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from harness.diagnose.envelopes import Envelope
from harness.diagnose.mistakes.known import KNOWN
from harness.diagnose.mistakes.replicas import of_replicas
from harness.diagnose.mistakes.transformed import of_transformation
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from harness.targets.replicas.targets import replicas_of
from harness.targets.through.names import split_through
from reference.conventions import Conventions


@dataclass(frozen=True)
class Suspect:
    """Classes to stack over the oracle, and the ids that they stand for."""

    ids: tuple[str, ...]
    classes: tuple[type[OracleLayer], ...]
    detail: str = ""
    envelope: Envelope | None = None
    """A mistake of rounding besides: the classes are compared within its bounds."""
    condition: str = ""
    """Where alone the mistake is made, in words; "" where it is made everywhere."""
    holds: Callable[[PlayedCase], bool] | None = None
    """Whether it is made in a case at all. None where the classes themselves know, or it is made in every case."""

    @cached_property
    def layer(self) -> type[OracleLayer]:
        """Raises TypeError where the classes cannot be stacked in this order."""
        return self.classes[0] if len(self.classes) == 1 else type("Stacked", self.classes, {})


def single_suspects(conventions: Conventions) -> list[Suspect]:
    """Every variant of every known mistake that can be made under these conventions."""
    applicable = [known for known in KNOWN if known.applies(conventions)]
    return [Suspect((known.id,), (variant,)) for known in applicable for variant in known.variants]


def replica_suspects(target: str) -> list[Suspect]:
    """What may go wrong between the replicas by which a target is played, as its name says."""
    replicas = replicas_of(target)
    return [Suspect((identity,), (layer,)) for identity, layer in of_replicas(replicas)] if replicas else []


def transformed_suspects(target: str) -> list[Suspect]:
    """What may go wrong in the transformation through which a target is played, as its name says."""
    of_name = of_transformation(split_through(target)[1])
    return [Suspect((identity,), (layer,), detail) for identity, layer, detail in of_name]


def stacked(a: Suspect, b: Suspect) -> Suspect | None:
    """Two mistakes at once. None where the two classes cannot be stacked.

    Gradients, listed last among the known mistakes, act on what the rest gives.
    """
    for classes in (b.classes + a.classes, a.classes + b.classes):
        both = Suspect(a.ids + b.ids, classes)
        try:
            both.layer  # noqa: B018 (that builds the class)
        except TypeError:
            continue
        return both
    return None


def simplest(explaining: list[Suspect], singles: Iterable[Suspect]) -> list[Suspect]:
    """What makes two mistakes at once, and so stands under two ids, gives way to what makes one of them."""
    times_listed = Counter(single.classes[0] for single in singles)
    return [s for s in explaining if all(times_listed[layer] == 1 for layer in s.classes)] or explaining
