"""What renders the templates, and what they call."""

from typing import Any

import jinja2

from analysis.results.format import percent, span, unbroken

_MOST_NAMED = 12


def _spread(row: dict[str, Any], split: str) -> str:
    """`91.30 % (90.1–92.4 %, n = 3)` of a mean over seeds; one seed has no interval."""
    mean, low, high = (row[f"{split}_accuracy_{name}"] for name in ("mean", "low", "high"))
    return f"{percent(mean)} % ({f'{span(low, high, 2)} %, ' if row['n'] > 1 else ''}n = {row['n']})"


def _listed(names: list[str], form: str) -> str:
    """The names in a form such as ` ({})`; nothing if there are too many to name."""
    return form.format("; ".join(names)) if len(names) <= _MOST_NAMED else ""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


#: In a page of HTML it escapes every value.
ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("analysis", "pages/templates"),
    autoescape=jinja2.select_autoescape(("html.j2",)),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {
    "counted": _counted,
    "listed": _listed,
    "percent": percent,
    "spread": _spread,
    "unbroken": unbroken,
}
