"""`bnproof reproduce`: a failure as a script that needs no bnproof, for a report to the library."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.judge.judgement import Judgement


def reproduce(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="As for `check`.")],
    case: Annotated[str, typer.Option(help="The case that differs.", metavar="ID")],
    dtype: Annotated[str | None, typer.Option(help="In this dtype; else in the one in which it is worst.")] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the script goes.", metavar="FILE")] = Path(
        "reproduce.py"
    ),
) -> None:
    """Write a script that shows a failure without bnproof. Larger arrays go into an .npz beside it."""
    from harness.api import check
    from harness.cli.output import AGREED, FAULTY, say
    from harness.cli.standalone.script import saved, stand_alone
    from harness.errors import UsageError
    from harness.record.files import ensure_writable, write_whole, write_whole_bytes

    ensure_writable(out)
    checked = check(target, cases=[case], seed=seed)
    if checked.error:
        raise UsageError(checked.error)
    failing = [each for each in checked.cases if each.counts_against and dtype in (None, each.dtype)]
    if not failing:
        say(f"{target} does not differ in {case}: there is nothing to show")
        raise typer.Exit(AGREED)
    assert checked.conventions is not None
    arrays_file = out.with_suffix(".npz")
    made = stand_alone(furthest(failing), target, checked.conventions, seed, arrays_file.name)
    if made is None:
        again = f"bnproof check {target} --case {case} --seed {seed}"
        raise UsageError(f"no script can be made of this target and case; this shows it: {again}")
    write_whole(out, made.text)
    if made.arrays:
        write_whole_bytes(arrays_file, saved(made.arrays))
    say(f"python {shlex.quote(str(out))}")
    raise typer.Exit(FAULTY)


def furthest(failing: Sequence[Judgement]) -> Judgement:
    """The failure with the greatest error/bound; one that is no number is the last choice."""
    return max(failing, key=lambda each: -1.0 if each.ratio is None or each.ratio != each.ratio else each.ratio)
