"""The report in a real browser: sorting, filtering, and what fits on a small screen. Skipped without Chromium."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from data_prep.storage import Folder
from support.figures import FIGURES
from support.records import AGE, BEST, COLLAPSED, STOPPED, said, write
from trainables import Recipe

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs a browser: install Debian's package chromium")


@pytest.fixture
def page(analysed: tuple[Folder, str]) -> str:
    """The report of the twelve synthetic trials."""
    return analysed[1]


def after(page: str, script: str, place: Path, width: int = 1280) -> str:
    """What `document.title` is once the page has run a script of ours; the browser reports no error."""
    file = place / "report.html"
    file.write_text(page.replace("</body>", f"<script>{script}</script></body>"))
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={place}/profile"]
    words += [f"--window-size={width},900", "--disable-background-networking", "--dump-dom", f"file://{file}"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title
    return title[1]


NAMES = "[...table.tBodies[0].rows].filter(row => !row.hidden).map(row => row.querySelector('th').textContent).join()"
RANKING = (
    "const heading = [...document.querySelectorAll('h2')].find(each => each.textContent === 'Ranking');"
    "const table = heading.parentElement.querySelector('table');"
)


@pytest.mark.slow
def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round(page: str, tmp_path: Path) -> None:
    click = (
        "const headings = [...table.tHead.rows[0].cells];"
        "const button = headings.find(each => each.textContent === 'test %').firstChild; button.click();"
    )
    by_test = [name for name in reversed(AGE) if name != COLLAPSED]  # ascending: test says the opposite of validation
    ranked = [*(name for name in by_test if name != STOPPED), STOPPED]
    assert after(page, f"{RANKING} document.title = {NAMES}", tmp_path) == ",".join(ranked)
    assert after(page, f"{RANKING} {click} document.title = {NAMES}", tmp_path) == ",".join(by_test)
    twice = f"{RANKING} {click} button.click(); document.title = {NAMES} + button.parentElement.ariaSort"
    assert after(page, twice, tmp_path) == ",".join(reversed(by_test)) + "descending"


@pytest.mark.slow
def test_what_is_typed_filters_the_rows_and_says_how_many_are_left(page: str, tmp_path: Path) -> None:
    type_in = (
        "const input = table.closest('section').querySelector('input'); input.value = 'c4 F4';"
        "input.dispatchEvent(new Event('input'));"
    )
    told = f"document.title = {NAMES} + '|' + table.closest('section').querySelector('[aria-live]').textContent"
    assert after(page, f"{RANKING} {type_in} {told}", tmp_path) == f"{BEST}|1 of 11"
    clear = "input.value = ''; input.dispatchEvent(new Event('input'));"
    assert after(page, f"{RANKING} {type_in} {clear} {told}", tmp_path).startswith(f"{BEST},")
    assert after(page, f"{RANKING} {type_in} {clear} {told}", tmp_path).endswith(f"{STOPPED}|")


@pytest.mark.parametrize("width", [390, 500, 1280])
def test_tables_and_figures_are_whole(page: str, tmp_path: Path, width: int) -> None:
    script = (
        "document.querySelectorAll('details').forEach(one => one.open = innerWidth < 540);"
        "const parts = [...document.querySelectorAll('.scroll')].filter(e => !e.closest('details:not([open])'));"
        "document.title = [parts.length, parts.filter(e => e.scrollWidth > e.clientWidth).length].join()"
    )
    parts, cut = map(int, after(page, script, tmp_path, width).split(","))
    assert parts > len(FIGURES)
    assert not cut


@pytest.mark.parametrize("width", [1280, 500])
def test_only_tables_and_figures_are_wider_than_the_screen(page: str, tmp_path: Path, width: int) -> None:
    script = "document.title = [document.documentElement.scrollWidth, window.innerWidth].join()"
    needed, there = map(int, after(page, script, tmp_path, width).split(","))
    assert needed <= there


def test_every_element_that_can_be_focused_has_a_name(page: str, tmp_path: Path) -> None:
    script = (
        "document.title = [...document.querySelectorAll('button, input, [tabindex]')].filter(e => "
        "!(e.textContent.trim() || e.ariaLabel || (e.labels && e.labels[0].textContent.trim()))).length"
    )
    assert after(page, script, tmp_path) == "0"


def test_a_table_of_thousands_is_cut_and_says_where_the_rest_is(tmp_path: Path) -> None:
    trials = [(Recipe(BEST, learning_rate=1e-5 * (1 + place)), "failed", {}) for place in range(1_200)]
    page = said(write(tmp_path, trials))
    assert page.count("<tr>") < 600
    assert "The first 500 of 1,200 rows; the files in tables/ have all." in page
