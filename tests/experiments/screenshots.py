"""Pictures of a page, to be looked at: at three widths, light and dark, and as it is printed.

python -m tests.experiments.screenshots reports/published/amd-epyc-2-cores/index.html --out /tmp/pictures

--picture FILE: the top of the page alone, as the README shows it.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (1440, 768, 390)
TOP = {"x": 0, "y": 0, "width": 1440, "height": 1560}
"""Of the picture for a README."""
COLOURS = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, BROWSERS)))
    print(f"{options.page.stat().st_size:,} bytes")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        if options.picture:
            tab = browser.new_page(viewport={"width": 1440, "height": 900})
            tab.goto(options.page.resolve().as_uri())
            tab.screenshot(path=options.picture, clip=TOP, full_page=True)
            Image.open(options.picture).quantize(COLOURS).save(options.picture, optimize=True)
            return
        options.out.mkdir(parents=True, exist_ok=True)
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                started = time.monotonic()
                tab.goto(options.page.resolve().as_uri())
                print(f"{width} {scheme}: loaded in {time.monotonic() - started:.2f} s")
                tab.screenshot(path=options.out / f"{width}-{scheme}.png", full_page=True)
                tab.close()
        tab = browser.new_page()
        tab.goto(options.page.resolve().as_uri())
        tab.pdf(path=options.out / "page.pdf", print_background=True)


if __name__ == "__main__":
    main()
