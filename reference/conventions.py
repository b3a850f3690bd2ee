"""What correct batch norms may do differently, in eight flat facts, and the presets of the known frameworks; and the
settings of a training, which all implementations take.

Nothing here computes: this is the vocabulary that the reference, the implementations and the harness share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Conventions:
    """The conventions of one batch norm. Every preset states every field."""

    momentum: str
    """"keep": momentum weighs the old moving value; "new": it weighs the new batch's value."""
    moving_var: str
    """"biased": the moving variance averages sum/n; "unbiased": it averages sum/(n-1). y always uses sum/n."""
    eps_at: str
    """"inside_sqrt": x_hat = (x - mean)/sqrt(var + eps); "outside_sqrt": (x - mean)/(sqrt(var) + eps)."""
    channel_axis: int
    """The axis of x that holds the channels: 1 or -1."""
    debias: bool
    """True: the moving values that are used and shown are divided by 1 - keep_weight^t after t updates."""
    single_value: str
    """One value per channel in training: "error" (refused), "zero" (x_hat = 0, y = beta) or "any" (undeclared)."""
    default_eps: float
    default_momentum: float
    """In the sense that the field `momentum` states."""

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            if type(value) is not type(allowed[0]) or value not in allowed:
                raise ValueError(f"conventions: {name} must be one of {allowed}, got {value!r}")

    def keep_weight(self, momentum: float) -> float:
        """The weight of the old moving value, for `momentum` in this convention's own sense."""
        return momentum if self.momentum == "keep" else 1 - momentum

    def new_weight(self, momentum: float) -> float:
        """The weight of the new batch's value, for `momentum` in this convention's own sense."""
        return 1 - momentum if self.momentum == "keep" else momentum

    def momentum_for(self, new_weight: float) -> float:
        """The `momentum` that gives the new batch the weight `new_weight`."""
        return 1 - new_weight if self.momentum == "keep" else new_weight

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_ALLOWED: dict[str, tuple] = {
    "momentum": ("keep", "new"),
    "moving_var": ("biased", "unbiased"),
    "eps_at": ("inside_sqrt", "outside_sqrt"),
    "channel_axis": (1, -1),
    "debias": (False, True),
    "single_value": ("error", "zero", "any"),
}

FIELDS = tuple(f.name for f in fields(Conventions))

PRESETS: dict[str, Conventions] = {
    # Dive into Deep Learning, section 8.5 "Batch Normalization", the layer written from scratch.
    "d2l": Conventions(
        momentum="keep",
        moving_var="biased",
        eps_at="inside_sqrt",
        channel_axis=1,
        debias=False,
        single_value="zero",
        default_eps=1e-5,
        default_momentum=0.9,
    ),
    # torch.nn.BatchNorm2d, documentation of torch 2.x; one value per channel: torch.nn.functional.batch_norm.
    "torch": Conventions(
        momentum="new",
        moving_var="unbiased",
        eps_at="inside_sqrt",
        channel_axis=1,
        debias=False,
        single_value="error",
        default_eps=1e-5,
        default_momentum=0.1,
    ),
    # flax.nnx.BatchNorm and flax.linen.BatchNorm, documentation of flax 0.12.
    "flax": Conventions(
        momentum="keep",
        moving_var="biased",
        eps_at="inside_sqrt",
        channel_axis=-1,
        debias=False,
        single_value="zero",
        default_eps=1e-5,
        default_momentum=0.99,
    ),
    # keras.layers.BatchNormalization, documentation of Keras 3.
    "keras": Conventions(
        momentum="keep",
        moving_var="biased",
        eps_at="inside_sqrt",
        channel_axis=-1,
        debias=False,
        single_value="zero",
        default_eps=1e-3,
        default_momentum=0.99,
    ),
    # ONNX operator BatchNormalization, opset 15: the training outputs use the population variance.
    "onnx": Conventions(
        momentum="keep",
        moving_var="biased",
        eps_at="inside_sqrt",
        channel_axis=1,
        debias=False,
        single_value="zero",
        default_eps=1e-5,
        default_momentum=0.9,
    ),
}

D2L = PRESETS["d2l"]


def conventions_from(declared: Conventions | str | dict[str, Any]) -> Conventions:
    """Read a declaration: a preset's name, or {"preset": name, field: value, ...}, or a Conventions.

    Raises ValueError that names the known presets or fields.
    """
    if isinstance(declared, Conventions):
        return declared
    if isinstance(declared, str):
        return _preset(declared)
    if not isinstance(declared, dict):
        raise ValueError(
            f"conventions: expected a preset's name or a dict such as {{'preset': 'torch'}}, got {declared!r}"
        )
    changes = dict(declared)
    base = _preset(changes.pop("preset", "d2l"))
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise ValueError(f"conventions: unknown field {unknown[0]!r}; the fields are {', '.join(FIELDS)}")
    return replace(base, **changes)


def _preset(name: Any) -> Conventions:
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"conventions: unknown preset {name!r}; the presets are {', '.join(PRESETS)}")
    return PRESETS[name]


def same_behaviour(a: Conventions, b: Conventions) -> list[str]:
    """The fields (default numbers and `single_value` aside) in which a and b differ."""
    behaviour = ("momentum", "moving_var", "eps_at", "channel_axis", "debias")
    return [name for name in behaviour if getattr(a, name) != getattr(b, name)]


@dataclass(frozen=True)
class TrainingSettings:
    """How every implementation trains, by plain SGD."""

    learning_rate: float = 1.0
    batch_size: int = 256
    dtype: str = "float32"
    device: str = "cpu"
    """ "cpu" or "cuda"."""
    first_epoch: int = 1
    """The number of the first epoch: a training that goes on counts those before it."""
    on_progress: Callable[[int], None] | None = None
    """Called now and then with the number of examples trained on, those of earlier epochs included."""
    on_epoch: Callable[[Any, Any], None] | None = None
    """Called after each epoch with its record and the weights; where several seeds train together, a list of each."""


DEFAULT_SETTINGS = TrainingSettings()
