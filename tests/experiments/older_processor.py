"""A command whose libraries use no AVX-512: `python -m tests.experiments.older_processor bnproof report`.

So a processor that has AVX-512 stands for one that has AVX2 only: not for its clock, its caches or its memory. A
library that would not be held back is named, and the command does not run.

NumPy and OpenBLAS, PyTorch's own kernels, oneDNN, what XLA compiles and our C++ kernels can be held back so. MKL
chooses by itself where it is told nothing it knows (on AMD processors it names no AVX-512 to begin with), and what
XLA brings compiled cannot be told.
"""

from __future__ import annotations

import os
import subprocess
import sys

VARIABLES = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "BNPROOF_ARCH": "x86-64-v3",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}
OPENBLAS = """
import ctypes, glob, numpy, pathlib
file, = glob.glob(str(pathlib.Path(numpy.__file__).parents[1] / "numpy.libs" / "*openblas*"))
name = ctypes.CDLL(file).scipy_openblas_get_corename64_
name.restype = ctypes.c_char_p
print(name().decode())
"""
ONEDNN = """
import os
os.environ["ONEDNN_VERBOSE"] = "1"
import torch
torch.nn.Conv2d(8, 8, 3)(torch.rand(4, 8, 16, 16))
"""
XLA = """
import jax, pathlib, tempfile, os
with tempfile.TemporaryDirectory() as folder:
    os.environ["XLA_FLAGS"] += f" --xla_dump_to={folder}"
    jax.jit(lambda x: x @ x.T + 1)(jax.numpy.ones((64, 64))).block_until_ready()
    options = next(pathlib.Path(folder).glob("*debug_options"))
    print(*(line for line in options.read_text().splitlines() if "max_isa" in line))
"""
QUESTIONS = {
    "NumPy": ("import numpy._core._multiarray_umath as m; print(m.__cpu_features__['X86_V4'])", "False"),
    "OpenBLAS": (OPENBLAS, "Haswell"),
    "PyTorch": ("import torch; print(torch.backends.cpu.get_cpu_capability())", "AVX2"),
    "oneDNN": (ONEDNN, "isa:Intel AVX2"),
    "XLA": (XLA, 'xla_cpu_max_isa: "AVX2"'),
}
"""library -> a program that prints which instructions it uses, and what must be in its answer"""


def held_back() -> dict[str, str]:
    """The environment of such a command."""
    return os.environ | VARIABLES


def not_held(name: str) -> str | None:
    """What a library answers, where it uses more than it was told to."""
    program, expected = QUESTIONS[name]
    ran = subprocess.run([sys.executable, "-c", program], env=held_back(), capture_output=True, text=True, check=False)
    lines = [line for line in ran.stdout.splitlines() if expected in line]
    return None if lines else (ran.stdout or ran.stderr).strip()[-300:]


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit("usage: python -m tests.experiments.older_processor COMMAND [ARGUMENT...]")
    wrong = {name: answer for name in QUESTIONS if (answer := not_held(name)) is not None}
    if wrong:
        sys.exit("\n".join(f"{name} is not held back; it answers: {answer}" for name, answer in wrong.items()))
    return subprocess.run(sys.argv[1:], env=held_back(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
