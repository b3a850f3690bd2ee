"""The name of a target that is played through a transformation: "torch.nn:BatchNorm2d through compile"."""

from __future__ import annotations

SEPARATOR = " through "


def split_through(name: str) -> tuple[str, str]:
    """ "torch-native@cuda through compile" -> ("torch-native@cuda", "compile"); without a transformation, (name, "").

    The command of a program ("exec:...") is its own, and no transformation is looked for in it.
    """
    target, separator, transformation = name.rpartition(SEPARATOR)
    is_one = separator and transformation.replace("-", "").isalnum() and not name.startswith("exec:")
    return (target, transformation) if is_one else (name, "")


def join_through(target: str, transformation: str) -> str:
    return f"{target}{SEPARATOR}{transformation}" if transformation else target
