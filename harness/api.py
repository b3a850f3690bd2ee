"""bnproof from Python. Installed, `bnproof.check` and `bnproof.probe` are these; in a checkout, `harness.api` has them.

>>> result = bnproof.check("torch.nn:BatchNorm2d", suite="quick")
>>> result.verdict
<TargetVerdict.agree: 'agree'>
>>> [finding.id for finding in bnproof.check(MyBatchNorm).diagnosis]
['momentum_inverted']
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from harness.cases.case import Case
from harness.cases.catalogue import BY_ID, suite
from harness.check import CheckOptions, check_target
from harness.errors import UsageError, did_you_mean
from harness.probe.probe import Probed
from harness.probe.probe import probe as probe_player
from harness.record.checked import checked_target
from harness.record.kinds import CheckedTarget
from harness.targets.device import on_device, split_device
from harness.targets.in_process import InProcessTarget
from harness.targets.isolate import CASE_SECONDS, IsolatedTarget
from harness.targets.launch import interpreter_of
from harness.targets.load import factory_of
from harness.targets.player import Player
from harness.targets.through.names import join_through
from harness.targets.through.through import ensure_known
from reference.conventions import conventions_from

SUITES = ("quick", "full")


def check(
    target: Any,
    *,
    suite: str = "full",
    cases: Sequence[str] = (),
    seed: int = 0,
    conventions: str | None = None,
    layer: str = "",
    device: str = "cpu",
    through: str = "",
    python: str | None = None,
    timeout: float = CASE_SECONDS,
) -> CheckedTarget:
    """Judge one batch norm: is it right, to how many ulps, and if not, which known mistake does it make?

    target: a name as on the command line ("torch-native", "module:attr", "./file.py:attr", "exec:COMMAND"), which is
    played in a process of its own, where a crash or a hang is a verdict; or an object (a class of the contract, a layer
    of torch, flax or Keras, a factory, a function), which is played in this process, where a crash is yours.
    suite: "quick" (seconds) or "full". cases: the ids of single cases instead, as `bnproof list` names them.
    seed: fixes every random number. conventions: the preset to judge by ("d2l", "torch", "flax", "keras", "onnx") in
    place of what the target declares, or shows. layer: where in `target`, a model, the layer is: "features.1".
    For names alone: device ("cpu" or "cuda"), through (a transformation: "compile"), python (the environment to play it
    in: a folder, or an interpreter) and timeout (seconds a case may take).

    Returns the target's record, the same as in `check --json`: `.verdict`, `.diagnosis` (findings: id, text, cases),
    `.notes`, `.conventions`, `.counts`, and `.cases`, one judgement a comparison, with `.error`, `.bound` and `.ratio`.
    A name that cannot be loaded has the verdict `not_loaded`, and `.error` says why.

    Raises UsageError (a ValueError) for a suite, case, preset or environment that there is not, and for an object that
    is no batch norm.
    """
    if conventions is not None:
        ensure_preset(conventions)
    options = CheckOptions(cases_named(cases, suite), seed, timeout, conventions)
    with contextlib.closing(player_of(target, layer, device, through, python, timeout)) as player:
        return checked_target(check_target(player, options))


def probe(target: Any, *, layer: str = "", python: str | None = None) -> Probed:
    """Infer the conventions of a batch norm from outside, whatever it declares. `target` as in `check`.

    Returns `.conventions`, the `.nearest` preset, what `.differs` from it, and what is `.observed` beyond.
    Raises UsageError where the target cannot be loaded.
    """
    with contextlib.closing(player_of(target, layer, python=python)) as player:
        player.describe()
        return probe_player(player)


def player_of(
    target: Any,
    layer: str = "",
    device: str = "cpu",
    through: str = "",
    python: str | None = None,
    timeout: float = CASE_SECONDS,
) -> Player:
    """What plays it: a process of its own for a name, this process for an object."""
    if isinstance(target, str):
        if through:
            ensure_known(through)
        name = join_through(on_device(*split_device(target, device)), through)
        return IsolatedTarget(name, timeout, layer, python=interpreter_of(python) if python else None)
    if python or through or device != "cpu":
        raise UsageError("an object is played in this process, as it is: name the target to say where or through what")
    name = getattr(target, "__name__", type(target).__name__)
    return InProcessTarget(factory_of(target, name, layer))


def cases_named(ids: Sequence[str], suite_name: str) -> tuple[Case, ...]:
    """The cases of these ids, or else of a suite. Raises UsageError for what is not there, with the nearest."""
    if suite_name not in SUITES:
        raise UsageError(f"unknown suite {suite_name!r}: {' or '.join(SUITES)}")
    for case_id in ids:
        if case_id not in BY_ID:
            raise UsageError(f"unknown case {case_id!r}: {did_you_mean(case_id, BY_ID)}`bnproof list` names them all")
    return tuple(BY_ID[case_id] for case_id in ids) or suite(suite_name)


def ensure_preset(name: str) -> None:
    """Raises UsageError for a preset that there is not."""
    try:
        conventions_from(name)
    except ValueError as error:
        raise UsageError(str(error)) from None
