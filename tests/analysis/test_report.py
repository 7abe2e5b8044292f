"""The report: one file that names every trial, and says what won and how sure it is."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

from analysis.pages.tables import files
from analysis.results.judged import findings
from analysis.results.provenance import SAMPLE_CAVEAT, SMOKE_CAVEAT
from analysis.results.trials import read
from data_prep.storage import Folder
from support.figures import FIGURES, drawn
from support.records import (
    AGE,
    TEST,
    manifest,
    said,
    twelve,
)
from sweeps.stats.intervals import wilson


class Page(HTMLParser):
    """What a page loads, its images' alternative texts, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.alts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        self.alts += [dict(attrs).get("alt") or ""] if tag == "img" else []
        if tag not in ("meta", "img", "link", "br", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_needs_nothing_but_itself_and_names_every_trial(analysed: tuple[Folder, str]) -> None:
    _, html = analysed
    page = Page(html)
    assert page.open == []
    assert len(page.loads) == 2 * len(FIGURES), "for a screen and for a phone"
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.loads)
    assert not re.search(r"url\(|@import|<script src|<link", html)
    assert all(page.alts)
    text = re.sub(r"data:[^\"]*", "", html)
    assert all(text.count(name) > 0 for name in AGE)
    assert "prefers-color-scheme: dark" in html


def test_the_report_tells_what_won_and_how_sure_it_is(analysed: tuple[Folder, str]) -> None:
    html = analysed[1].replace("\N{NO-BREAK SPACE}", " ")
    low, high = wilson(335 / TEST, TEST)
    assert f"test accuracy 83.75 % (95 % interval {100 * low:.1f}–{100 * high:.1f} %, n = 400)" in html
    assert "12 networks in 12 trials with 1 seed: 11 ranked, 1 collapsed." in html
    for fact in ("0123456789abcdef", "Codecs differ.", "a.jpg (no JPEG)", "abcdef, with changes", "ray 2.60.0"):
        assert fact in html
    assert "Which of &lt;twelve&gt; is best?" in html
    assert SAMPLE_CAVEAT not in html
    assert SMOKE_CAVEAT not in html


def test_the_sample_and_a_smoke_run_are_named_for_what_they_are(make: Callable[..., Folder]) -> None:
    data = manifest()["data"] | {"source": "sample"}
    folder = make(twelve(), data=data, settings={"smoke": True})
    results = read(folder)
    html, markdown = said(folder), files(results, findings(results))["results.md"].decode()
    drawings = drawn(results)
    for caveat in (SAMPLE_CAVEAT, SMOKE_CAVEAT):
        assert caveat in html
        assert caveat in markdown
        for drawing in drawings.values():
            assert caveat in drawing.figure.get_supxlabel().replace("\n", " ")
