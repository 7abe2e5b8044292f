"""Text from data, which may be a stranger's, on its way to a terminal, a page or a spreadsheet."""

import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd  # which each trial's process would import

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
    return str(plain.to_csv(index=False)).encode()


def no_formula(cell: Any) -> Any:
    """A cell of a table; with an apostrophe first if it is text that a spreadsheet would take for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell
