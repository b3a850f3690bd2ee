"""What a target that comes with the project is: where it stands, what it needs, and the line that installs that."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from harness import place
from harness.environments.requirements import Requirements

EXEC = "exec:"
"""Before the command of a program that speaks the wire itself."""
OUR_ROOMS = ("reference.", "impls.pytorch.", "impls.jax_flax.")
COMPILED = "c++"
PLAYERS = place.ROOT / "impls" / "third_party" / "players"
SHARED_BY_BUILT = "wire.hpp"
JSON_FOR_CPP = "nlohmann-json3-dev"
BESIDE_ALL = ("numpy", "ml_dtypes")
"""What a player needs in any environment: NumPy, and for 16-bit floats ml_dtypes."""


@dataclass(frozen=True)
class BuiltIn:
    """A target that comes with the project, and what it needs."""

    where: str
    """module:attribute, the module as it is called in a checkout (`place.module` gives its full name); or exec:PROGRAM,
    a player's file in impls/third_party/players, and its arguments. With c++ for the program it is built first."""
    needs: str
    """The modules that must be importable, with spaces between them."""
    what: str
    install: str = ""
    """The command. The first package is the library that it is judged for."""
    program: str = ""
    """A program that must be on the PATH as well."""
    flags: str = ""
    """For the compiler of a player that is built: "-ldnnl"."""
    as_of: str = ""
    """An ISO date: it needs packages as they were then."""
    python: str = ""
    """"3.10": the newest Python for which it has wheels; empty: the one that runs."""
    built_by: str = ""
    """The module of ours that builds what it needs beside that, and its command. It says whether that is done."""
    in_matrix_only: bool = False
    """Checked by `bnproof matrix`; `bnproof report` and `pytest harness` leave it out."""

    @property
    def is_program(self) -> bool:
        return self.where.startswith(EXEC)

    @property
    def words(self) -> list[str]:
        """Of a program: what runs it, its file, and its arguments."""
        return self.where.removeprefix(EXEC).split()

    @property
    def is_built(self) -> bool:
        """Whether it is a program that a compiler makes first."""
        return self.is_program and self.words[0] == COMPILED

    @property
    def packages(self) -> tuple[str, ...]:
        """What pip, npm or apt-get installs for it."""
        return tuple(shlex.split(self.install.partition(";")[0])[2:])

    @property
    def library(self) -> str:
        """Whose it is, as pip, npm or Debian names it: "flax", "@tensorflow/tfjs", "libdnnl-dev"."""
        if self.where.startswith(OUR_ROOMS) or not self.packages:
            return "bnproof"
        return re.split(r"[\[<>=!~ ]|(?<=.)@", self.packages[0], maxsplit=1)[0]

    @property
    def requirements(self) -> Requirements:
        """What an environment of its own must hold for it."""
        programs = tuple(self.program.split())
        if self.is_built:
            sources = tuple(str(PLAYERS / file) for file in (self.words[1], SHARED_BY_BUILT))
            return Requirements(debian=self.packages, sources=sources, flags=tuple(self.flags.split()))
        if self.is_program:
            return Requirements(npm=self.packages, programs=programs)
        return Requirements(
            pip=(*self.packages, *BESIDE_ALL), programs=programs, python=self.python, uploaded_before=self.as_of
        )
