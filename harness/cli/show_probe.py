"""What `bnproof probe` and `bnproof translate` print."""

from __future__ import annotations

from rich.markup import escape

from harness.cli.show import out
from harness.probe.probe import Probed
from harness.probe.translate import Translation


def show_probe(target: str, probed: Probed) -> None:
    """The nearest preset first, then each field, then what is noted."""
    same = "the preset's own" if not probed.differs else f"differs in {', '.join(probed.differs)}"
    out.print(f"[bold]{escape(target)}[/]: nearest preset [bold]{probed.nearest}[/] ({same})", soft_wrap=True)
    for name, value in probed.conventions.as_dict().items():
        mark = " (not seen)" if name in probed.unseen else ""
        out.print(f"  {name:<17} {value}{mark}", highlight=False)
    for name, text in probed.observed.items():
        out.print(f"  {name:<17} {escape(text)} (observed)", highlight=False, soft_wrap=True)
    for note in probed.notes:
        out.print(f"  [yellow]note[/] {note.id}: {escape(note.text)}", highlight=False, soft_wrap=True)


def show_translation(translation: Translation) -> None:
    """The call, then what it cannot make equal."""
    out.print(f"[bold]{escape(translation.call)}[/]", highlight=False, soft_wrap=True)
    for text in translation.cannot:
        out.print(f"  [yellow]not made equal[/] {escape(text)}", highlight=False, soft_wrap=True)
