"""How numbers, splits and tables of the terminal are written, wherever people read them."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd
from rich import box
from rich.table import Column, Table
from rich.text import Text

from data_prep import printable

#: Split → its name for people.
TITLES = {"validation": "validation", "test": "test", "test_clean": "clean test"}


def with_span(value: float, low: float, high: float) -> str:
    """`0.912 (0.901–0.923)`; the value alone if an end is missing or not finite."""
    return number(value, 3) + (f" ({number(low, 3)}–{number(high, 3)})" if math.isfinite(low + high) else "")


def points_span(low: float, high: float) -> str:
    """`-0.12 to +0.93` of two differences of shares, in points; nothing if they are missing."""
    return f"{100 * low:+.2f} to {100 * high:+.2f}" if math.isfinite(low) else ""


def percent(share: float, digits: int = 2) -> str:
    """A share, 0–1, in percent without the sign; a dash if it is missing."""
    return number(100 * share, digits)


def number(value: float, digits: int) -> str:
    """A number with that many decimals; a dash if it is missing or not finite."""
    return f"{value:,.{digits}f}" if pd.notna(value) and math.isfinite(value) else "–"


def points(share: float) -> str:
    """`1 point`, `0.5 points`, of a difference of shares."""
    return f"{100 * share:g} point{'' if 100 * share == 1 else 's'}"


def about(count: int) -> str:
    """`about 1,200`: a number that is estimated, to two digits."""
    return f"about {int(float(f'{count:.2g}')):,}"


def mean_and_deviation(mean: float, deviation: float) -> str:
    """`91.20 ± 0.14` of two shares, in percent; the mean alone if there is no deviation."""
    return percent(mean) if pd.isna(deviation) else f"{percent(mean)} ± {percent(deviation)}"


def span(low: float, high: float, digits: int = 1) -> str:
    """`90.1–92.3` of two shares, in percent; nothing if they are missing."""
    return f"{percent(low, digits)}–{percent(high, digits)}" if math.isfinite(low) else ""


def unbroken(text: str) -> str:
    """A text whose lines do not break between a number and its percent sign, or within `n = 2,000`."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace("n = ", "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")


def plain_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], pad_edge: bool = True) -> Table:
    """A table with a line under its headings and none around it."""
    table = Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=pad_edge)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))  # which takes no markup
    return table
