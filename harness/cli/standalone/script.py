"""A failure as a script that shows it without bnproof: the case's arrays, the layer, and what was expected."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from harness.cases.catalogue import BY_ID
from harness.cases.script import Script, Setup, Step, parameter_dtype
from harness.cli.standalone.layers import CONTRACT, LINEN, NNX, TORCH
from harness.judge.judgement import Judgement
from harness.place import ROOT
from harness.targets.device import split_device
from reference.conventions import Conventions

INLINE = 1500
"""Values in all: more go into a file beside the script."""
PARAMETERS = ("gamma", "beta", "moving_mean", "moving_var")
PLAYED = ("train", "eval", "train_no_grad")
NATIVE = ("weight", "bias", "running_mean", "running_var")
TORCH_CLASSES = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}
TUTORIAL = ROOT / "impls" / "third_party" / "tutorial.py"


@dataclass(frozen=True)
class StandAlone:
    """The script, and the arrays that are too many to stand in it, by name."""

    text: str
    arrays: dict[str, np.ndarray]


def stand_alone(
    judgement: Judgement, target: str, conventions: Conventions, seed: int, arrays_file: str = ""
) -> StandAlone | None:
    """The script of one failure. arrays_file: the .npz that it reads where its arrays are many.

    None where the target is neither a built-in layer of torch or flax, nor a class of the contract in a file or module;
    where the case is not of the catalogue, or no number is wrong; where state is restored before, or memory is unusual;
    where the layer is built without a part, or masked.
    """
    case = BY_ID.get(judgement.case)
    if case is None or judgement.step is None or judgement.index is None or judgement.observable is None:
        return None
    if case.options.asked_for:
        return None
    script = case.make(judgement.dtype, seed, conventions.momentum_for(case.new_weight))
    steps = script.steps[: judgement.step + 1]
    if any(step.op not in PLAYED or step.session or step.layout != "plain" for step in steps):
        return None
    setup = script.setups[0]
    layer = layer_of(target, setup)
    if layer is None:
        return None
    many = sum(step.x.size for step in steps if step.x is not None) > INLINE
    if many and not arrays_file:
        return None
    pieces = [head(judgement, target), constants(setup, many, arrays_file, judgement.dtype), layer]
    pieces += [calls(steps, many), verdict_of(judgement)]
    return StandAlone("\n".join(pieces), arrays_of(script, len(steps)) if many else {})


def head(judgement: Judgement, target: str) -> str:
    place = f"{judgement.observable} of step {judgement.step} ({judgement.op})"
    return f'"""{target.replace(chr(34), "")} in case {judgement.case}, {judgement.dtype}: {place}."""\n'


def constants(setup: Setup, many: bool, arrays_file: str, dtype: str) -> str:
    lines = ["from pathlib import Path" if many else "import base64", ""]
    lines += ["import ml_dtypes  # for NumPy's bfloat16"] if dtype == "bfloat16" else []
    lines += ["import numpy as np", "", *(loading(arrays_file, dtype) if many else ARRAY.splitlines()), ""]
    lines += [f"channels, eps, momentum = {setup.num_features}, {setup.eps!r}, {setup.momentum!r}"]
    for name in PARAMETERS:
        value: np.ndarray = getattr(setup, name)
        lines.append(f"{name} = np.array({value.tolist()!r}, np.{value.dtype})")
    return "\n".join([*lines, ""])


def loading(arrays_file: str, dtype: str) -> list[str]:
    """The lines that read the arrays. A file of NumPy's does not know bfloat16: it gives two bytes of no type."""
    typed = ".view(ml_dtypes.bfloat16)" if dtype == "bfloat16" else ""
    return [
        f"with np.load(Path(__file__).with_name({arrays_file!r})) as file:",
        f"    arrays = {{name: array{typed} for name, array in file.items()}}",
    ]


ARRAY = """
def array(text, dtype, *shape):
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)
"""


def calls(steps: Sequence[Step], many: bool) -> str:
    lines = ["", "steps = ["]
    for number, step in enumerate(steps):
        x, dy = (f"arrays[{f'{name}{number}'!r}]" if many else inline(getattr(step, name)) for name in ("x", "dy"))
        lines.append(f"    ({step.op!r}, {x}, {dy}),")
    return "\n".join([*lines, "]", "for op, x, dy in steps:", "    results = call(op, x, dy)", ""])


def inline(array: np.ndarray | None) -> str:
    assert array is not None
    dtype = "ml_dtypes.bfloat16" if array.dtype.name == "bfloat16" else repr(array.dtype.str)
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return f"array({data!r}, {dtype}, {', '.join(map(str, array.shape))})"


def verdict_of(judgement: Judgement) -> str:
    """What came beside what was expected; the exit status is 1 where they are further apart than the bound."""
    place = tuple(judgement.index or ())
    return (
        f"expected, bound = {number(judgement.want)}, {number(judgement.bound)}\n"
        f"got = float(results[{judgement.observable!r}][{place!r}])\n"
        f'print(f"{judgement.observable}{list(place)} is {{got!r}}, not {{expected!r}}; '
        f'rounding allows an error of {{bound:.3g}}")\n'
        "raise SystemExit(not abs(got - expected) <= bound)\n"
    )


def number(value: float | None) -> str:
    return repr(value) if value is not None and np.isfinite(value) else f'float("{value}")'


def arrays_of(script: Script, steps: int) -> dict[str, np.ndarray]:
    return {
        f"{name}{number}": getattr(step, name)
        for number, step in enumerate(script.steps[:steps])
        for name in ("x", "dy")
    }


def saved(arrays: dict[str, np.ndarray]) -> bytes:
    """As an .npz."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def layer_of(target: str, setup: Setup) -> str | None:
    """The part of the script that builds the layer and calls it."""
    name = split_device(target)[0]
    words = {"dtype": setup.dtype, "kind": str(parameter_dtype(setup.dtype)), "ndim": str(setup.ndim)}
    if name == "torch-native":
        made = f"layer = torch.nn.{TORCH_CLASSES[setup.ndim]}(channels, eps, momentum).to(torch.{words['kind']})"
        return filled(TORCH, words, layer=made, names=repr(NATIVE))
    if name == "tutorial":
        made = f"layer = BatchNorm(channels, {setup.ndim}, eps, momentum, torch.{words['kind']})"
        source = class_of(TUTORIAL)
        return filled(TORCH, words, layer=f"{source}\n\n{made}", names=repr(PARAMETERS))
    if name in ("flax-nnx", "flax-linen"):
        return filled(NNX if name == "flax-nnx" else LINEN, words)
    where, colon, attribute = name.rpartition(":")
    if not colon or not attribute.isidentifier() or name.startswith("exec:"):
        return None
    if where.endswith(".py"):
        made = f"import runpy\n\nLayer = runpy.run_path({where!r})[{attribute!r}]"
    else:
        made = f"from {where} import {attribute} as Layer"
    return filled(CONTRACT, words, layer=made)


def filled(template: str, words: dict[str, str], **more: str) -> str:
    return Template(template).substitute(words | more)


def class_of(path: Path) -> str:
    """A file's source from its first import on, without the import of torch that stands already."""
    text = path.read_text(encoding="utf-8")
    return text[text.index("from torch import") :].strip()
