"""axe-core on whole pages, contrast included: at three widths, light, dark and as printed, all folded parts open.

python -m tests.experiments.axe reports/published/matrix/index.html
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (1440, 768, 390)
LOOKS = ({"media": "screen", "color_scheme": "light"}, {"media": "screen", "color_scheme": "dark"}, {"media": "print"})
SHOWN = 3
"""Elements of a finding that are named."""
MINUTES = 10
UNFOLD = "for (const details of document.querySelectorAll('details')) details.open = true"
CUT = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.getAttribute('aria-label'))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for page in options.pages:
            tab = browser.new_page()
            tab.set_default_timeout(MINUTES * 60_000)
            complaints: list[str] = []
            tab.on("console", lambda message, to=complaints: to.append(message.text))
            tab.on("pageerror", lambda error, to=complaints: to.append(str(error)))
            tab.goto(page.resolve().as_uri())
            tab.evaluate(UNFOLD)
            for width in WIDTHS:
                for look in LOOKS:
                    tab.set_viewport_size({"width": width, "height": 900})
                    tab.emulate_media(**look)  # type: ignore[arg-type]
                    show(page, width, look, tab)
            print(f"{page}: the console says {complaints or 'nothing'}")
            tab.close()


def show(page: Path, width: int, look: dict[str, str], tab: Page) -> None:
    violations = Axe().run(tab, options={"resultTypes": ["violations"]}).response["violations"]
    wider = tab.evaluate("document.documentElement.scrollWidth") - width
    cut = tab.eval_on_selector_all(".scroll", CUT) if width == WIDTHS[0] else []
    how = look.get("color_scheme", "print")
    print(f"{page} {width} {how}: {len(violations)} findings, {max(0, wider)} px too wide, cut: {cut}", flush=True)
    for violation in violations:
        nodes = [node["html"][:160] for node in violation["nodes"]]
        print(f"    {violation['id']} ({violation['impact']}) x{len(nodes)}: {nodes[:SHOWN]}", flush=True)


if __name__ == "__main__":
    main()
