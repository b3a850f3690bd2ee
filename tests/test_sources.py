"""Sources as links: each that is cited of a case leads to a thread, and nothing in one is markup."""

import pytest

from harness.cases.traps import TRAPS
from reports.sources import CITED, address_of, linked


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("pytorch#3122", '<a href="https://github.com/pytorch/pytorch/issues/3122">pytorch#3122</a>'),
        ("ROCm/rocm#9", '<a href="https://github.com/ROCm/rocm/issues/9">ROCm/rocm#9</a>'),
        ("see https://d2l.ai/a.html.", 'see <a href="https://d2l.ai/a.html">d2l.ai/a.html</a>.'),
        ("nobody#1 <b>", "nobody#1 &lt;b&gt;"),
        ('https://x.y/"onload=1', '<a href="https://x.y/&#34;onload=1">x.y/&#34;onload=1</a>'),
    ],
)
def test_a_source_is_a_link_and_the_rest_is_text(text, html):
    assert linked(text) == html


def test_every_trap_leads_to_its_threads():
    cited = [source for trap in TRAPS for source in trap.sources if CITED.search(source)]
    assert len(cited) > 80
    assert [source for source in cited if not address_of(CITED.search(source))] == []
