"""`render(ledger, out)`: one page that opens offline and its Markdown twin, from a ledger and nothing else."""

from __future__ import annotations

import math
import re
import statistics
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.record.ledger import number, read
from reports import plots, tables
from reports import runs as runs_of

TEMPLATES = Path(__file__).parent / "templates"

# verdict -> (sign, word, class). The sign and the word carry what the colour says.
SIGNS = {
    "agree": ("✓", "agree", "good"),
    "declared": ("≈", "declared", "told"),
    "noted": ("•", "noted", "told"),
    "differ": ("✗", "differ", "bad"),
    "raised": ("✗", "raised", "bad"),
    "crashed": ("✗", "crashed", "bad"),
    "timed_out": ("✗", "timed out", "bad"),
    "inconclusive": ("?", "inconclusive", "open"),
    "unsupported": ("–", "unsupported", "open"),
    "not_run": ("○", "not run", "open"),
    "policy_only": ("•", "policy only", "none"),
    "not_asked": ("·", "not asked", "none"),
}


def render(ledger: Path, out: Path) -> Path:
    """Write `out`/index.html and `out`/report.md; returns the page. Raises LedgerError for a ledger not whole."""
    view = make_view(read(ledger))
    out.mkdir(parents=True, exist_ok=True)
    page = out / "index.html"
    page.write_text(html_environment().get_template("index.html").render(view), encoding="utf-8")
    text = markdown_environment().get_template("report.md").render(view)
    (out / "report.md").write_text(re.sub(r"\n{3,}", "\n\n", text), encoding="utf-8")
    return page


def make_view(ledger: tables.Ledger) -> dict[str, Any]:
    """Everything that the templates show."""
    header = ledger["header"][0]
    matrices, targets = tables.agreement(ledger), tables.own_first(ledger)
    runs, steps = ledger.get("training", []), ledger.get("lockstep", [])
    locked, trained = plots.lockstep(steps), plots.trainings(runs, header)
    findings = tables.findings(ledger)
    return {
        "header": header,
        "environment": header["environment"],
        "published": header["published"],
        "own": header["own"],
        "targets": targets,
        "verdicts": list(dict.fromkeys(name for one in targets for name in one["counts"])),
        "headline": tables.headline(ledger, locked, trained),
        "figures": key_figures(ledger, matrices, locked, trained),
        "others": others(ledger),
        "matrices": matrices,
        "not_installed": ledger.get("not_installed", []),
        "findings": findings,
        "quiet": [one["target"] for one in targets if one["target"] not in [row["target"] for row in findings]],
        "pairs": tables.pairs(ledger),
        "conventions": tables.conventions(ledger),
        "lockstep": locked,
        "ladder": plots.ladder(runs_of.last_looks(steps)),
        "growth": runs_of.growth(steps),
        "seeds": runs_of.seeds(ledger),
        "throughput": runs_of.throughput(ledger.get("throughput", [])),
        "layers": runs_of.layers(ledger.get("throughput", [])),
        "trainings": trained,
        "names": plots.implementations(runs),
        "devices": list(dict.fromkeys(one["device"] for one in trained)),
        "panels": plots.panels(runs, header["published"]) if runs else [],
        "range_epochs": plots.LAST_EPOCH,
        "is_short": any(one["epochs"] != plots.LAST_EPOCH for one in trained),
        "is_sample": header["is_sample"] or any(one.get("is_sample") for one in trained),
        "channels": max([len(header["published"]["gamma"]), *(len(one["gamma"]) for one in trained)]),
    }


def key_figures(ledger: tables.Ledger, matrices: Any, locked: Any, trained: Any) -> list[dict[str, str]]:
    """At most five figures, each with what it is and where it comes from."""
    own = ledger["header"][0]["own"]
    found = []

    def add(label: str, value: str, why: str, unit: str = "") -> None:
        found.append({"label": label, "value": value, "unit": unit, "why": why})

    worst = tables.largest(matrices, own)
    if worst:
        target, column, cell = worst
        where = f"{target}, {column.replace('train ', '')} in {cell.record['dtype']}, case {cell.record['case']}"
        add("largest error/bound of our own", short(cell.ratio), f"{where}; 1 is the limit")
    law = [one["verdict"] for one in ledger.get("comparison", []) if one["target"] in own and one["kind"] == "law"]
    if law:
        why = f"of {len(law):,} that law owes, of our own; {law.count('inconclusive'):,} inconclusive"
        add("comparisons that agree", f"{law.count('agree'):,}", why)
    if locked:
        far = max(locked, key=lambda one: one["share"])
        where = f"{far['a']} / {far['b']}, {far['tensor']}, {far['steps']} steps in {far['dtype']}"
        add("lockstep, distance/allowed", short(far["share"]), f"{where}; 1 is the limit")
    if trained:
        judged = [one["in_range"] for one in trained if one["in_range"] is not None]
        verdict = ("all in range" if all(judged) else "NOT all in range") if judged else "not judged"
        verdict = "SAMPLE DATA" if ledger["header"][0]["is_sample"] else verdict
        epochs = tables.listed(dict.fromkeys(str(one["epochs"]) for one in trained))
        losses = " · ".join(fixed(loss) for loss in averages(trained, "loss").values())
        accuracies = said_of(averages(trained, "train_accuracy"), 3)
        seeds = len({one["seed"] for one in trained})
        over = f", mean of {seeds} seeds" if seeds > 1 else ""
        add(f"final loss{over}", losses, f"train accuracy {accuracies}; epochs: {epochs}, {verdict}")
        best = max(trained, key=lambda one: one["examples_per_second"])
        rest = said_of(averages(trained, "examples_per_second"), 0)
        why = f"{best['implementation']} on {best['device']}; end to end{over}: {rest}"
        add("fastest training", fixed(best["examples_per_second"], 0), why, "examples/s")
    return found


def averages(trained: Any, key: str) -> dict[str, float]:
    """Implementation -> the mean over its seeds."""
    names = dict.fromkeys(one["implementation"] for one in trained)
    return {name: statistics.fmean(one[key] for one in trained if one["implementation"] == name) for name in names}


def said_of(values: dict[str, float], digits: int) -> str:
    return ", ".join(f"{name} {fixed(value, digits)}" for name, value in values.items())


def others(ledger: tables.Ledger) -> str:
    """What became of the layers that are not ours, in a sentence."""
    own = ledger["header"][0]["own"]
    found: dict[str, list[str]] = {}
    for one in ledger.get("target", []):
        if one["target"] not in own:
            found.setdefault(one["verdict"], []).append(one["target"])
    told = [f"{tables.listed(names)} {verb(verdict, len(names))}" for verdict, names in found.items()]
    return f"Of the other layers, {'; '.join(told)}." if told else ""


def verb(verdict: str, how_many: int) -> str:
    """differ -> differs, where one does."""
    return verdict + ("s" if how_many == 1 else "") if verdict in ("agree", "differ") else f"({word(verdict)})"


def html_environment() -> Environment:
    """Everything that a template prints is escaped."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= FILTERS | {"soft": soft}
    found.globals |= {"signs": SIGNS}
    return found


def markdown_environment() -> Environment:
    """Everything that a template prints goes through `markdown_text`, unless marked `verbatim`."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,
        finalize=markdown_text,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= FILTERS
    found.globals |= {"signs": SIGNS}
    return found


def markdown_text(value: Any) -> str:
    """`value` as plain text on one line: nothing in it is Markdown or HTML, and a table's cell stays one cell."""
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~#$!])", r"\\\1", text)
    return re.sub(r"^([-+]|\d+[.)])(?=\s)", lambda found: f"{found[0][:-1]}\\{found[0][-1]}", text)


def soft(value: Any) -> Markup:
    """Long names may break after an underscore, a dot, a slash or a colon."""
    return Markup(re.sub(r"([_./:])(?=\w)", r"\1<wbr>", str(value))) if is_plain(str(value)) else escape(value)


def is_plain(text: str) -> bool:
    return re.fullmatch(r"[\w./: +-]*", text) is not None


def short(value: Any) -> str:
    """A number in two significant digits: 0.048, 4,500, 7.0×10¹⁵; near 1, where a verdict turns, in as
    many as tell it from 1, and at least four."""
    if value is None:
        return "–"
    found = number(value)
    assert found is not None
    if not math.isfinite(found):
        return "NaN" if math.isnan(found) else ("∞" if found > 0 else "−∞")
    if found == 0:
        return "0"
    if 0.9 < abs(found) < 1.1:
        digits = next((d for d in range(4, 17) if found == 1 or float(f"{found:.{d}g}") != 1), 17)
        return signed(f"{found:.{digits}g}")
    mantissa, _, exponent = f"{found:.1e}".partition("e")
    power = int(exponent)
    if -4 < power < 0:
        return signed(f"{found:.{1 - power}f}")
    if 0 <= power < 5:
        return signed(f"{float(f'{found:.2g}'):,.1f}" if power == 0 else f"{float(f'{found:.2g}'):,.0f}")
    return signed(f"{mantissa}×10{str(power).translate(SUPERSCRIPTS)}")


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def signed(text: str) -> str:
    return text.replace("-", "−")


def fixed(value: Any, digits: int = 3) -> str:
    """A number with `digits` decimals and thousands' commas."""
    found = number(value)
    return short(found) if found is None or not math.isfinite(found) else signed(f"{found:,.{digits}f}")


def exact(value: Any) -> str:
    """A number as it stands in the ledger."""
    found = number(value)
    return short(found) if found is None or not math.isfinite(found) else repr(found)


def said(value: Any) -> str:
    """A convention's value in words."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        str(value).replace("_", " ")
        if isinstance(value, str)
        else signed(f"{value:g}")
        if "e" not in f"{value:g}"
        else f"{value:g}"
    )


def day(text: str) -> str:
    """An ISO time as a date to read; whatever else stands there, as it is."""
    try:
        made = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{made.day} {made:%B %Y, %H:%M} {made.tzname() or ''}".strip()


def excerpt(text: str, length: int = 240) -> str:
    """The beginning of a long message."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def place(cell: tables.Cell) -> str:
    """Where a cell's ratio was found, and what was compared: for a tooltip."""
    one = cell.record
    if not one:
        return SIGNS[cell.verdict][1]
    where = f"case {one['case']}"
    if one.get("step") is not None:
        where += f", step {one['step']} ({one['op']})"
    if cell.ratio is None:
        return f"{SIGNS[cell.verdict][1]}: {where}. {excerpt(cell.detail)}".strip()
    if "error" not in one:
        return f"{one['observable']}: ratio {short(cell.ratio)} in {where}"
    return f"{where}: error {short(one['error'])}, bound {short(one['bound'])}; {cell.total} comparisons"


def word(verdict: str) -> str:
    return SIGNS[verdict][1] if verdict in SIGNS else verdict.replace("_", " ")


FILTERS: dict[str, Any] = {
    "short": short,
    "fixed": fixed,
    "exact": exact,
    "said": said,
    "day": day,
    "excerpt": excerpt,
    "place": place,
    "word": word,
    "listed": tables.listed,
}
