"""What scores say: comparisons, thresholds, probes, object classes."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import binomtest, chi2
from statsmodels.stats.multitest import multipletests

from analysis.results.decisions import best_threshold
from analysis.results.judged import findings
from analysis.results.trials import Results, read
from data_prep.storage import Folder
from support.figures import drawn
from support.records import (
    AGE,
    BEST,
    LABELS,
    RIGHT,
    TEST,
    VALIDATION,
    analyse,
    twelve,
)
from trainables.training import metrics


def test_the_comparisons_are_mcnemars_with_holms_correction(results: Results) -> None:
    frame = findings(results).comparisons
    assert len(frame) == 10 * 9 / 2  # without the trial that was stopped
    assert set(frame["configuration"].head(9)) == {BEST}
    for row in frame.head(9).to_dict("records"):
        pair = [RIGHT[row[name]][1] for name in ("configuration", "other")]  # the first so many images are right
        assert row["difference"] == pytest.approx((pair[0] - pair[1]) / TEST)
        low, high = sorted(pair)
        apart = high - low  # images, which all speak for the same network
        expected = binomtest(0, apart).pvalue if apart < 25 else chi2.sf(apart, 1)
        assert row["p"] == pytest.approx(expected, rel=1e-9), row
    assert (frame["p_holm"] == multipletests(frame["p"], method="holm")[1]).all()
    assert frame["told_apart"].tolist() == (frame["p_holm"] < 0.05).tolist()


def test_the_report_names_what_cannot_be_told_apart(analysed: tuple[Folder, str], results: Results) -> None:
    html = analysed[1].replace("\N{NO-BREAK SPACE}", " ")
    found = findings(results)
    level = found.level_with_first()
    assert 0 < len(level) < 9
    assert f"cannot be told apart from {len(level)} of the 9 other configurations compared: {'; '.join(level)}." in html
    assert f"Of 45 pairs in all, {found.comparisons['told_apart'].sum()} can be told apart" in html
    assert found.comes_first[results.ranked["trial"].iloc[0]] > 0.99  # it is right wherever another one is
    assert "would put age-c4-f4 first 100 % of the time" in html


def test_metrics_are_at_the_threshold_of_validation(analysed: tuple[Folder, str], results: Results) -> None:
    table = pd.read_parquet(analysed[0].local_path("tables/metrics.parquet")).set_index(["trial", "part"])
    assert len(table) == 10 * 2
    for trial in results.scores.trials:
        labels, logits = results.scores.of(trial, "validation")
        cut = best_threshold(labels, logits)
        assert table.loc[(trial, "test"), "threshold"] == cut
        expected = metrics.judge(*results.scores.of(trial, "test"), cut)
        assert table.loc[(trial, "test"), list(expected)].to_dict() == pytest.approx(expected, nan_ok=True)
        row = table.loc[(trial, "test")]
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]


def test_a_network_that_is_no_better_than_a_linear_probe_is_named(make: Callable[..., Folder]) -> None:
    level = RIGHT[AGE[10]][1] / TEST
    html = analyse(make(twelve(), floor={"both": {"test_accuracy": level}})).replace("\N{NO-BREAK SPACE}", " ")
    assert f"The floor is {100 * level:.2f} % of the test images" in html
    assert f"2 configurations ({AGE[11]}; {AGE[10]}) stand no higher." in html
    low = analyse(make(twelve(), floor={"both": {"test_accuracy": 0.5}}))
    assert "all that were scored on test stand above it" in low


def test_object_classes_are_judged_apart_and_the_clean_part_left_alone(make: Callable[..., Folder]) -> None:
    folder = make(twelve())
    who = {"split": ["validation"] * VALIDATION + ["test"] * TEST, "row": [*range(VALIDATION), *range(TEST)]}
    size = VALIDATION + TEST
    told = {
        "label": np.resize(LABELS, size),
        "path": [""] * size,
        "object_class": (["cat", "cat", "dog"] * size)[:size],
    }
    folder.write_table(
        "images.parquet",
        pa.table(who | told | {"duplicate": [None if place % 20 else "exact" for place in range(size)]}),
    )
    results = read(folder)
    found = findings(results)
    cats = pa.table(told)["object_class"].to_numpy()[VALIDATION:] == "cat"
    assert found.classes.set_index("object_class")["images"].to_dict() == {"cat": cats.sum(), "dog": (~cats).sum()}
    labels, logits = results.scores.of(results.ranked["trial"].iloc[0], "test")
    cut = found.metrics["threshold"].iloc[0]
    recall = ((logits > cut) & (labels == 1) & cats).sum() / ((labels == 1) & cats).sum()
    assert found.classes.set_index("object_class").loc["cat", "recall_fake"] == pytest.approx(recall)
    assert len(results.scores.parts["test_clean"]) == TEST - TEST / 20
    assert "classes" in drawn(results)


def test_the_area_is_compared_only_where_each_has_one_seed(make: Callable[..., Folder]) -> None:
    assert "auc_p_holm" in findings(read(make(twelve()))).comparisons
    twice = make([*twelve(), *twelve(seed=1)])
    found = findings(read(twice)).comparisons
    assert "auc_p_holm" not in found
    assert set(found["seeds"]) == {2}
