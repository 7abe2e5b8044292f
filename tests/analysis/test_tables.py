"""Tables: the ranking, and every number of the record in every format."""

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.pages import tables
from analysis.results.judged import findings
from analysis.results.trials import Results, read
from data_prep.errors import InputError
from data_prep.escaping import as_csv, as_markdown
from data_prep.storage import Folder
from support.records import (
    AGE,
    BEST,
    CLEAN,
    COLLAPSED,
    RIGHT,
    STOPPED,
    TEST,
    VALIDATION,
    said,
    twelve,
)
from sweeps.stats.intervals import wilson
from trainables import Recipe


def test_ranking_is_by_validation_though_test_disagrees(results: Results) -> None:
    expected = [name for name in reversed(AGE) if name not in (COLLAPSED, STOPPED)]
    assert results.ranked["network"].tolist() == [*expected, STOPPED]
    assert results.ranked["rank"].tolist() == list(range(1, 12))
    on_test = results.ranked["test_accuracy"].iloc[:-1]
    assert on_test.is_monotonic_increasing, "the test of the fixture: test says the opposite"


def test_collapsed_is_not_ranked_and_keeps_its_reason(results: Results) -> None:
    assert results.flagged["network"].tolist() == [COLLAPSED]
    assert results.flagged["reason"].tolist() == ["it says REAL for every | validation image"]
    assert results.trials["network"].iloc[-1] == COLLAPSED


def test_every_format_has_the_numbers_of_the_record(analysed: tuple[Folder, str]) -> None:
    folder, _ = analysed
    csv = pd.read_csv(folder.local_path("tables/results.csv")).fillna({"reason": ""})
    parquet = pd.read_parquet(folder.local_path("tables/results.parquet"))
    pd.testing.assert_frame_equal(csv, parquet, check_dtype=False)
    for row in parquet.to_dict("records"):
        validation, test = RIGHT[row["network"]]
        assert row["validation_accuracy"] == validation / VALIDATION
        if row["network"] != COLLAPSED:
            assert row["test_accuracy"] == test / TEST
            assert row["test_clean_accuracy"] == (test - 10) / CLEAN
        assert (row["validation_low"], row["validation_high"]) == wilson(validation / VALIDATION, VALIDATION)
        assert (row["parameters"], row["epochs_done"], row["best_epoch"], row["seed"]) == (1000, 3, 2, 0)
        assert row["wall_seconds"] == 2.5
    markdown = folder.read_bytes("tables/results.md").decode()
    assert markdown.index("age-c4-f4") < markdown.index("## Not ranked") < markdown.index(COLLAPSED)
    assert "every \\| validation" in markdown
    low, high = wilson(186 / VALIDATION, VALIDATION)
    assert f"93.00 ({100 * low:.1f}–{100 * high:.1f})" in markdown


def test_trials_of_equal_accuracy_share_a_rank(make: Callable[..., Folder]) -> None:
    trials = [(Recipe(name), "finished", {"validation_accuracy": 0.9}) for name in AGE[:2]]
    folder = make([*trials, (Recipe(AGE[2]), "finished", {"validation_accuracy": 0.8})])
    assert read(folder).trials["rank"].tolist() == [1, 1, 3]
    assert f"{AGE[0]} is the first by validation accuracy, tied with {AGE[1]}." in said(folder)


def test_networks_over_their_seeds(make: Callable[..., Folder]) -> None:
    changed = {"validation_accuracy": 0.5}
    trials = [*twelve(), *((recipe, "finished", changed) for recipe, _, _ in twelve(seed=1))]
    folder = make(trials, seeds=[0, 1])
    results = read(folder)
    written = tables.files(results, findings(results))
    table = pd.read_parquet(io.BytesIO(written["networks.parquet"])).set_index("network")
    assert len(table) == 12
    assert table.loc[BEST, "validation_accuracy_mean"] == pytest.approx((0.93 + 0.5) / 2)
    assert table.loc[BEST, "validation_accuracy_std"] == pytest.approx(np.std([0.93, 0.5], ddof=1))
    assert table.loc[[BEST, COLLAPSED], "n"].tolist() == [2, 1]
    assert table.loc[[BEST, COLLAPSED], "flagged"].tolist() == [0, 1]
    assert table.loc[COLLAPSED, "validation_accuracy_mean"] == 0.5
    assert written["networks.md"]
    assert written["networks.csv"]


def test_a_manifest_that_ranks_by_loss_is_obeyed(make: Callable[..., Folder]) -> None:
    trials = [
        (Recipe(name), "finished", {"validation_loss": loss}) for name, loss in zip(AGE, (0.3, 0.1, 0.2), strict=False)
    ]
    results = read(make(trials, metric="validation_loss", direction="min"))
    assert results.ranked["network"].tolist() == [AGE[1], AGE[2], AGE[0]]
    assert "validation loss" in tables.ranked_cells(results)
    with pytest.raises(InputError, match="test_accuracy"):
        read(make(trials, metric="test_accuracy"))


def test_hyperparameters_that_vary_are_in_the_table_and_tell_trials_apart(make: Callable[..., Folder]) -> None:
    rates = (1e-3, 3e-4, 1e-4)
    results = read(make([(Recipe(BEST, learning_rate=rate), "finished", {}) for rate in rates]))
    assert tables.results_table(results.trials)["learning_rate"].tolist() == list(rates)
    assert results.trials["configuration"].tolist() == [f"{BEST}, learning_rate {rate:.3g}" for rate in rates]


@pytest.mark.parametrize("kind", ["object", "str"])
def test_no_text_in_a_csv_is_a_formula(kind: str) -> None:
    frame = pd.DataFrame({"network": pd.Series(["=cmd()", "a-b", "+x", None], dtype=kind), "accuracy": -0.5})
    assert as_csv(frame).decode().splitlines() == [
        "network,accuracy",
        "'=cmd(),-0.5",
        "a-b,-0.5",
        "'+x,-0.5",
        ",-0.5",
    ]


def test_markdown_and_headings_take_text_as_it_is() -> None:
    text = "<img src=x> ![p](http://x/p.png) [l](http://x) `c` a|b\n# d"
    assert as_markdown(text) == r"\<img src=x> !\[p](http://x/p.png) \[l](http://x) \`c\` a\|b # d"
    assert as_csv(pd.DataFrame({"=1+1": ["a"]})).decode() == "'=1+1\na\n"
