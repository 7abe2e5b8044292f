"""Data frames → what people and programs read: CSV and Parquet with every digit, Markdown and cells with percents."""

import math
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.results.format import mean_and_deviation, number, percent, points_span, span, with_span
from analysis.results.judged import Findings
from analysis.results.searches import front, importance, repeats
from analysis.results.trials import METRICS, SPLITS, Results, has_seeds, networks, varied_hyperparameters
from trainables.training import metrics

_INTERVALS = [f"{split}_{end}" for split in SPLITS for end in ("low", "high")]


_IMAGES = [f"{split}_images" for split in ("train", *SPLITS)]


#: Split → what people call it.
TITLES = dict(zip(SPLITS, ("validation", "test", "clean test"), strict=True))


def files(results: Results, found: Findings) -> dict[str, bytes]:
    """File name → content of every table of a results that has rows; `networks` only if there are several seeds."""
    tables = {"results": results_table(results.trials)}
    if has_seeds(results.trials):
        tables["networks"] = networks(results.trials, results.provenance.metric, results.provenance.direction)
    more = {"metrics": found.metrics, "comparisons": found.comparisons, "classes": found.classes}
    more |= {"repeats": repeats(results), "front": results_table(front(results)), "importance": importance(results)}
    tables |= {name: frame for name, frame in more.items() if len(frame)}
    contents = {f"{name}.csv": frame.to_csv(index=False).encode() for name, frame in tables.items()}
    contents |= {f"{name}.parquet": _parquet(frame) for name, frame in tables.items()}
    markdown = {"results.md": results_markdown(results), "networks.md": networks_markdown(results)}
    return contents | {name: text.encode() for name, text in markdown.items() if name.removesuffix(".md") in tables}


def results_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of the results that are published, one row a trial; numbers are not rounded, accuracies are 0–1."""
    names = [
        "rank",
        "network",
        *varied_hyperparameters(frame),
        "seed",
        *METRICS,
        "parameters",
        "epochs_done",
        "best_epoch",
    ]
    return frame[[*names, "wall_seconds", "status", "reason", *_INTERVALS, *_IMAGES, "trial"]]


def ranked_cells(results: Results) -> pd.DataFrame:
    """The ranking as text, one row a trial, a column a heading."""
    frame = results.ranked
    cells = pd.DataFrame({"rank": frame["rank"].astype(str), **_name_cells(results, frame)})
    for split, title in TITLES.items():
        cells[f"{title} %"] = _accuracies(frame, split)
    for split, title in TITLES.items():
        cells[f"{title} AUC"] = [number(value, 4) for value in frame[f"{split}_auc"]]
    if results.provenance.metric == "validation_loss":
        cells["validation loss"] = [number(value, 4) for value in frame["validation_loss"]]
    cells["parameters"] = [_count(value) for value in frame["parameters"]]
    cells["epochs"] = [_count(value) for value in frame["epochs_done"]]
    cells["best epoch"] = [_count(value) for value in frame["best_epoch"]]
    cells["seconds"] = [number(value, 1) for value in frame["wall_seconds"]]
    return cells


def flagged_cells(results: Results) -> pd.DataFrame:
    """The trials that are not ranked as text, with the reason."""
    frame = results.flagged
    cells = {"status": frame["status"].astype(str), **_name_cells(results, frame), "reason": frame["reason"]}
    return pd.DataFrame(cells | {"epochs": [_count(value) for value in frame["epochs_done"]]})


def network_cells(results: Results) -> pd.DataFrame:
    """The networks over their seeds as text: mean ± standard deviation (95 % interval), and the number of trials."""
    frame = networks(results.trials, results.provenance.metric, results.provenance.direction)
    cells = pd.DataFrame({"network": frame["configuration"], "n": frame["n"].astype(str)})
    cells["flagged"] = frame["flagged"].astype(str)
    for split, title in TITLES.items():
        columns = (frame[f"{split}_accuracy_{name}"] for name in ("mean", "std", "low", "high"))
        cells[f"{title} %"] = [
            mean_and_deviation(mean, deviation) + (f" ({told})" if (told := span(low, high)) else "")
            for mean, deviation, low, high in zip(*columns, strict=True)
        ]
    return cells.assign(parameters=[_count(value) for value in frame["parameters"]])


def metric_cells(found: Findings) -> pd.DataFrame:
    """Every metric of the first trials as text, a row a trial and part, with 95 % intervals."""
    frame = found.metrics[found.metrics["accuracy_low"].notna()] if len(found.metrics) else found.metrics
    if not len(frame):
        return frame
    cells = {"network": frame["configuration"], "seed": frame["seed"].astype(str)}
    cells["on"] = frame["part"].map(TITLES)
    for name, metric in metrics.METRICS.items():
        columns = (frame[f"{name}{end}"] for end in ("", "_low", "_high"))
        cells[metric.title] = [with_span(*values) for values in zip(*columns, strict=True)]
    return pd.DataFrame(cells)


def comparison_cells(found: Findings) -> pd.DataFrame:
    """The first configuration beside each of the others, as text: how far it is ahead on test, and how sure that is."""
    frame = found.comparisons
    if not len(frame):
        return frame
    frame = frame[frame["configuration"] == frame["configuration"].iloc[0]]
    spans = [points_span(*pair) for pair in zip(frame["low"], frame["high"], strict=True)]
    cells = {"network": frame["other"], "ahead by, points": [f"{100 * value:+.2f}" for value in frame["difference"]]}
    cells |= {"95 % interval": spans, "p (Holm)": [f"{value:.2g}" for value in frame["p_holm"]]}
    cells["told apart"] = ["yes" if each else "no" for each in frame["told_apart"]]
    if "auc_difference" in frame:
        cells["AUC ahead by"] = [f"{value:+.4f}" for value in frame["auc_difference"]]
        cells["p of AUC (Holm)"] = [f"{value:.2g}" for value in frame["auc_p_holm"]]
    return pd.DataFrame(cells)


def repeat_cells(results: Results) -> pd.DataFrame:
    """What was trained again with new seeds, as text: mean and 95 % interval over n seeds."""
    frame = repeats(results)
    cells = pd.DataFrame(
        {"network": frame.get("configuration", []), "n": frame.get("n", pd.Series(dtype=int)).astype(str)}
    )
    for split, title in TITLES.items() if len(frame) else ():
        columns = (frame[f"{split}_accuracy_{name}"] for name in ("mean", "low", "high"))
        told = [
            percent(mean) + (f" ({span(low, high, 2)})" if math.isfinite(low) else "")
            for mean, low, high in zip(*columns, strict=True)
        ]
        cells[f"{title} %"] = told
    return cells


def results_markdown(results: Results) -> str:
    """`results.md`: the ranking, the flagged trials apart, and what must be said beside them."""
    parts = [f"# Results of the sweep `{results.provenance.sweep}`", *results.provenance.caveats]
    parts += [_markdown(ranked_cells(results)), note(results)] if len(results.ranked) else ["No trial is ranked yet."]
    if len(results.flagged):
        parts += ["## Not ranked", _markdown(flagged_cells(results))]
    return "\n\n".join(parts) + "\n"


def note(results: Results) -> str:
    """How to read the ranking, with n."""
    sizes = ", ".join(f"{title} n = {results.images(split)}" for split, title in TITLES.items())
    has_stopped = (results.ranked["status"] == "stopped").any()
    stopped = ", and those that were stopped early after those that trained to the end" if has_stopped else ""
    return (
        f"Accuracies in %, with 95 % intervals (Wilson) over the images: {sizes}. The clean test is the test without "
        f"the images that also stand in train. AUC: FAKE is the positive class. Ranked on validation alone{stopped}."
    )


def networks_markdown(results: Results) -> str:
    """`networks.md`: mean and standard deviation over the seeds."""
    title = f"# Networks of the sweep `{results.provenance.sweep}` over their seeds"
    note = (
        "Accuracies in %, mean ± standard deviation over n ranked trials, and the 95 % interval of the mean (Student's "
        "t); flagged trials do not enter."
    )
    return "\n\n".join([title, *results.provenance.caveats, _markdown(network_cells(results)), note]) + "\n"


def _name_cells(results: Results, frame: pd.DataFrame) -> dict[str, Any]:
    """What tells a trial from the others: its configuration, and its seed."""
    return {"network": frame["configuration"], "seed": frame["seed"].astype(str)}


def _accuracies(frame: pd.DataFrame, split: str) -> list[str]:
    """`91.20 (90.1–92.3)` per trial."""
    rows = zip(*(frame[f"{split}_{name}"] for name in ("accuracy", "low", "high")), strict=True)
    return [percent(share) + (f" ({span(low, high)})" if math.isfinite(low) else "") for share, low, high in rows]


def _count(value: Any) -> str:
    return "–" if pd.isna(value) else f"{int(value):,}"


def _markdown(cells: pd.DataFrame) -> str:
    """A pipe table. A pipe within a cell would end it, and is escaped."""
    escaped = cells.map(lambda cell: str(cell).replace("|", "\\|"))
    return str(escaped.to_markdown(index=False, disable_numparse=True))


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer)
    return bytes(buffer.getvalue())
