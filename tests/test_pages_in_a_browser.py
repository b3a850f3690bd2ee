"""The pages in a browser: what is clicked works, nothing is cut, nothing is fetched, axe-core has no objection.

Takes Chromium, or Chrome, on the PATH, and the Python packages `playwright` and `axe-playwright-python`.
"""

import itertools
import shutil

import pytest

from harness.cli.companion import of_records
from reports.matrix import COLUMNS, DERIVED
from reports.render import render
from tests import ledger_sample as sample

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-extensions", "--disable-background-networking")
NUMBERS = itertools.count()
"""A page that is asked for by another number is loaded anew."""
WIDTHS = (1440, 768, 390)
LANGUAGES = ("Python 3.13.1", "JavaScript, Node v22.1", "C++ 17")
ODD = "exec:node <b>.js"
HIDDEN_TAB = "float64-torch"
CELL = ("target", "dtype", "verdict", "case", "step", "error", "bound", "ratio", "message")


def matrix_records():
    """Four targets of three languages, each with something else to show."""
    mistake = {"id": "fast_variance", "text": "E[x^2] - E[x]^2", "cases": ["large_mean"]}
    about = {
        "numpy": {"seconds": 9.0},
        "torch": {"seconds": 100.0, "verdict": "differ", "diagnosis": [mistake]},
        ODD: {"seconds": 20.0},
        "mlx": {"seconds": 1.0, "verdict": "crashed"},
    }
    probed = {key: value for key, value in sample.D2L.items() if key != "source"}
    targets = [
        sample.target(name, what=f"what {name} is", probed=probed)
        | {"library": f"lib {place}", "language": LANGUAGES[place % 3]}
        | changes
        for place, (name, changes) in enumerate(about.items())
    ]
    cells = [
        {field: record[field] for field in CELL} | {"observable": observable}
        for name, ratio in (("numpy", 0.5), ("torch", 3e7), (ODD, 0.75))
        for observable in (*COLUMNS, *(DERIVED if name != ODD else ()))
        for dtype in ("float32", "float64")
        for record in [sample.comparison(name, observable, ratio, "differ" if ratio > 1 else "agree", dtype=dtype)]
    ]
    pair = {"verdict": "declared", "declared_by": ["momentum"], "ratio": None, "where": None}
    finding = {
        "file": "torch_fast.py",
        "targets": ["torch"],
        "title": "a negative variance",
        "documented": "no",
    }
    return {
        "header": [sample.header(published=None)],
        "not_installed": [{"target": "mind", "install": "pip install mind", "reason": "no wheel for this Python"}],
        "target": targets,
        "cell": cells,
        "pair": [{"a": "numpy", "b": "torch"} | pair, {"a": "torch", "b": ODD} | pair | {"verdict": "differ"}],
        "finding": [finding | {"code": "print(1)", "output": ["FINDING 1"], "reproduced": True}],
    }


def history_records():
    release = {"library": "flax", "uploaded": "2024-01-02", "target": "flax-linen"}
    mistake = {"id": "fast_variance", "text": "", "cases": []}
    return {
        "header": [sample.header(published=None)],
        "release": [
            release | {"version": "1.0", "verdict": "not_installable", "reason": "no matching wheel"},
            release | {"version": "1.1", "verdict": "differ", "diagnosis": [mistake]},
            release | {"version": "1.2", "verdict": "agree"},
        ],
    }


def report_records():
    """A small run: contrast takes time for every cell."""
    made = sample.records()
    kept = ("numpy", "tutorial")
    for kind in ("target", "comparison"):
        made[kind] = [record for record in made[kind] if record["target"] in kept]
    made["comparison"] = [record for record in made["comparison"] if record["dtype"] == "float32"]
    made["pair"] = [record for record in made["pair"] if {record["a"], record["b"]} <= {*kept}]
    failure = sample.comparison("tutorial", "y", 3e7, "differ", case="rank2", index=[1, 2], step=1, op="train")
    made["comparison"].append(failure)
    return made | {"throughput": [sample.throughput("torch"), sample.layer()]}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Page -> where it is."""
    places = {name: tmp_path_factory.mktemp(name) for name in ("matrix", "report")}
    sample.write(places["matrix"], history_records()).rename(places["matrix"] / "history-flax.jsonl")
    ledgers = {
        "matrix": sample.write(places["matrix"], matrix_records()),
        "report": sample.write(places["report"], report_records()),
    }
    return {name: render(ledger, places[name], companion_of=of_records).as_uri() for name, ledger in ledgers.items()}


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser):
    """A page that writes down what it is not to do."""
    tab = browser.new_page()
    tab.complaints = []
    tab.on("console", lambda message: tab.complaints.append(message.text))
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or tab.complaints.append(request.url))
    return tab


@pytest.fixture
def matrix(tab, pages):
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.goto(f"{pages['matrix']}?{next(NUMBERS)}")
    yield tab
    assert tab.complaints == []


def shown(tab, selector="table.targets tbody tr", by="target"):
    """The targets, or cases, whose rows are visible, in order."""
    return tab.eval_on_selector_all(selector, f"all => all.filter(e => e.offsetParent).map(e => e.dataset.{by})")


ALL = ["numpy", "torch", ODD, "mlx"]


def test_the_headline_counts(matrix):
    heading = matrix.inner_text("h1").replace("\n", " ")
    assert heading == "Batch norm in 4 targets from 4 libraries in 3 languages: 2 agree and 2 differ"


FILTERS = {
    ("language", "JavaScript"): ["torch"],
    ("library", "lib_2"): [ODD],
    ("verdict", "agree"): ["numpy", ODD],
    ("mistake", "fast_variance"): ["torch"],
    ("finding", "1"): ["torch"],
}
"""(What is chosen, how) -> the targets that are left. In one test: a page takes longer to load than to use."""


def test_a_filter_holds_in_every_table(matrix):
    for (name, value), kept in FILTERS.items():
        matrix.select_option(f"select[name={name}]", value)
        assert shown(matrix) == kept, name
        assert shown(matrix, "#conventions tbody tr") == kept
        assert shown(matrix, "#one-by-one details") == kept
        assert f"{len(kept)} of 4 targets" in matrix.inner_text(".shown")
        matrix.click(".filters button")
        matrix.wait_for_function("document.querySelector('.shown').textContent === 'all 4 targets'")
        assert shown(matrix) == ALL


def test_words_filter_by_the_keyboard_alone(matrix):
    matrix.keyboard.press("/")
    matrix.keyboard.type("CRASH")
    assert shown(matrix) == []
    matrix.keyboard.press("Escape")
    assert shown(matrix) == ALL
    matrix.keyboard.type("process DIES")
    assert shown(matrix) == ["mlx"]


@pytest.mark.parametrize(
    ("column", "up"),
    [("seconds", ["mlx", "numpy", ODD, "torch"]), ("target", [ODD, "mlx", "numpy", "torch"])],
)
def test_a_heading_sorts_up_down_and_back(matrix, column, up):
    heading = matrix.locator("#targets").get_by_role("columnheader", name=column)
    button = heading.get_by_role("button")
    for order, state in ((up, "ascending"), (up[::-1], "descending"), (ALL, None)):
        button.focus()
        matrix.keyboard.press("Enter")
        assert shown(matrix) == order
        assert heading.get_attribute("aria-sort") == state


def test_numbers_sort_as_numbers_and_what_is_empty_stands_last(matrix):
    button = matrix.locator("#targets thead").get_by_role("button", name="findings")
    button.click()
    assert shown(matrix)[0] == "torch"
    button.click()
    assert shown(matrix)[0] == "torch"
    matrix.locator("#agreement-float64 thead").get_by_role("button", name="dx").first.evaluate("e => e.click()")
    rows = matrix.eval_on_selector_all(
        "#agreement-float64 .scroll:first-of-type tbody tr", "all => all.map(e => e.dataset.target)"
    )
    assert rows == ["numpy", ODD, "torch"]


VISIBLE = """id => {
  const place = document.getElementById(id).getBoundingClientRect();
  return place.height > 0 && place.top >= -1 && place.top < innerHeight;
}"""


def test_a_link_opens_what_it_leads_into(matrix):
    for anchor in ("target-torch", "mistake-fast_variance", "finding-torch_fast.py", "finding-1"):
        matrix.fill("input[name=words]", "numpy")
        matrix.evaluate("id => { location.hash = id }", anchor)
        matrix.wait_for_function(VISIBLE, arg=anchor)
        matrix.click("nav a[href='#targets']")
    assert matrix.evaluate("document.getElementById('target-torch').open")


def test_a_link_into_a_hidden_tab_opens_the_tab(matrix, pages):
    hidden = matrix.locator(f"#{HIDDEN_TAB}")
    matrix.click("label[for=tab-float32]")
    assert not hidden.is_visible()
    matrix.evaluate("id => { location.hash = id }", HIDDEN_TAB)
    hidden.wait_for(state="visible")
    matrix.click("label[for=tab-float32]")
    matrix.goto(f"{pages['matrix']}?again#{HIDDEN_TAB}")
    assert hidden.is_visible()


def test_every_link_leads_somewhere(matrix):
    broken = "all => all.map(a => a.hash.slice(1)).filter(id => !document.getElementById(decodeURIComponent(id)))"
    assert matrix.eval_on_selector_all("a[href^='#']", broken) == []
    twice = "all => all.map(e => e.id).filter((id, n, ids) => ids.indexOf(id) !== n)"
    assert matrix.eval_on_selector_all("[id]", twice) == []


def test_tabs_by_the_keyboard(matrix):
    matrix.focus("#tab-float64")
    matrix.keyboard.press("ArrowRight")
    assert matrix.is_checked("#tab-float32")
    assert matrix.is_visible("#agreement-float32")


def test_without_a_script_everything_is_there(browser, pages):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(pages["matrix"])
    assert tab.locator("table.targets tbody tr").count() == len(ALL)
    assert not tab.is_visible(".filters")
    context.close()


WITHOUT_CONTRAST = {"color-contrast": {"enabled": False}}
"""It takes most of the time. Both pages have the same colours, and test_colours.py computes the contrast of each."""


@pytest.mark.parametrize(("name", "rules"), [("matrix", {}), ("report", WITHOUT_CONTRAST)])
def test_axe_has_no_objection_and_nothing_is_cut(tab, pages, name, rules):
    tab.set_viewport_size({"width": WIDTHS[0], "height": 900})
    tab.emulate_media(color_scheme="light")
    tab.goto(pages[name])
    tab.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    cut = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.getAttribute('aria-label'))"
    assert tab.eval_on_selector_all(".scroll", cut) == []
    assert objections(tab, rules=rules) == []
    tab.emulate_media(color_scheme="dark")
    for width in WIDTHS[1:]:
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        if name == "matrix" or width == WIDTHS[-1]:
            assert objections(tab, rules=WITHOUT_CONTRAST) == []
    tab.emulate_media(color_scheme="light")
    assert tab.complaints == []


def test_on_the_report_links_open_what_they_lead_into(tab, pages):
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto(f"{pages['report']}?{next(NUMBERS)}")
    assert tab.evaluate("document.querySelector('h1').getBoundingClientRect().bottom") < 400  # the verdict comes first
    cases = "table.heatmap tbody tr"
    in_order = shown(tab, cases, "case")
    tab.select_option("select[name=outcome]", "differ")
    assert shown(tab, cases, "case") == ["gradients_off", "rank2"]
    tab.fill("input[name=words]", "dense layer")  # of what the case is, further down
    assert shown(tab, cases, "case") == shown(tab, "dl.cases > div", "case") == ["rank2"]
    assert f"1 of {len(in_order)} cases" in tab.inner_text(".shown")
    tab.evaluate("location.hash = 'case-rank4'")  # a link shows what a filter hides
    tab.wait_for_function(VISIBLE, arg="case-rank4")
    tab.locator("table.heatmap thead").get_by_role("button", name="tutorial").press("Enter")
    tab.keyboard.press("Enter")
    assert shown(tab, cases, "case") != in_order
    tab.click("table.heatmap td a")
    tab.wait_for_function(VISIBLE, arg="fails-tutorial.rank2")
    tab.click("a[href='#script-tutorial.rank2']")
    tab.wait_for_function(VISIBLE, arg="script-tutorial.rank2")
    assert tab.is_visible("#script-tutorial\\.rank2 pre")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert tab.complaints == []


def test_in_print_all_is_shown(matrix):
    in_grey = "getComputedStyle(document.querySelector('.kicker')).color"
    on_light = matrix.evaluate(in_grey)
    matrix.emulate_media(media="print", color_scheme="dark")
    assert matrix.evaluate(in_grey) == on_light  # paper is white
    assert matrix.is_visible("#agreement-float64")
    assert matrix.is_visible("#agreement-float32")
    assert not matrix.is_visible(".filters")
    matrix.emulate_media(media="screen", color_scheme="light")


PAPER = (720, 390)
"""Of a letter or A4 sheet between the margins that a browser leaves, in CSS pixels, and of a slip a phone wide."""


@pytest.mark.parametrize("paper", PAPER)
def test_nothing_is_wider_than_paper(paper, tab, tmp_path):
    records = sample.records()
    for record in records["comparison"]:
        record |= {"ratio": 0.9999999, "case": "sixteen_bits_large_mean"} if record["ratio"] is not None else {}
    page = render(sample.write(tmp_path, records), tmp_path, companion_of=of_records)
    tab.set_viewport_size({"width": paper, "height": 900})
    tab.goto(page.as_uri())
    tab.emulate_media(media="print")
    tab.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    assert tab.evaluate("document.documentElement.scrollWidth") <= paper
    tab.emulate_media(media="screen")


def objections(tab, **options):
    """What axe-core finds, in what is shown."""
    found = axe.Axe().run(tab, options={"resultTypes": ["violations"]} | options).response["violations"]
    return [(each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]]) for each in found]
