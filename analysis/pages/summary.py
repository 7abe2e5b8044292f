"""What came out, in sentences: what was compared, on which data, what won, and what of it may be noise.

The words are in templates/summary.txt.j2, the numbers here.
"""

from typing import Any

import pandas as pd

from analysis.pages.environment import ENVIRONMENT
from analysis.results.format import mean_and_deviation, percent, span
from analysis.results.judged import Findings
from analysis.results.searches import searched
from analysis.results.seeds import has_spread, networks, repeats, trial_name
from analysis.results.trials import FAILED, RANKED, Results
from trainables.record import UNFINISHED
from trainables.training.metrics import SCORED_SPLITS


def summary(results: Results, findings: Findings) -> list[str]:
    """Paragraphs of a few sentences each."""
    values = _trials(results) | _winner(results) | _noise(results, findings) | _seeds(results) | _search(results)
    text = ENVIRONMENT.get_template("summary.txt.j2").render(values)
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _trials(results: Results) -> dict[str, Any]:
    """The trials by status, and the images."""
    counts = results.trials["status"].value_counts(sort=False).to_dict()
    return {
        "trials": len(results.trials),
        "networks": results.trials["network"].nunique(),
        "seeds": max(1, results.trials["seed"].nunique()),
        "ranked": len(results.ranked),
        "others": {status: count for status, count in counts.items() if status not in RANKED},
        "failed": any(status in counts for status in FAILED),
        "unfinished": any(status in counts for status in UNFINISHED),
        "source": results.provenance.source,
        "images": {split: results.images(split) for split in ("train", *SCORED_SPLITS)},
    }


def _winner(results: Results) -> dict[str, Any]:
    """The first trial, those level with it, and the floor."""
    if not len(results.ranked):
        return {}
    best = results.ranked.iloc[0]
    level = results.ranked[results.ranked["rank"] == 1].iloc[1:]
    means = results.ranked.groupby("configuration")["test_accuracy"].mean().dropna()
    floor = results.provenance.floors
    return {
        "metric": results.provenance.metric_title,
        "best": trial_name(best, results),
        "equals": [trial_name(row, results) for _, row in level.iterrows()],
        "best_is_finished": best["status"] != "stopped",
        "has_stopped": (results.ranked["status"] == "stopped").any(),
        "accuracies": {split: accuracy(best, split) for split in SCORED_SPLITS},
        "floors": floor if len(means) else {},
        "below": means[means <= max(floor.values(), default=0.0)].sort_values().index.tolist(),
    }


def _noise(results: Results, findings: Findings) -> dict[str, Any]:
    """What the first configuration cannot be told apart from, and what being the best of many adds to the winner."""
    pairs, comes_first = findings.comparisons, findings.comes_first
    return {
        "pairs": len(pairs),
        "first": pairs["configuration"].iloc[0] if len(pairs) else "",
        "level": findings.level_with_first(),
        "rivals": len(findings.with_first()),
        "apart": int(pairs["told_apart"].sum()) if len(pairs) else 0,
        "candidates": len(comes_first),
        "comes_first": comes_first.get(results.ranked["trial"].iloc[0], float("nan")) if len(results.ranked) else 0.0,
        "optimism": max(0.0, findings.optimism),
    }


def _seeds(results: Results) -> dict[str, Any]:
    """The first configuration over its seeds; None for want of them."""
    if results.provenance.search or not has_spread(results):  # the means over seeds take their time
        return {"over_seeds": None}
    first = networks(results).iloc[0]
    values = {"configuration": first["configuration"], "n": first["n"]} | {
        split: mean_and_deviation(first[f"{split}_accuracy_mean"], first[f"{split}_accuracy_std"])
        for split in SCORED_SPLITS
    }
    return {"over_seeds": values if first["n"] > 1 else None}


def _search(results: Results) -> dict[str, Any]:
    """What a search spent, and what its choice reached when it was trained again."""
    frame = searched(results)
    return {
        "is_search": bool(results.provenance.search),
        "search": results.provenance.search,
        "tried": len(frame),
        "stopped_early": int((frame["status"] == "stopped").sum()),
        "passes": frame["image_passes"].iloc[-1] / 1e6 if len(frame) else 0.0,
        "retrained": repeats(results).to_dict("records"),
    }


def accuracy(row: "pd.Series[float]", split: str) -> str:
    """A trial's accuracy: `91.30 % (95 % interval 90.1–92.4 %, n = 2,000)`."""
    share, low, high = (row[f"{split}_{name}"] for name in ("accuracy", "low", "high"))
    interval = f" (95 % interval {span(low, high)} %, n = {row[f'{split}_images']:,})" if pd.notna(low) else ""
    return f"{percent(share)} %{interval}" if pd.notna(share) else "not recorded"
