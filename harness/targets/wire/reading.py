"""What a player answers, read with suspicion: whatever comes is a result, or a WireError that says what is wrong."""

from __future__ import annotations

import json
import re
from typing import Any

from harness.cases.script import DEFAULT_DTYPES, DTYPES, OPTIONS, Script, Step
from harness.observables import OBSERVABLES as TABLE
from harness.observables import STATISTICS, returned_by
from harness.targets.device import CPU
from harness.targets.player import (
    ALL_RANKS,
    Description,
    Failure,
    FormError,
    Malformed,
    Observation,
    Repeated,
    StepResult,
)
from harness.targets.wire.arrays import WireError, from_wire, shown
from harness.targets.wire.request import VERSION
from reference.summation_error import SUMMATIONS

LONGEST_MESSAGE = 500
MOST_NOTES = 20
OBSERVABLES = tuple(TABLE)
OUTCOMES = ("values", "error", "unsupported")
KIND = re.compile(r"(\w+)(?:: |$)")
"""The type of an exception before its message."""


def answer_from(line: bytes) -> dict[str, Any]:
    """The JSON object of a line. Raises WireError."""
    try:
        answer = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise WireError(f"it is not UTF-8: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise WireError(f"it is no JSON ({error}): {shown(line[:60].decode('utf-8', 'replace'))}") from None
    if not isinstance(answer, dict):
        raise WireError(f"expected a JSON object, got {shown(answer)}")
    return answer


# --- the first answer ---


def description_from(answer: dict[str, Any], device: str) -> Description:
    """Raises WireError. What the conventions are is for others to say."""
    version = answer.get("wire", VERSION)
    if version != VERSION or type(version) is not int:
        raise WireError(f"it speaks version {shown(version)} of the wire; this bnproof speaks {VERSION}")
    implementation = answer.get("implementation", {})
    if not isinstance(implementation, dict):
        raise WireError(f"implementation: expected an object, got {shown(implementation)}")
    fields = _Fields(implementation, "implementation")
    computes_on = fields.text("device", CPU)
    if not computes_on.startswith(device):
        raise WireError(f"implementation.device: {device} was asked for; it computes on {shown(computes_on)}")
    return Description(
        conventions=implementation.get("conventions"),
        dtypes=fields.texts("dtypes", DEFAULT_DTYPES, DTYPES),
        ranks=_ranks(implementation.get("ranks", [*ALL_RANKS])),
        methods=fields.texts("methods", ()),
        versions=_versions(fields),
        adapter=fields.text("adapter"),
        declared=fields.texts("declared", ()),
        framework=fields.text("framework"),
        inherits=fields.text("inherits"),
        device=computes_on,
        options=fields.texts("options", (), OPTIONS),
        summation=fields.choice("summation", SUMMATIONS),
        folded=fields.flag("folded"),
        rescaled=fields.flag("rescaled"),
        language=fields.text("language"),
    )


class _Fields:
    """The fields of an object that may be absent, each with the type that it must have."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def text(self, name: str, absent: str = "") -> str:
        value = self.values.get(name)
        if value is None:
            return absent
        if not isinstance(value, str):
            raise WireError(f"{self.where}.{name}: expected a string, got {shown(value)}")
        return one_line(value)

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise WireError(f"{self.where}.{name}: expected true or false, got {shown(value)}")
        return bool(value)

    def choice(self, name: str, among: tuple[str, ...]) -> str:
        value = self.text(name, among[0])
        if value not in among:
            raise WireError(f"{self.where}.{name}: expected one of {', '.join(among)}; got {shown(value)}")
        return value

    def texts(self, name: str, absent: tuple[str, ...], among: tuple[str, ...] = ()) -> tuple[str, ...]:
        values = self.values.get(name)
        if values is None:
            return absent
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise WireError(f"{self.where}.{name}: expected a list of strings, got {shown(values)}")
        for value in values:
            if among and value not in among:
                raise WireError(f"{self.where}.{name}: expected some of {', '.join(among)}; got {shown(value)}")
        return tuple(map(one_line, dict.fromkeys(values)))


def _ranks(ranks: Any) -> tuple[int, ...]:
    if not isinstance(ranks, list) or not all(type(rank) is int for rank in ranks):
        raise WireError(f"implementation.ranks: expected a list such as [2, 4], got {shown(ranks)}")
    return tuple(ranks)


def _versions(fields: _Fields) -> dict[str, str]:
    versions = fields.values.get("versions") or {}
    if not isinstance(versions, dict) or not all(isinstance(version, str) for version in versions.values()):
        raise WireError(f"{fields.where}.versions: expected an object of strings, got {shown(versions)}")
    name, version = fields.text("name"), fields.text("version")
    named = {name: version} if name and version else {}
    return named | {one_line(name): one_line(version) for name, version in versions.items()}


# --- an answer to a script ---


def observation_from(answer: dict[str, Any], script: Script) -> Observation:
    """What the steps gave, up to the first that failed. Raises WireError."""
    observation = Observation()
    if answer.get("error") is not None:
        observation.build_error = _failure(answer, "the answer")
        return observation
    if answer.get("unsupported") is not None:
        observation.build_unsupported = _Fields(answer, "the answer").text("unsupported")
        return observation
    steps = answer.get("steps")
    if not isinstance(steps, list):
        raise WireError(f"steps: expected a list, got {shown(steps)}")
    if len(steps) > len(script.steps):
        raise WireError(f"steps: {len(steps)} of them; {len(script.steps)} were asked for")
    for number, (written, step) in enumerate(zip(steps, script.steps, strict=False)):
        result = _step_result(written, step, f"steps[{number}]")
        observation.steps.append(result)
        if result.error or result.unsupported is not None:
            break
    else:
        if len(steps) < len(script.steps):
            raise WireError(f"steps: {len(steps)} of them, without an error; {len(script.steps)} were asked for")
    observation.overwritten = _Fields(answer, "the answer").texts("overwritten", (), OBSERVABLES)
    return observation


def repeated_from(answer: dict[str, Any], scripts: list[Script]) -> Repeated:
    """What a player that repeats scripts itself says of them. Raises WireError."""
    plays, given = answer.get("plays"), answer.get("given")
    if type(plays) is not int or plays < 1:
        raise WireError(f"plays: expected a number from 1 on, got {shown(plays)}")
    if not isinstance(given, list) or not given or len(given) > len(scripts) + 1:
        raise WireError(f"given: expected a list of 1 to {len(scripts) + 1}, got {shown(given)}")
    observations = []
    for pair in given:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict)):
            raise WireError(f"given: expected pairs of a number and an answer, got {shown(pair)}")
        number, content = pair
        if type(number) is not int or not 0 <= number < len(scripts):
            raise WireError(f"given: script {shown(number)} of {len(scripts)}")
        observations.append((number, observation_from(content, scripts[number])))
    return Repeated(plays, tuple(observations))


def _step_result(written: Any, step: Step, where: str) -> StepResult:
    if not isinstance(written, dict):
        raise WireError(f"{where}: expected an object with one of {', '.join(OUTCOMES)}; got {shown(written)}")
    if all(written.get(outcome) is None for outcome in OUTCOMES):
        raise WireError(f"{where}: none of {', '.join(OUTCOMES)}; it has {shown([*written])}")
    fields = _Fields(written, where)
    result = StepResult(step.op, step.session)
    result.mutated = fields.texts("mutated", (), ("x", "dy"))
    if written.get("error") is not None:
        result.error = _failure(written, where)
        return result
    if written.get("unsupported") is not None:
        result.unsupported = fields.text("unsupported")
        return result
    values = written["values"]
    if not isinstance(values, dict):
        raise WireError(f"{where}.values: expected an object of arrays, got {shown(values)}")
    names = (*returned_by(step.op), *STATISTICS)
    known = {name: value for name, value in values.items() if name in names and value is not None}
    result.values = {name: from_wire(value, f"{where}.values.{name}") for name, value in known.items()}
    result.replicas_disagree = fields.text("replicas_disagree")
    result.malformed = _malformed(written.get("malformed"), [*values], names, where)
    return result


def _malformed(written: Any, given: list[str], names: tuple[str, ...], where: str) -> Malformed | None:
    if written is not None:
        if not isinstance(written, dict):
            raise WireError(f"{where}.malformed: expected an object, got {shown(written)}")
        fields = _Fields(written, f"{where}.malformed")
        return Malformed(FormError(fields.choice("error", tuple(FormError))), fields.text("message"))
    unknown = [name for name in given if name not in names]
    if not unknown:
        return None
    message = f"unknown name {shown(unknown[0])}: expected names among {', '.join(names)}"
    return Malformed(FormError.unknown_name, message)


def _failure(written: dict[str, Any], where: str) -> Failure:
    """ "ValueError: too few" -> its kind and its message. Where it names no kind, all is the kind."""
    text = _Fields(written, where).text("error")
    kind = KIND.match(text)
    return Failure(kind[1], text[kind.end() :]) if kind else Failure(text or "an error", "")


def notes_from(answer: dict[str, Any]) -> dict[str, str]:
    """Note id -> text. Raises WireError."""
    notes = answer.get("notes") or {}
    if not isinstance(notes, dict) or not all(isinstance(text, str) for text in notes.values()):
        raise WireError(f"notes: expected an object of strings, got {shown(notes)}")
    if len(notes) > MOST_NOTES:
        raise WireError(f"notes: {len(notes)} of them; at most {MOST_NOTES}")
    return {one_line(id): one_line(text) for id, text in notes.items()}


def one_line(text: str) -> str:
    return " ".join(text[: 4 * LONGEST_MESSAGE].split())[:LONGEST_MESSAGE]
