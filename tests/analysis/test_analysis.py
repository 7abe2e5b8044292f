"""The analysis of synthetic records whose every number is known. Figures are checked by their data, never by pixels."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import binomtest, chi2
from sklearn.metrics import accuracy_score, confusion_matrix
from statsmodels.stats.multitest import multipletests

from analysis.detector.robustness_table import SCHEMA
from analysis.figures import confusion, curves, drawings, grid
from analysis.figures.curves import OTHERS, panels, placed_epochs
from analysis.figures.style import Drawing, rendered
from analysis.pages import tables
from analysis.results import judged, seeds
from analysis.results.decisions import best_threshold
from analysis.results.judged import findings
from analysis.results.provenance import SAMPLE_CAVEAT, SMOKE_CAVEAT
from analysis.results.trials import Results, read
from data_prep.errors import InputError
from data_prep.storage import Folder
from support.commands import ROOT
from support.records import (
    AGE,
    BEST,
    CLEAN,
    COLLAPSED,
    LABELS,
    RIGHT,
    STOPPED,
    TEST,
    VALIDATION,
    WORST,
    analyse,
    manifest,
    run,
    scores,
    twelve,
    write,
)
from sweeps.record.writer import Record
from sweeps.stats.intervals import wilson
from trainables import MODELS, Recipe
from trainables.record import EPOCHS, TRIALS, part_file
from trainables.training import metrics


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Folder]:
    return partial(write, tmp_path)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, str]:
    """The record of the twelve, analysed, and its report. Not to be changed."""
    folder = write(tmp_path_factory.mktemp("analysed"), twelve())
    return folder, analyse(folder)


@pytest.fixture(scope="module")
def results(analysed: tuple[Folder, str]) -> Results:
    return read(analysed[0])


# ── metrics ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_confusion_of_a_case_worked_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    logits = np.array([-1.0, 0.0, 3.0, 2.0, -0.5, 0.1, np.nan])  # 0 and NaN are called REAL
    counts = metrics.confusion(labels, logits)
    assert counts.tolist() == [[2, 1], [2, 2]]
    assert metrics.accuracy(counts) == 4 / 7
    assert metrics.recall(counts) == 2 / 4
    assert metrics.precision(counts) == 2 / 3
    assert metrics.confusion(labels, logits, threshold=2.5).tolist() == [[2, 1], [4, 0]]


def test_confusion_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels, logits = random.integers(0, 2, 1000), random.normal(size=1000)
    counts = metrics.confusion(labels, logits)
    assert (counts == confusion_matrix(labels, logits > 0)).all()
    assert metrics.accuracy(counts) == accuracy_score(labels, logits > 0)


def test_confusion_without_images_or_without_one_label() -> None:
    assert metrics.confusion(np.array([], int), np.array([])).tolist() == [[0, 0], [0, 0]]
    only_real = metrics.confusion(np.array([0, 0]), np.array([1.0, -1.0]))
    assert only_real.tolist() == [[1, 1], [0, 0]]
    assert np.isnan(metrics.recall(only_real))
    assert np.isnan(metrics.accuracy(np.zeros((2, 2), int)))


def test_wilson_interval_of_a_published_case() -> None:
    low, high = wilson(0.95, 20_000)  # ± 0.30 points, as in FACTS
    assert (high - low) / 2 == pytest.approx(0.0030, abs=5e-5)
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I
    assert np.isnan(wilson(float("nan"), 10)).all()
    assert np.isnan(wilson(0.5, float("nan"))).all()


# ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    assert f"{AGE[0]} is first, level with {AGE[1]}." in analyse(folder)


def test_networks_over_their_seeds(make: Callable[..., Folder]) -> None:
    changed = {"validation_accuracy": 0.5}
    trials = [*twelve(), *((recipe, "finished", changed) for recipe, _, _ in twelve(seed=1))]
    folder = make(trials, seeds=[0, 1])
    analyse(folder)
    table = pd.read_parquet(folder.local_path("tables/networks.parquet")).set_index("network")
    assert len(table) == 12
    assert table.loc[BEST, "validation_accuracy_mean"] == pytest.approx((0.93 + 0.5) / 2)
    assert table.loc[BEST, "validation_accuracy_std"] == pytest.approx(np.std([0.93, 0.5], ddof=1))
    assert table.loc[[BEST, COLLAPSED], "n"].tolist() == [2, 1]
    assert table.loc[[BEST, COLLAPSED], "flagged"].tolist() == [0, 1]
    assert table.loc[COLLAPSED, "validation_accuracy_mean"] == 0.5
    assert folder.exists("tables/networks.md")
    assert folder.exists("tables/networks.csv")


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


# ── figures ───────────────────────────────────────────────────────────────────────────────────────────────────────────


FIGURES = {"accuracy", "pairs", "curves", "grid", "confusion", "roc", "reliability"}


def drawn(results: Results) -> dict[str, Drawing]:
    figures = drawings.figures(results, findings(results), SCHEMA.empty_table().to_pandas())
    return {name: drawing for name, drawing in figures.items() if drawing}


def figure(drawing: Drawing | None) -> Figure:
    assert drawing
    return drawing.figure


def lines(figure: Figure) -> dict[str, np.ndarray]:
    """`TRIAL:COLUMN` → (x, y) of every curve in a figure."""
    drawn = [line for axes in figure.axes for line in axes.lines if line.get_gid()]
    return {str(line.get_gid()): np.asarray(line.get_xydata()) for line in drawn}


def test_the_curves_are_the_epochs_of_the_record(results: Results) -> None:
    found = lines(figure(curves.draw(results)))
    columns = [f"{split}_{metric}" for split in ("validation", "train") for metric in ("accuracy", "loss")]
    assert len(found) == 12 * len(columns)
    for trial, epochs in results.epochs.groupby("trial"):
        for column in columns:
            assert (found[f"{trial}:{column}"] == epochs[["epoch", column]].to_numpy()).all()
    validation = [tuple(xy[:, 1]) for gid, xy in found.items() if gid.endswith(":validation_accuracy")]
    assert len(set(validation)) == 12, "twelve networks, twelve different curves"


def test_the_curves_share_their_axes(results: Results) -> None:
    axes = figure(curves.draw(results)).axes
    assert len(axes) == 6
    assert [one.get_title(loc="left") for one in axes[:3]] == ["age-c2", "age-c3", "age-c4"]
    assert len({one.get_ylim() for one in axes[:3]}) == len({one.get_ylim() for one in axes[3:]}) == 1


def test_panels_are_for_related_networks() -> None:
    assert panels(AGE)["age-c3-f2"] == ("age-c3", "f2")
    assert panels(["solo"]) == {"solo": ("", "solo")}
    assert set(panels(["vgg16", "vgg19", "resnet50-transfer"]).values()) == {
        ("", name) for name in ("vgg16", "vgg19", "resnet50-transfer")
    }
    assert panels(["vgg16", "vgg16-transfer", "custom-1"])["vgg16"] == ("vgg16", "vgg16")
    assert {
        panel for panel, _ in panels([f"cifake-{size}-d{depth}" for size in range(12) for depth in (1, 2)]).values()
    } == {""}


def test_fifty_trials_of_one_network_show_the_best_in_colour(make: Callable[..., Folder]) -> None:
    trials = [
        (Recipe(BEST, learning_rate=rate), "finished", {"validation_accuracy": 0.6 + rate})
        for rate in np.linspace(0.001, 0.3, 50).tolist()
    ]
    results = read(make(trials))
    places = placed_epochs(results).drop_duplicates("trial")
    assert (places["series"] == OTHERS).sum() == 45
    assert places.loc[places["place"] == 0, "rank"].tolist() == [1]
    assert len([gid for gid in lines(figure(curves.draw(results))) if gid.endswith(":validation_accuracy")]) == 50


def test_the_matrices_are_of_the_best_and_the_worst_ranked_trial(results: Results) -> None:
    matrices = judged.confusions(results)
    names = results.trials.set_index("trial").loc[list(matrices), "network"]
    assert names.tolist() == [BEST, WORST]
    for name, counts in zip(names, matrices.values(), strict=True):
        labels, logits = scores(RIGHT[name][1], TEST)
        assert counts.tolist() == confusion_matrix(labels, logits > 0).tolist()
        assert metrics.accuracy(counts) == RIGHT[name][1] / TEST
    matrix = figure(confusion.draw(results))
    assert f"{BEST} (rank 1 of 11)\ntest, n = 400" in matrix.axes[0].get_title(loc="left")
    assert [text.get_text() for text in matrix.axes[0].get_yticklabels()] == ["REAL", "FAKE"]
    cells = [text.get_text().split("\n")[0] for text in matrix.axes[0].texts]
    assert cells == [str(count) for count in matrices[results.ranked["trial"].iloc[0]].ravel()]


def test_the_grid_has_the_mean_of_each_cell_and_none_of_a_collapsed_one(results: Results) -> None:
    table = seeds.grid(results.trials).set_index(["trunk", "head"])
    assert len(table) == 12
    assert table.loc[("c2", "f1"), "mean"] == RIGHT["age-c2-f1"][0] / VALIDATION
    assert np.isnan(table.loc[("c3", "f4"), "mean"])
    assert table.loc[("c3", "f4"), "states"] == "collapsed"
    axes = figure(grid.draw(results)).axes[0]
    assert np.ma.getmaskarray(np.ma.asarray(axes.images[0].get_array())).tolist() == [
        [False] * 4,
        [False] * 3 + [True],
        [False] * 4,
    ]
    assert "collapsed" in [text.get_text() for text in axes.texts]


def test_a_sweep_without_age_networks_has_no_grid(make: Callable[..., Folder]) -> None:
    results = read(make([(Recipe(name), "finished", {}) for name in ("vgg16", "custom-1")]))
    assert set(drawn(results)) == {"accuracy", "pairs", "curves", "confusion", "roc", "reliability"}


def test_the_files_are_images_and_the_same_every_time(analysed: tuple[Folder, str]) -> None:
    folder, _ = analysed
    for name in FIGURES:
        image = Image.open(folder.local_path(f"figures/{name}.png"))
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert len(np.unique(np.asarray(image))) > 50, "something is drawn"
        assert folder.read_bytes(f"figures/{name}.svg").startswith(b"<?xml")
        assert folder.read_bytes(f"figures/{name}.pdf").startswith(b"%PDF")
    again = drawn(read(folder))
    assert set(again) == FIGURES
    for name, drawing in again.items():
        for kind, content in rendered(drawing.figure).items():
            assert content == folder.read_bytes(f"figures/{name}.{kind}"), (name, kind)


# ── what the scores say ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_comparisons_are_mcnemars_with_holms_correction(results: Results) -> None:
    frame = findings(results).comparisons
    assert len(frame) == 11 * 10 / 2
    assert set(frame["configuration"].head(10)) == {BEST}
    for row in frame.head(10).to_dict("records"):
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
    assert 0 < len(level) < 10
    assert (
        f"cannot be told apart from {len(level)} of the 10 other configurations compared: {'; '.join(level)}." in html
    )
    assert f"Of 55 pairs in all, {found.comparisons['told_apart'].sum()} can be told apart" in html
    assert found.comes_first[results.ranked["trial"].iloc[0]] > 0.99  # it is right wherever another one is
    assert "would put age-c4-f4 first 100 % of the time" in html


def test_metrics_are_at_the_threshold_of_validation(analysed: tuple[Folder, str], results: Results) -> None:
    table = pd.read_parquet(analysed[0].local_path("tables/metrics.parquet")).set_index(["trial", "part"])
    assert len(table) == 11 * 2
    for trial in results.ranked["trial"]:
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


# ── report ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """What a page loads, its images' alternative texts, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.alts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        self.alts += [dict(attrs).get("alt") or ""] if tag == "img" else []
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_needs_nothing_but_itself_and_names_every_trial(analysed: tuple[Folder, str]) -> None:
    _, html = analysed
    page = Page(html)
    assert page.open == []
    assert len(page.loads) == len(FIGURES)
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.loads)
    assert not re.search(r"url\(|@import|<script src|<link", html)
    assert all(page.alts)
    text = re.sub(r"data:[^\"]*", "", html)
    assert all(text.count(name) > 0 for name in AGE)
    assert "prefers-color-scheme: dark" in html


def test_the_report_tells_what_won_and_how_sure_it_is(analysed: tuple[Folder, str]) -> None:
    html = analysed[1].replace("\N{NO-BREAK SPACE}", " ")
    low, high = wilson(335 / TEST, TEST)
    assert f"test accuracy 83.75 % (95 % interval {100 * low:.1f}–{100 * high:.1f} %, n = 400)" in html
    assert "12 networks in 12 trials with 1 seed: 11 ranked, 1 collapsed." in html
    for fact in ("0123456789abcdef", "Codecs differ.", "a.jpg (no JPEG)", "abcdef, with changes", "ray 2.60.0"):
        assert fact in html
    assert "Which of &lt;twelve&gt; is best?" in html
    assert SAMPLE_CAVEAT not in html
    assert SMOKE_CAVEAT not in html


def test_the_sample_and_a_smoke_run_are_named_for_what_they_are(make: Callable[..., Folder]) -> None:
    data = manifest()["data"] | {"source": "sample"}
    folder = make(twelve(), data=data, settings={"smoke": True})
    html, markdown = analyse(folder), folder.read_bytes("tables/results.md").decode()
    drawings = drawn(read(folder))
    for caveat in (SAMPLE_CAVEAT, SMOKE_CAVEAT):
        assert caveat in html
        assert caveat in markdown
        for drawing in drawings.values():
            assert caveat in drawing.figure.get_supxlabel().replace("\n", " ")


# ── records that are not whole ────────────────────────────────────────────────────────────────────────────────────────


def test_one_trial(make: Callable[..., Folder]) -> None:
    folder = make([(Recipe(BEST), "finished", {})])
    assert "1 network in 1 trial with 1 seed: 1 ranked." in analyse(folder)
    assert len(judged.confusions(read(folder))) == 1
    assert not folder.exists("figures/grid.png")
    assert not folder.exists("tables/networks.csv")


def test_a_half_finished_record(make: Callable[..., Folder]) -> None:
    states = ["finished"] * 4 + ["running"] * 2 + ["pending"] * 6
    folder = make([(Recipe(name), state, {}) for name, state in zip(AGE, states, strict=True)], wall_seconds=None)
    html = analyse(folder)
    assert "4 ranked, 2 running, 6 pending." in html
    assert "The sweep is not finished" in html
    assert all(name in html for name in AGE)


def test_an_all_failed_record_deletes_what_an_earlier_analysis_left(make: Callable[..., Folder]) -> None:
    folder = make(twelve())
    analyse(folder)
    folder.write_bytes("figures/mine.txt", b"the user's")
    record = Record(folder)
    for trial in record.trials:
        record.update(trial, {"status": "failed", "reason": "MemoryError: <b>"})
    record.write()
    html = analyse(folder)
    assert "0 ranked, 12 failed." in html
    assert "MemoryError: &lt;b&gt;" in html
    assert folder.folder("figures").names() == ["curves.pdf", "curves.png", "curves.svg", "mine.txt"]
    assert folder.folder("tables").names() == ["results.csv", "results.md", "results.parquet"]


def test_nothing_but_failures_from_the_start_and_nothing_at_all(make: Callable[..., Folder], tmp_path: Path) -> None:
    html = analyse(make([(Recipe(name), "failed", {"reason": "no"}) for name in AGE]))
    assert "0 ranked, 12 failed." in html
    assert "<img" not in html
    empty = Record(Folder(str(tmp_path / "empty")))
    empty.folder.write_json("manifest.json", {"format_version": 2})
    empty.write()
    assert "The record holds no trial yet." in analyse(empty.folder)


def test_metrics_that_are_not_numbers(make: Callable[..., Folder]) -> None:
    nothing = dict.fromkeys(["test_accuracy", "test_auc", "test_clean_accuracy"], float("nan"))
    trials = [
        (Recipe(AGE[0]), "finished", nothing),
        (Recipe(AGE[1]), "finished", {"validation_accuracy": float("nan")}),
        (Recipe(AGE[2]), "stopped", {"validation_accuracy": None, "test_accuracy": None}),
        (Recipe(AGE[3]), "diverged", {"reason": "the loss was no longer finite"}),
    ]
    folder = make(trials)
    record = Record(folder, "data")
    epoch = {"epoch": 3, "train_loss": float("nan"), "validation_loss": float("inf")}
    record.update(record.identity(Recipe(AGE[3])), {}, epoch)
    record.write()
    html = analyse(folder).replace("\N{NO-BREAK SPACE}", " ")
    results = read(folder)
    assert results.ranked["network"].tolist() == [AGE[0]]
    assert results.flagged["network"].tolist() == [AGE[3], AGE[1], AGE[2]]
    assert not re.search(r">nan|nan %|– %", html)
    assert "its test accuracy not recorded" in html


def test_scores_that_are_missing_leave_the_matrix_out(make: Callable[..., Folder]) -> None:
    folder = make(twelve())
    folder.delete(f"scores/{Recipe(BEST).identity('data')}.parquet")
    analyse(folder)
    results = read(folder)
    assert results.trials.set_index("trial").loc[list(judged.confusions(results)), "network"].tolist() == [WORST]


def test_a_record_on_another_file_system(make: Callable[..., Folder]) -> None:
    local = make(twelve())
    remote = Folder(f"file://{local.local_path()}")  # a URI is handled as s3:// is
    analyse(remote)
    assert local.exists("tables/results.csv")
    assert local.exists("figures/curves.png")


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_prints_the_ranking_and_where_the_files_are(make: Callable[..., Folder]) -> None:
    folder = make(twelve())
    done = run(str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.index(BEST) < done.stdout.index(WORST) < done.stdout.index(f"collapsed: {COLLAPSED}")
    assert f"{folder}/report.html" in done.stdout


@pytest.mark.parametrize("damaged", ["manifest.json", part_file(TRIALS, 0), part_file(EPOCHS, 0), None])
def test_a_missing_or_corrupt_record_is_one_sentence(make: Callable[..., Folder], damaged: str | None) -> None:
    folder = make(twelve())
    if damaged:
        folder.write_bytes(damaged, folder.read_bytes(damaged)[:-20])
    done = run(str(folder) if damaged else f"{folder}/nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not folder.exists("report.html")


def test_analysis_imports_neither_ray_nor_tensorflow() -> None:
    code = "import analysis.__main__, analysis.report, sys; print({'ray', 'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_the_networks_of_the_fixture_are_those_of_the_project() -> None:
    assert [name for name in MODELS if name.startswith("age-")] == AGE
