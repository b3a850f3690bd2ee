"""The libraries whose releases can be compared: what to install of each, and which built-in targets to judge."""

from __future__ import annotations

from dataclasses import dataclass

from harness.targets.built_in_kind import BESIDE_ALL


@dataclass(frozen=True)
class Library:
    targets: tuple[str, ...]
    """Names of built-in targets."""
    beside: tuple[str, ...] = ()
    """What pip must install with it."""
    extra: str = ""
    """An extra of the distribution: "cpu"."""
    programs: tuple[str, ...] = ()

    def pip(self, distribution: str, version: str) -> tuple[str, ...]:
        """The requirements of one release."""
        extra = f"[{self.extra}]" if self.extra else ""
        return (f"{distribution}{extra}=={version}", *self.beside)


LIBRARIES: dict[str, Library] = {
    "dm-haiku": Library(("haiku",), (*BESIDE_ALL, "jax")),
    "flax": Library(("flax-linen", "flax-nnx"), (*BESIDE_ALL, "jax")),
    "keras": Library(("keras-jax",), (*BESIDE_ALL, "jax")),
    "mlx": Library(("mlx",), BESIDE_ALL, extra="cpu"),
    "onnx": Library(("onnx-reference-9", "onnx-reference-15"), BESIDE_ALL),
    "onnxruntime": Library(("onnxruntime-9", "onnxruntime-15"), (*BESIDE_ALL, "onnx")),
    "timm": Library(("timm",), (*BESIDE_ALL, "torch", "torchvision")),
    "tinygrad": Library(("tinygrad",), BESIDE_ALL, programs=("clang",)),
    "torch": Library(("torch-native",), BESIDE_ALL),
}
"""By the name under which pip installs it."""
