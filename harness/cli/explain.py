"""`bnproof check --explain CASE`: what a case is, what it proves, and what it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cases.case import Case


def explain(case_id: str, seed: int = 0) -> int:
    """Print it. Returns the exit status. Raises UsageError for an unknown id."""
    from rich.markup import escape

    from harness.cases.catalogue import BY_ID
    from harness.cli.output import out
    from harness.errors import UsageError, did_you_mean

    if case_id not in BY_ID:
        raise UsageError(f"unknown case {case_id!r}: {did_you_mean(case_id, BY_ID)}`bnproof list` names them all")
    for line in lines_of(BY_ID[case_id], seed):
        out.print(escape(line), highlight=False, soft_wrap=True)
    return 0


def lines_of(case: Case, seed: int) -> list[str]:
    from harness.cases.traps import source_of
    from harness.diagnose.mistakes.known import TEXTS
    from harness.judge.explain import gradient_check, not_shown, resolution

    shapes = case.shapes or (case.shape,)
    kind = "policy: behaviour is noted, and no verdict hangs on it" if case.policy == "all" else "law"
    lines = [
        f"{case.id}: {case.why}",
        f"  goes back to     {source_of(case)}",
        f"  script           {', '.join(case.script)}",
        f"  x                {' then '.join(map(str, dict.fromkeys(shapes)))}, channels on axis 1; "
        f"n = {case.values_per_channel} values a channel",
        f"  types            {', '.join(case.dtypes)}",
        f"  eps              {case.eps:g}; the new batch weighs {case.new_weight:g}",
        f"  kind             {kind}",
    ]
    if case.options.asked_for:
        lines.append(f"  asks for         {', '.join(case.options.asked_for)}")
    lines += ["", "  it proves, by its bounds as a share of the values (the greatest of law channels):"]
    lines += [f"    {line}" for line in resolution(case, seed)]
    lines += ["", "  mistakes that it separates:"]
    lines += [f"    {identity}: {TEXTS[identity]}" for identity in case.separates] or ["    none by itself"]
    lines += ["", "  it cannot show:", *(f"    {line}" for line in not_shown(case))]
    lines += ["", "  a gradient check by finite differences, on its data:"]
    return lines + [f"    {line}" for line in gradient_check(case, seed)]
