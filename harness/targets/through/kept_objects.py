"""Object files of a C++ compiler, kept on the disk: Inductor compiles every program anew, which takes 5 s each.

An object is looked up by what the preprocessor makes of its source (all headers are in there), the arguments and the
compiler; the folder is this kind of processor's. So what is found is what would be compiled.

As a program, `kept_objects.py FOLDER COMPILER ARGUMENTS ...`, it is the compiler; it needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KEPT_BYTES = 256 * 2**20
"""Some 400 programs. What was compiled first goes first."""


def launcher(compiler: str) -> str:
    """The path of a program that is `compiler`, and keeps what it compiles; `compiler` itself where there is no place.

    Its name ends as the compiler's does, by which torch tells compilers apart.
    """
    from harness.targets.compilation_cache import make_room_now_and_then, processor, user_cache

    program = shutil.which(compiler)
    if os.name != "posix" or program is None:
        return compiler
    try:
        folder = user_cache() / f"objects-{processor()}"
        folder.mkdir(parents=True, exist_ok=True)
        make_room_now_and_then(folder, KEPT_BYTES)
        words = [sys.executable, "-I", "-S", __file__, str(folder), program]
        script = f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'.encode()
        path = user_cache() / "compilers" / f"{hashlib.sha256(script).hexdigest()[:12]}-{Path(program).name}"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            _put(script, path, 0o755)
    except (OSError, RuntimeError):  # no place, or a user without a home
        return compiler
    return str(path)


def main(folder: Path, compiler: str, arguments: list[str]) -> int:
    """Compile, or take what was kept. Returns the compiler's exit status."""
    output = _output(arguments)
    key = _key(compiler, arguments, output) if output else None
    if output is None or key is None:
        os.execv(compiler, [compiler, *arguments])
    with contextlib.suppress(OSError):
        shutil.copyfile(folder / key, output)
        return 0
    status = subprocess.run([compiler, *arguments]).returncode
    if status == 0:
        with contextlib.suppress(OSError):  # nothing is kept
            _put(Path(output).read_bytes(), folder / key, 0o644)
    return status


def _output(arguments: list[str]) -> str | None:
    """The object file of a C++ source that these arguments ask for; None where they ask for anything else, or for more.

    Of an assembler's source (Inductor's constants are such) the preprocessor does not show all: it may include files.
    """
    of_cpp = "-c" in arguments and "-o" in arguments[:-1] and any(word.endswith(".cpp") for word in arguments)
    if not of_cpp or any(word.startswith("-M") for word in arguments):
        return None
    return arguments[arguments.index("-o") + 1]


def _key(compiler: str, arguments: list[str], output: str) -> str | None:
    """None where the source cannot be preprocessed."""
    place = arguments.index("-o")
    asked = [*arguments[:place], *arguments[place + 2 :]]
    preprocess = ["-E" if word == "-c" else word for word in asked]
    done = subprocess.run([compiler, *preprocess], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if done.returncode:
        return None
    program = Path(compiler).resolve()
    of_compiler = program.stat()
    ground = [str(program), of_compiler.st_size, of_compiler.st_mtime_ns, Path(output).suffix, Path.cwd(), *asked]
    digest = hashlib.sha256("\0".join(map(str, ground)).encode())
    digest.update(done.stdout)
    return f"{digest.hexdigest()[:32]}.o"


def _put(content: bytes, path: Path, mode: int) -> None:
    """Write a file as a whole, whoever else may be writing or reading it."""
    descriptor, scratch = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.chmod(scratch, mode)
    os.replace(scratch, path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
