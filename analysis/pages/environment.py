"""What renders the templates, and what they call."""

from typing import Any

import jinja2
import pandas as pd

from analysis.results.compared import Compared
from analysis.results.format import about, percent, span, unbroken
from data_prep import printable

_MOST_NAMED, _MOST_LISTED = 12, 6


def over(row: "pd.Series[Any] | dict[str, Any]", compared: Compared) -> str:
    """A mean over seeds: `91.30 % (95 % interval 90.1–92.4 %, over 2,000 images and 3 seeds)`."""
    interval = f"95 % interval {span(row['accuracy_low'], row['accuracy_high'])} %, over {compared.images:,} images"
    seeds = f" and {row['seeds']} {compared.unit}s" if row["seeds"] > 1 else ""
    return f"{percent(row['accuracy'])} % ({interval}{seeds})"


def needed(row: "pd.Series[Any] | dict[str, Any]", compared: Compared) -> str:
    """What would give an undecided configuration a verdict, as a sentence about it."""
    count, unit = int(row["seeds"]), compared.unit
    if row["seeds_needed"]:
        return (
            f"{about(row['seeds_needed'])} {unit}s a network, instead of {count}, would show it {row['then']}, if the "
            "differences stay as they are"
        )
    if row["images_needed"]:
        clusters = ", in as many more clusters," if compared.clusters else ""
        return (
            f"{compared.images:,} test images are too few for a verdict, whatever the number of {unit}s; "
            f"{about(row['images_needed'])}{clusters} and very many {unit}s would show it {row['then']}"
        )
    return f"no number of {unit}s or test images would give it a verdict: a difference is as large as the margin"


def enumerated(names: list[str]) -> str:
    """`a`, `a and b`, `a; b and 3 more`."""
    shown, more = names[:_MOST_LISTED], len(names) - _MOST_LISTED
    if more > 0:
        return f"{'; '.join(shown)} and {more:,} more"
    return f"{'; '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def _listed(names: list[str], form: str) -> str:
    """The names in a form such as ` ({})`; nothing if there are too many to name."""
    return form.format("; ".join(names)) if len(names) <= _MOST_NAMED else ""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _shown(value: Any) -> Any:
    """A value as a page shows it; what has been escaped is our own."""
    return printable(value, "\n\t") if isinstance(value, str) and not hasattr(value, "__html__") else value


#: In a page of HTML it escapes every value.
ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("analysis", "pages/templates"),
    autoescape=jinja2.select_autoescape(("html.j2",)),
    undefined=jinja2.StrictUndefined,
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {
    "counted": _counted,
    "enumerated": enumerated,
    "listed": _listed,
    "needed": needed,
    "percent": percent,
    "unbroken": unbroken,
}
