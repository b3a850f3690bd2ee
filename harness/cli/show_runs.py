"""What the command line prints of whole trainings: lines and tables by Rich. It decides nothing."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from harness.bench.core_distance import distance_range
from harness.cli.show import coloured, out


def training(one: dict[str, Any]) -> None:
    """What the tutorial prints, plus the second clock."""
    out.print(
        f"[bold]{one['implementation']}[/] on {escape(one['device'])}, {one['dtype']}: "
        f"loss {one['loss']:.3f}, train acc {one['train_accuracy']:.3f}, test acc {one['test_accuracy']:.3f}",
        highlight=False,
        soft_wrap=True,
    )
    out.print(
        f"  {one['step_examples_per_second']:,.0f} examples/s (step), {one['examples_per_second']:,.0f} "
        f"end to end, compile {one['compile_seconds']:.1f} s",
        highlight=False,
    )
    for name in ("gamma", "beta"):
        out.print(f"  first layer's {name}: " + ", ".join(f"{v:.2f}" for v in one[name]), highlight=False)


def lockstep(records: list[dict[str, Any]]) -> bool:
    """A line a pair: the tensor that is furthest out, against what one ulp grows to. True if all are within."""
    from harness.train.lockstep import is_within, share

    within = True
    for pair in sorted({(one["a"], one["b"]) for one in records}):
        mine = [one for one in records if (one["a"], one["b"]) == pair]
        worst = max((one for one in mine if one["last"]), key=share)
        fine = all(is_within(one) for one in mine)
        within &= fine
        out.print(
            f"{pair[0]} / {pair[1]}: {coloured('agree' if fine else 'differ')} after {worst['steps']} steps in "
            f"{worst['dtype']}; furthest {worst['tensor']} at {worst['distance']:.2g} "
            f"(one ulp grew to {worst['self_distance']:.2g})",
            highlight=False,
            soft_wrap=True,
        )
        if not fine:
            first = next(one for one in mine if not is_within(one))
            out.print(f"  first out: {first['tensor']} at step {first['steps']}", highlight=False)
    return within


def accuracy(records: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> None:
    """Mean and 95% interval over the seeds, then whether the frameworks are equivalent."""
    for one in records:
        told = [f"{name.replace('_', ' ')} {interval(values)}" for name, values in one["measures"].items()]
        out.print(
            f"[bold]{one['implementation']}[/], {len(one['seeds'])} seeds: " + "; ".join(told),
            highlight=False,
            soft_wrap=True,
        )
        at = one["published"]
        out.print(
            f"  the published test accuracy {at['value']}: {at['ends_below']} of {at['ends']} runs end below it, "
            f"{at['epochs_below']} of all {at['epochs']} epochs are",
            highlight=False,
            soft_wrap=True,
        )
    for one in pairs:
        out.print(
            f"{one['a']} - {one['b']}: {one['measure'].replace('_', ' ')} differs by {one['difference']:+.5f} "
            f"({one['low']:+.5f} to {one['high']:+.5f}), margin {one['margin']}: "
            + ("[green]equivalent[/]" if one["equivalent"] else "[yellow]not shown to be equivalent[/]")
            + f" (p = {one['p']:.2g})",
            highlight=False,
            soft_wrap=True,
        )


def interval(values: dict[str, Any]) -> str:
    if values["deviation"] is None:
        return f"{values['mean']:.4f}"
    return f"{values['mean']:.4f} ({values['low']:.4f} to {values['high']:.4f}, sd {values['deviation']:.4f})"


def throughput(records: list[dict[str, Any]]) -> None:
    """A line a contestant, under a heading a clock."""
    for clock in dict.fromkeys(one["clock"] for one in records):
        mine = [one for one in records if one["clock"] == clock]
        control = f"control {spread(mine[0]['control'])}"
        apart = (
            "; cores {:.0f} to {:.0f} ns from each other and back".format(*found)
            if (found := distance_range(mine))
            else ""
        )
        heading = f"[bold]{clock.replace('_', ' ')}[/], against: {mine[0]['against']}; {control}{apart}"
        out.print(heading, highlight=False, soft_wrap=True)
        for one in mine:
            met = {None: "", True: f", aim {one['aim']} met", False: f", [red]aim {one['aim']} missed[/]"}[one["met"]]
            out.print(
                f"  {escape(one['name'])}: {one['examples_per_second']:,.0f} examples/s, ratio {spread(one['ratio'])}, "
                f"{one['decision']}{met}{near(one)}; by CPU time {one['cpu_ratio']:.2f}, "
                f"compile {one['compile_seconds']:.1f} s, {one['memory_mb']:,.0f} MB, "
                f"{one['limit_share']:.0%} of the matmul rate",
                highlight=False,
                soft_wrap=True,
            )


def near(one: dict[str, Any]) -> str:
    """The ratio where cores were near, if they were not always."""
    if one["ratio_near"] is None or one["rounds_near"] == one["rounds"]:
        return ""
    return f"; {one['ratio_near']['median']:.2f} in the {one['rounds_near']} rounds with near cores"


def layers(records: list[dict[str, Any]]) -> None:
    """A line a shape: native's time / ours."""
    for one in records:
        shape = "x".join(map(str, one["shape"]))
        out.print(
            f"{one['name']} {one['layout']} {shape}: ours {1e3 * one['seconds']:.3f} ms, native "
            f"{1e3 * one['native_seconds']:.3f} ms, ratio {spread(one['ratio'])}, control {spread(one['control'])}: "
            f"{one['decision']}",
            highlight=False,
            soft_wrap=True,
        )


def spread(values: dict[str, float]) -> str:
    return f"{values['median']:.2f} [{values['low']:.2f} to {values['high']:.2f}]".replace("[", "(").replace("]", ")")
