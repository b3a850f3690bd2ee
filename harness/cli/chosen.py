"""What a check is asked to play: its targets and its cases, looked at before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cli.replicas import over_replicas

if TYPE_CHECKING:
    from harness.cases.case import Case
    from harness.cli.request import CheckRequest


def targets_to_play(request: CheckRequest) -> tuple[str, ...]:
    """The targets on their devices, each through every transformation that was asked for. Raises UsageError."""
    from harness.targets.device import targets_on
    from harness.targets.through.names import join_through, split_through
    from harness.targets.through.through import ensure_known

    named = [split_through(target) for target in request.targets]
    for transformation in (*request.through, *(given for _, given in named if given)):
        ensure_known(transformation)
    targets = targets_on(request.device, tuple(target for target, _ in named))
    ensure_transformable(targets, request.through)
    targets = over_replicas(targets, request.replicas, request.shards)
    return tuple(
        join_through(target, transformation)
        for target, (_, given) in zip(targets, named, strict=True)
        for transformation in ((given,) if given else request.through or ("",))
    )


def ensure_transformable(targets: tuple[str, ...], through: tuple[str, ...]) -> None:
    """Raises UsageError for a program in another language, whose layers are out of reach."""
    from harness.errors import UsageError
    from harness.targets.launch import Launch

    for target in targets:
        if through and Launch(target).is_program:
            raise UsageError(f"target {target!r} is a program: --through is for layers of Python's frameworks")


def shown_name(target: str, layer: str) -> str:
    """A target's name in its report."""
    from harness.targets.device import on_device, split_device
    from harness.targets.through.names import join_through, split_through

    whole, transformation = split_through(target)
    return join_through(on_device(*split_device(whole), layer), transformation)


def ensure_preset(name: str | None) -> None:
    """Raises UsageError for a preset that there is not."""
    from harness.errors import UsageError
    from reference.conventions import conventions_from

    if name:
        try:
            conventions_from(name)
        except ValueError as error:
            raise UsageError(f"--as: {error}") from None


def chosen_cases(request: CheckRequest) -> tuple[Case, ...]:
    """The cases to play. Raises UsageError for an unknown id, with the nearest."""
    from harness.api import cases_named

    if request.input_file is not None:
        from harness.cases.user_case import user_case

        return (user_case(request.input_file),)
    return cases_named(request.case_ids, request.suite)
