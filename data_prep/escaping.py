"""Text from data, which may be a stranger's, on its way to a terminal, a page or a spreadsheet."""

import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd  # which each trial's process would import

_MARKDOWN = re.compile(r"[\\`|<\[]")
_ADDRESS = re.compile(r"([a-z0-9+.-]{0,16}):/+([^/:@]*)(:(?:\d*/)?)?", re.IGNORECASE)
_SECRET = re.compile(
    r"([?&][^=&?\s]{0,40}(?:key|token|secret|password|signature)[^=&?\s]{0,40}=)[^&\s]+", re.IGNORECASE
)
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # with which a cell begins that a spreadsheet computes


def printable(text: str, kept: str = "") -> str:
    """Text from data for a terminal or a page, which obey control characters: those are written as Python writes them.

    But for those `kept`.
    """
    obeyed = {sign for sign in set(text) - set(kept) if unicodedata.category(sign).startswith("C")}
    return "".join(ascii(sign)[1:-1] if sign in obeyed else sign for sign in text) if obeyed else text


def as_csv(frame: "pd.DataFrame") -> bytes:
    """A table as a file's content. Text that a spreadsheet would take for a formula begins with an apostrophe."""
    texts = frame.select_dtypes(exclude="number")
    plain = frame.assign(**{str(column): texts[column].map(no_formula) for column in texts})
    return str(plain.rename(columns=no_formula).to_csv(index=False)).encode()


def no_formula(cell: Any) -> Any:
    """A cell of a table; with an apostrophe first if it is text that a spreadsheet would take for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


def as_markdown(text: str) -> str:
    """Text for a line of Markdown, which would take some of it for a link, a picture, HTML, code or a cell's end."""
    return _MARKDOWN.sub(r"\\\g<0>", printable(" ".join(text.split())))


def without_passwords(text: str) -> str:
    """Text with `…` for the secrets of the addresses in it: `s3://user:password@bucket`, `https://token@host/x?key=y`."""
    words = re.sub(r"\S+", lambda word: _without_password(*word[0].rpartition("@")), text)
    return _SECRET.sub(r"\1…", words)


def _without_password(before: str, at: str, after: str) -> str:
    """A word of which the last @ may end the password of an address: there may be slashes, quotes and more @ in it."""
    for address in _ADDRESS.finditer(before):
        scheme, user, colon = address[1].lower(), address.end(2), address[3] or ""
        if colon == ":" or (colon and (scheme in ("s3", "gs") or not colon.endswith("/"))):
            return f"{before[:user]}:…@{after}"
        if not colon and user == len(before) and scheme in ("http", "https"):
            return f"{before[: address.start(2)]}…@{after}"
    return before + at + after
