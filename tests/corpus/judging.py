"""What any attempt must be: one sentence that names a remedy, or a result; and nothing outside its folder."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from corpus.attempts import PATIENCE, Attempt
from corpus.records import SECRET

_MOST_MEBIBYTES = 2048
#: A remedy is an imperative.
_REMEDIES = (
    "add|ask|check|choose|close|compare|copy|delete|do without|drop|free|get|give|install|leave|make|mend|name",
    "pass|put|raise|remove|restore|run|save|say|see|set|start|take|train|try|use|wait|write|there (is|are)|nearest",
    "must|did you mean|one of|expected|range|valid|it has",
)
_REMEDY = re.compile(rf"\b({'|'.join(_REMEDIES)})\b", re.IGNORECASE)
#: What reaches a page, a terminal or a spreadsheet only in another form.
_RAW = ("\x1b", "\u202e", "\x07")
_MARKUP = ("<script>alert", "<img src=x")
#: A password that locations of the corpus hold, and what stands in a file that no command is asked to read.
_SECRETS = ("key:secret", SECRET)


def faults(attempt: Attempt, words: tuple[str, ...], is_refused: bool, place: Path) -> Iterator[str]:
    """What is wrong with an attempt at these words in the folder `place`, if anything."""
    said = attempt.out + attempt.err
    to_a_terminal = attempt.err if words[:2] == ("analysis", "predict") else said  # whose output programs read
    if "Traceback (most recent" in said:
        yield f"a traceback: {said[-1500:]}"
    if attempt.seconds > PATIENCE - 1:
        yield f"{attempt.seconds:.0f} s, too long"
    if attempt.mebibytes > _MOST_MEBIBYTES:
        yield f"{attempt.mebibytes:,.0f} MiB"
    yield from attempt.outside
    if any(sign in to_a_terminal for sign in _RAW):
        yield f"control characters: {said!r}"
    if any(secret in said for secret in _SECRETS):
        yield f"a secret: {said!r:.300}"
    if (place / "canary").exists():
        yield "the canary has been touched"
    if is_refused != (attempt.code == 2):
        yield f"code {attempt.code} instead of {'2' if is_refused else '0'}: {said[-600:]}"
    elif is_refused:
        lines = [line for line in attempt.err.splitlines() if line.strip()]
        if len(lines) != 1 or not lines[0].startswith("error: "):
            yield f"no single sentence: {attempt.err[-600:]}"
        elif not _REMEDY.search(lines[0]):
            yield f"no remedy: {lines[0]}"
    elif attempt.code not in (0, 1):
        yield f"code {attempt.code}: {said[-600:]}"


def is_slow(fault: str) -> bool:
    """Whether a fault is that a command took too long."""
    return fault.endswith(" s, too long")


def unescaped(record: Path) -> Iterator[str]:
    """Where the text of a record reaches its report or its tables as it is."""
    page = record / "report.html"
    if page.exists() and any(sign in page.read_text() for sign in (*_RAW[:2], *_MARKUP, *_SECRETS)):
        yield "markup or a secret in the report"
    for path in (*record.glob("tables/*.csv"), *record.glob("figures/*.csv")):
        rows = csv.reader(io.StringIO(path.read_text()))
        if any(cell.startswith(("=", "@", "+")) for row in rows for cell in row):
            yield f"a formula in {path.name}"
