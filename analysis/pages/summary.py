"""What came out, in sentences: what was compared, on which data, what won, and what of it may be noise.

The words are in templates/summary.txt.j2, the numbers here.
"""

from typing import Any

import pandas as pd

from analysis.pages.environment import ENVIRONMENT
from analysis.results.compared import PLANNED_DEVIATION, held_out, repeats
from analysis.results.format import percent, span
from analysis.results.judged import Findings
from analysis.results.searches import searched
from analysis.results.seeds import trial_name
from analysis.results.trials import FAILED, RANKED, Results
from trainables.record import UNFINISHED
from trainables.training.metrics import SCORED_SPLITS


def summary(results: Results, findings: Findings) -> list[str]:
    """Paragraphs of a few sentences each."""
    values = _trials(results) | _winner(results) | _noise(results, findings) | _search(results)
    text = ENVIRONMENT.get_template("summary.txt.j2").render(values)
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _trials(results: Results) -> dict[str, Any]:
    """The trials by status, and the images."""
    counts = results.trials["status"].value_counts(sort=False).to_dict()
    return {
        "trials": len(results.trials),
        "networks": results.trials["network"].nunique(),
        "seeds": max(1, results.trials["seed"].nunique()),
        "training_sets": results.trials["training_subset"].nunique() if results.has_training_sets else 0,
        "ranked": len(results.ranked),
        "others": {status: count for status, count in counts.items() if status not in RANKED},
        "failed": any(status in counts for status in FAILED),
        "unfinished": any(status in counts for status in UNFINISHED),
        "source": results.provenance.source,
        "images": {split: results.images(split) for split in ("train", *SCORED_SPLITS)},
    }


def _winner(results: Results) -> dict[str, Any]:
    """The first trial, those tied with it, and the floor."""
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
        "is_all_scored": len(means) == results.trials["configuration"].nunique(),
        "below": means[means <= max(floor.values(), default=0.0)].sort_values().index.tolist(),
    }


def _noise(results: Results, findings: Findings) -> dict[str, Any]:
    """What test says of the networks, and what being the best of many adds to the winner."""
    compared, comes_first = findings.compared, findings.comes_first
    frame, has_pairs = compared.configurations, len(compared.pairs) > 0
    return {
        "compared": compared,
        "scope": results.scope,
        "spread": findings.spread.tail(1).to_dict("records"),
        "spread_over": max(1, len(findings.spread) - 1),
        "has_pairs": has_pairs,
        "verdicts": {name: compared.named(name) for name in ("ahead", "level", "behind", "undecided")}
        if has_pairs
        else {},
        "all_undecided": has_pairs and bool((frame["verdict"] == "undecided").all()),
        "undecided_rows": frame[frame["verdict"] == "undecided"].to_dict("records") if has_pairs else [],
        "one_seed_rows": frame.head(1).to_dict("records") if len(frame) > 1 and not has_pairs else [],
        "fewest_seeds": int(frame.loc[frame["seeds"] > 1, "seeds"].min()) if has_pairs else 1,
        "singles": [str(name) for name in frame.loc[frame["seeds"] == 1, "configuration"]] if has_pairs else [],
        "planned": PLANNED_DEVIATION,
        "held_out": held_out(results),
        "has_epochs": bool(results.epochs.get("validation_right", pd.Series([None])).notna().all()),
        "candidates": len(comes_first),
        "comes_first": comes_first.get(results.ranked["trial"].iloc[0], float("nan")) if len(results.ranked) else 0.0,
        "optimism": max(0.0, findings.optimism),
    }


def _search(results: Results) -> dict[str, Any]:
    """What a search spent, and what its choice reached when it was trained again."""
    frame = searched(results)
    return {
        "is_search": bool(results.provenance.search),
        "search": results.provenance.search,
        "tried": len(frame),
        "stopped_early": int((frame["status"] == "stopped").sum()),
        "passes": frame["image_passes"].iloc[-1] / 1e6 if len(frame) else 0.0,
        "retrained": len(repeats(results)),
    }


def accuracy(row: "pd.Series[float]", split: str) -> str:
    """A trial's accuracy: `91.30 % (95 % interval 90.1–92.4 %, n = 2,000)`."""
    share, low, high = (row[f"{split}_{name}"] for name in ("accuracy", "low", "high"))
    interval = f" (95 % interval {span(low, high)} %, n = {row[f'{split}_images']:,})" if pd.notna(low) else ""
    return f"{percent(share)} %{interval}" if pd.notna(share) else "not recorded"
