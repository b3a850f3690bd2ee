"""The pages' colours can be read: text has the contrast that WCAG asks for, in the light and in the dark."""

import re

import pytest

from reports.environments import TEMPLATES

ENOUGH = 4.5
"""WCAG 2.1, success criterion 1.4.3, for text of any size."""
INKS = ("ink", "muted", "link", "good", "bad", "told", "open")
WASHES = ("good", "bad", "told", "open")
STYLE = (TEMPLATES / "style.css").read_text()


def palette(scheme):
    """Name -> colour; what the dark one does not name is the light one's."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks[:2])
    return light if scheme == "light" else light | dark


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    darker, lighter = sorted((luminance(a), luminance(b)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(scheme):
    colours = palette(scheme)
    pairs = [(ink, "paper") for ink in INKS] + [(name, f"{name}-wash") for name in WASHES]
    pairs += [("ink", "faint"), ("muted", "good-wash"), ("muted", "bad-wash"), ("paper", "bad")]
    pairs += [(ink, "told-wash") for ink in INKS]  # what a link leads to
    pairs += [("ink", f"{letter}{number}") for letter, several in (("w", 5), ("b", 4)) for number in range(several)]
    weak = {pair: round(contrast(*(colours[name] for name in pair)), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < ENOUGH} == {}


def test_nothing_is_made_fainter():
    """An opacity would take from the contrast of what is computed above."""
    styles = STYLE + (TEMPLATES / "matrix.css").read_text()
    faint = [line for line in styles.splitlines() if re.search(r"opacity: (?!0;|1;)", line) and "svg" not in line]
    assert faint == []


def test_black_on_white():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
