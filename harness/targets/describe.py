"""What a loaded target says of itself, by its class attributes; nothing is built."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from harness.cases.script import DEFAULT_DTYPES, MASKED
from harness.observables import DERIVATIVES
from harness.targets.device import CPU, started_on
from harness.targets.player import ALL_RANKS, Description

METHODS = ("train", "eval", "stats", "train_no_grad", "frozen", "state", "load_state", *DERIVATIVES)
LIBRARIES = {
    name: name
    for name in (
        "numpy", "torch", "jax", "jaxlib", "flax", "optax", "ml_dtypes", "torchvision", "timm", "keras", "tf_keras",
        "tensorflow", "onnx", "onnxruntime", "openvino", "tinygrad", "mlx", "equinox", "objax",
        "brainstate", "brainpy", "chainer", "mxnet", "aesara", "neuralnetlib", "tract", "MNN", "ncnn", "nnabla",
        "brevitas", "executorch", "fastai", "speechbrain",
    )
} | {
    "tensorflow_cpu": "tensorflow", "dm-haiku": "haiku", "dm-sonnet": "sonnet",
    "paddlepaddle": "paddle", "opencv-python-headless": "cv2",
    "apache-tvm": "tvm",
    "ai-edge-litert": "ai_edge_litert", "mmcv-lite": "mmcv", "torch-geometric": "torch_geometric",
    "MegEngine": "megengine", "numpy-ml": "numpy_ml", "minigrad-framework": "minigrad", "mayini-framework": "mayini",
}  # fmt: skip
"""Distribution -> module: those whose versions are recorded, where the target has imported them."""


def describe(target: Any, device: str = CPU) -> Description:
    """Raises DeviceError where the target cannot compute on `device`."""
    hardware = started_on(target, device)
    return Description(
        conventions=getattr(target, "conventions", None),
        dtypes=tuple(getattr(target, "dtypes", DEFAULT_DTYPES)),
        ranks=tuple(getattr(target, "ranks", ALL_RANKS)),
        methods=tuple(name for name in METHODS if getattr(target, name, None) is not None),
        versions={name: version for name in LIBRARIES if (version := _version_if_imported(name))},
        adapter=getattr(target, "adapter", ""),
        declared=tuple(getattr(target, "declared", ())),
        framework=getattr(target, "framework", ""),
        inherits=getattr(target, "inherits", ""),
        device=hardware,
        options=options_of(target),
        summation=getattr(target, "summation", "any"),
        folded=getattr(target, "folded", False) is True,
        rescaled=getattr(target, "rescaled", False) is True,
    )


def options_of(target: Any) -> tuple[str, ...]:
    """What it lists as `options`; `masked = True` is another word for one of them."""
    masked = (MASKED,) if getattr(target, "masked", False) is True else ()
    return tuple(dict.fromkeys((*getattr(target, "options", ()), *masked)))


def _version_if_imported(name: str) -> str | None:
    module = sys.modules.get(LIBRARIES[name])
    return None if module is None else version_of(name, module)


def version_of(distribution: str, module: Any) -> str | None:
    """As `importlib.metadata` gives it, which takes 15 ms to import: its files lie beside the module, as a rule."""
    file = getattr(module, "__file__", None)
    library = Path(file).parents[1] if isinstance(file, str) and Path(file).is_absolute() else None
    escaped = re.sub(r"[-_.]+", "_", distribution)
    for metadata in library.glob(f"{escaped}-*.dist-info/METADATA") if library else ():
        with metadata.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("Version: "):
                    return line.removeprefix("Version: ").strip()
    import importlib.metadata

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
