"""Where the C++ kernels of `cpp/` are kept once they are built, and how they are built.

One shared library in the user's cache for each version of the sources and of torch, and for each kind of processor: it
is compiled for the instructions of the machine that it is built on, or those that BNPROOF_ARCH names. Nothing here
imports torch before it is needed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "cpp"
COMMAND = f"python -m {__package__}.cpp_batch_norm"
COMPILERS = ("c++", "g++", "clang++")
THREADS = "-fopenmp"
"""Without it PyTorch's headers leave all work to one thread. Some compilers do not have it."""
ARCH = "BNPROOF_ARCH"
"""An environment variable: the compiler's name of a processor to build for, as x86-64-v3, in place of this one."""
FOLDER = "BNPROOF_KERNELS"
"""An environment variable: where the libraries are kept, in place of the user's cache."""


class NotBuiltError(RuntimeError):
    """The kernels could not be built, and why."""


def library() -> Path:
    """The file of the library, whether it has been built or not. Needs torch to be installed, but not imported."""
    torch_version = importlib.metadata.version("torch")
    digest = hashlib.sha256("\n".join([torch_version, *flags(), THREADS, sys.platform, processor()]).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.read_bytes())
    return folder() / f"batch_norm-{digest.hexdigest()[:16]}.so"


def flags() -> list[str]:
    return ["-std=c++20", "-O3", f"-march={os.environ.get(ARCH) or 'native'}", "-fPIC", "-shared", "-Wno-psabi"]


def folder() -> Path:
    if chosen := os.environ.get(FOLDER):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnproof" / "torch-cpp"


def processor() -> str:
    """The processor's instructions: a home may be shared by several kinds of machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    instructions = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {instructions}"


def is_built() -> bool:
    try:
        return library().is_file()
    except (importlib.metadata.PackageNotFoundError, RuntimeError, OSError):  # no torch; no home
        return False


def build() -> Path:
    """Build the library if it is not there yet: a minute. Raises NotBuiltError with the reason."""
    path = library()
    if path.is_file():
        return path
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise NotBuiltError(f"no C++ compiler: looked for {', '.join(COMPILERS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    sources = map(str, sorted(SOURCES.glob("*.cpp")))
    command = [*compiler.split(), *flags(), *sources, *torch_flags(), "-o", str(unfinished)]
    try:
        done = subprocess.run([*command, THREADS], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise NotBuiltError(f"{compiler}: {errors[0] if errors else f'exit status {done.returncode}'}")
        unfinished.replace(path)  # at once: another process sees all of it or nothing
    except OSError as error:
        raise NotBuiltError(f"{error.filename or compiler}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    operators.cache_clear()
    namespace.cache_clear()
    return path


def torch_flags() -> list[str]:
    import torch

    root = Path(torch.__file__).parent
    headers = [root / "include", root / "include" / "torch" / "csrc" / "api" / "include"]
    undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    return [*(f"-I{path}" for path in headers), f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10", *undefined]


@cache
def operators() -> tuple[Any, Any] | None:
    """(training, prediction), or None where they are not built. Loaded once."""
    loaded = namespace()
    return loaded and (loaded.batch_norm_train.default, loaded.batch_norm_predict.default)


@cache
def namespace() -> Any:
    """torch.ops.bnproof with all of its operators, or None where they are not built."""
    if not is_built():
        return None
    import torch

    torch.ops.load_library(library())
    return torch.ops.bnproof
