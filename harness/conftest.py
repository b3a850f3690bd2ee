"""The checks of `bnproof check` as pytest tests, one test id per target x case x direction.

In a checkout `pytest harness` checks our own implementations and PyTorch's layers. With `--bn TARGET` only that target
is checked, whatever else is installed; `--builtin` and `--require NAMES` add to it, and what is asked for together is
compared in pairs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cases.catalogue import suite
from harness.errors import UsageError
from harness.judge.known import read_known
from harness.pytest_options import add_options
from harness.pytest_reports import Reports, Selection
from harness.targets import compilation_cache
from harness.targets.built_in import BUILT_IN, OWN
from reference.conventions import conventions_from

TARGETS = (*OWN, "torch-native")
"""What must agree. The other built-in targets have findings: `bnproof check flax-nnx`, or --bn flax-nnx."""

CHECKS = ("test_verdict.py", "test_forward.py", "test_backward.py", "test_moving_stats.py")
"""What any target is asked; the other files are about pairs, known differences, and our own trainings."""

SELECTION = pytest.StashKey[Selection]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """In a checkout that is not installed; else the plugin has added them."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    try:
        config.stash[SELECTION] = selection_of(config)
        if with_our_own(config):  # trainings in this very process
            os.environ.update(compilation_cache.environment())
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def selection_of(config: pytest.Config) -> Selection:
    """What the options ask for, each target once, in order. Raises UsageError."""
    option = config.getoption
    required = tuple(name for name in option("--require").split(",") if name)
    for name in required:
        if name not in BUILT_IN:
            raise UsageError(f"--require: unknown target {name!r}; known: {', '.join(BUILT_IN)}")
    as_preset = option("--as")
    if as_preset:
        try:
            conventions_from(as_preset)
        except ValueError as error:
            raise UsageError(f"--as: {error}") from None
    known = read_known(Path(option("--known"))) if option("--known") else {}
    users = tuple(option("--bn"))
    targets = dict.fromkeys([*(TARGETS if with_our_own(config) else ()), *required, *users])
    return Selection(
        tuple(targets), suite(option("--suite")), required, users, as_preset, layer=option("--layer"), known=known
    )


def with_our_own(config: pytest.Config) -> bool:
    return not config.getoption("--bn") or config.getoption("--builtin")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files that have nothing to say of what is asked for."""
    name = collection_path.name
    if collection_path.parent != Path(__file__).parent or not name.startswith("test_") or name in CHECKS:
        return None
    selection = config.stash[SELECTION]
    if name == "test_pairs.py":
        return len(selection.targets) < 2 or None
    if name == "test_known_differences.py":
        return not selection.known or None
    return not with_our_own(config) or None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    selection = metafunc.config.stash[SELECTION]
    if "target" in metafunc.fixturenames:
        metafunc.parametrize("target", selection.targets, scope="session")
    if "pair" in metafunc.fixturenames:
        pairs = [(a, b) for i, a in enumerate(selection.targets) for b in selection.targets[i + 1 :]]
        metafunc.parametrize("pair", pairs, ids=[f"{a}/{b}" for a, b in pairs])
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", selection.cases, ids=[case.id for case in selection.cases])
    if "known_case" in metafunc.fixturenames:
        metafunc.parametrize("known_case", selection.known)


@pytest.fixture(scope="session")
def reports(request: pytest.FixtureRequest) -> Iterator[Reports]:
    selection = request.config.stash[SELECTION]
    made = Reports(selection, needed_targets(selection, request.session.items))
    yield made
    made.close()


def needed_targets(selection: Selection, items: list[pytest.Item]) -> list[str]:
    """The targets of the tests that were not deselected; a known difference is about all of them."""
    parameters: list[dict[str, Any]] = [
        item.callspec.params
        for item in items
        if hasattr(item, "callspec") and "reports" in getattr(item, "fixturenames", ())
    ]
    if any("known_case" in params for params in parameters):
        return list(selection.targets)
    named = {params["target"] for params in parameters if "target" in params}
    named.update(target for params in parameters for target in params.get("pair", ()))
    return [target for target in selection.targets if target in named]
