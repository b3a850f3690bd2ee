"""What a player in Python answers, as JSON."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any

from harness.targets.player import Description, Observation, StepResult
from harness.targets.wire.arrays import to_wire
from harness.targets.wire.request import VERSION


def started(description: Description, name: str, language: str) -> dict[str, Any]:
    """The first answer. Raises TypeError or ValueError where a target declares what cannot be sent."""
    implementation = {
        "name": name,
        "language": language,
        "device": description.device,
        "conventions": _conventions(description.conventions),
        "dtypes": list(description.dtypes),
        "ranks": [int(rank) for rank in description.ranks],
        "methods": list(description.methods),
        "versions": description.versions,
        "adapter": description.adapter,
        "declared": list(description.declared),
        "framework": description.framework,
        "inherits": description.inherits,
        "options": list(description.options),
        "summation": description.summation,
        "folded": description.folded,
        "rescaled": description.rescaled,
        "repeats": True,
    }
    return {"ok": True, "wire": VERSION, "implementation": implementation}


def _conventions(declared: Any) -> Any:
    if is_dataclass(declared) and not isinstance(declared, type):
        return asdict(declared)
    return declared


def played(observation: Observation) -> dict[str, Any]:
    """The steps of an observation, and what is said of all of them."""
    answer: dict[str, Any] = {"steps": [_step(step) for step in observation.steps]}
    if observation.build_error:
        answer["error"] = str(observation.build_error)
    if observation.build_unsupported is not None:
        answer["unsupported"] = observation.build_unsupported
    if observation.overwritten:
        answer["overwritten"] = list(observation.overwritten)
    return answer


def _step(step: StepResult) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if step.error:
        written["error"] = str(step.error)
    elif step.unsupported is not None:
        written["unsupported"] = step.unsupported
    else:
        written["values"] = {name: to_wire(value) for name, value in step.values.items()}
    if step.mutated:
        written["mutated"] = list(step.mutated)
    if step.malformed:
        written["malformed"] = {"error": step.malformed.error.value, "message": step.malformed.message}
    if step.replicas_disagree:
        written["replicas_disagree"] = step.replicas_disagree
    return written
