"""`bnproof translate`: the constructor arguments that make one framework's layer behave like another's."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from harness.errors import UsageError
from reference.conventions import PRESETS, Conventions

CONSTRUCTORS = {
    "d2l": ("BatchNorm(num_features, num_dims, {})", "eps", "momentum"),
    "torch": ("torch.nn.BatchNorm2d(num_features, {})", "eps", "momentum"),
    "flax": ("flax.nnx.BatchNorm(num_features, {}, rngs=rngs)", "epsilon", "momentum"),
    "keras": ("keras.layers.BatchNormalization({})", "epsilon", "momentum"),
    "onnx": ("onnx.helper.make_node('BatchNormalization', inputs, outputs, {})", "epsilon", "momentum"),
}
"""Per preset: how the layer is built, and what its two numbers are called there."""


@dataclass(frozen=True)
class Translation:
    """Constructor arguments that make `target` behave like `source`, and what none can make equal."""

    source: str
    target: str
    arguments: dict[str, float]
    call: str
    cannot: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        fields = asdict(self)
        return {"from": fields.pop("source"), "to": fields.pop("target")} | fields


def translation(source: str, target: str, settings: list[str]) -> Translation:
    """From one preset to another; what `settings` ("eps=1e-3") do not give is the source's default.

    Decimal arithmetic: 1 - 0.9 is 0.1 to whoever reads it. Raises UsageError for an unknown preset, name or number.
    """
    a, b = _preset(source), _preset(target)
    given = _settings(source, settings)
    momentum = given.get("momentum", Decimal(repr(a.default_momentum)))
    eps = given.get("eps", Decimal(repr(a.default_eps)))
    if not 0 <= momentum <= 1:
        raise UsageError(f"momentum must lie between 0 and 1, got {momentum}")
    if eps < 0:
        raise UsageError(f"eps must not be negative, got {eps}")
    if a.momentum != b.momentum:
        momentum = 1 - momentum
    call, eps_name, momentum_name = CONSTRUCTORS[target]
    arguments = {eps_name: float(eps), momentum_name: float(momentum)}
    text = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return Translation(source, target, arguments, call.format(text), tuple(cannot(a, b, source, target)))


def cannot(a: Conventions, b: Conventions, source: str, target: str) -> list[str]:
    """What no argument makes equal, and how to correct for it, a sentence each."""
    texts = []
    if a.moving_var != b.moving_var:
        factor = "n/(n-1)" if a.moving_var == "unbiased" else "(n-1)/n"
        texts.append(
            f"moving variance: {source}'s is {a.moving_var}, {target}'s is {b.moving_var}; "
            f"multiply each batch's variance by {factor} before it is averaged, n values a channel "
            f"(for a constant batch size: the moving variance's share beyond its start)"
        )
    if a.channel_axis != b.channel_axis:
        where = "axis=1" if b.channel_axis == -1 else "channels moved to axis 1"
        how = (
            f"give {target} {where}"
            if target in ("flax", "keras")
            else f"move the channels from axis {a.channel_axis} to {b.channel_axis}"
        )
        texts.append(f"channel axis: {source} takes {a.channel_axis}, {target} takes {b.channel_axis}; {how}")
    if a.eps_at != b.eps_at:
        texts.append(f"eps: {source} adds it {a.eps_at}, {target} {b.eps_at}; no eps makes the two equal for every var")
    if a.debias != b.debias:
        texts.append(f"debiasing: {source} {'has' if a.debias else 'lacks'} it; divide by 1 - keep_weight^t yourself")
    if a.single_value != b.single_value:
        texts.append(f"one value per channel: {source} gives {a.single_value!r}, {target} {b.single_value!r}")
    return texts


def _preset(name: str) -> Conventions:
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0)
        raise UsageError(f"unknown preset {name!r}: did you mean {near[0]!r}? Known: {', '.join(PRESETS)}")
    return PRESETS[name]


def _settings(source: str, settings: list[str]) -> dict[str, Decimal]:
    """momentum=0.1 eps=1e-5 (or epsilon=...) as numbers."""
    numbers = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        name = "eps" if name == "epsilon" else name
        if not equals or name not in ("eps", "momentum"):
            raise UsageError(f"expected momentum=NUMBER or eps=NUMBER in {source}'s sense, got {setting!r}")
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite():
            raise UsageError(f"{name} must be a number, got {value!r}")
        numbers[name] = number
    return numbers
