"""Figures, by their data, never by pixels."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import confusion_matrix

from analysis.figures import confusion, curves, grid
from analysis.figures.curves import OTHERS, panels, placed_epochs
from analysis.figures.style import Drawing, rendered
from analysis.results import judged, seeds
from analysis.results.trials import Results, read
from data_prep.storage import Folder
from support.figures import FIGURES, drawn
from support.records import (
    AGE,
    BEST,
    RIGHT,
    TEST,
    VALIDATION,
    WORST,
    scores,
)
from trainables import Recipe
from trainables.training import metrics


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
    counts_of = judged.confusions(results)
    names = results.trials.set_index("trial").loc[list(counts_of), "network"]
    assert names.tolist() == [BEST, WORST]
    for name, counts in zip(names, counts_of.values(), strict=True):
        labels, logits = scores(RIGHT[name][1], TEST)
        assert counts.tolist() == confusion_matrix(labels, logits > 0).tolist()
        assert metrics.accuracy(counts) == RIGHT[name][1] / TEST
    matrix = figure(confusion.draw(results))
    assert f"{BEST} (rank 1 of 11)\ntest, n = 400" in matrix.axes[0].get_title(loc="left")
    assert [text.get_text() for text in matrix.axes[0].get_yticklabels()] == ["REAL", "FAKE"]
    cells = [text.get_text().split("\n")[0] for text in matrix.axes[0].texts]
    assert cells == [str(count) for count in counts_of[results.ranked["trial"].iloc[0]].ravel()]


def test_the_grid_has_the_mean_of_each_cell_and_none_of_a_collapsed_one(results: Results) -> None:
    table = seeds.trunk_by_head(results.trials).set_index(["trunk", "head"])
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
    assert set(drawn(results)) == {"accuracy", "curves", "confusion", "roc", "reliability"}


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


def test_a_network_that_failed_does_not_take_the_colours_from_the_others(make: Callable[..., Folder]) -> None:
    accuracies = {name: 0.90 + 0.005 * place for place, name in enumerate(AGE)} | {AGE[3]: 0.5}
    trials = [(Recipe(name), "finished", {"validation_accuracy": share}) for name, share in accuracies.items()]
    drawing = drawn(read(make(trials)))["grid"]
    low, high = drawing.figure.axes[0].images[0].get_clim()
    assert 0.75 < low < 0.91
    assert high == pytest.approx(max(accuracies.values()))
    assert "50.00" in drawing.alt


def test_seeds_are_thin_and_their_mean_is_thick(make: Callable[..., Folder]) -> None:
    folder = make([(Recipe(name, seed=seed), "finished", {}) for name in AGE[:4] for seed in range(3)])
    results = read(folder)
    axes = figure(curves.draw(results)).axes[0]
    singles = [line for line in axes.lines if line.get_gid()]
    means = [line for line in axes.lines if not line.get_gid() and len(line.get_xdata()) == 3]
    assert (len(singles), len(means)) == (12, 8)
    assert max(line.get_linewidth() for line in singles) < min(line.get_linewidth() for line in means)
    epochs = results.epochs.merge(results.trials[["trial", "network"]], on="trial")
    expected = epochs.groupby(["network", "epoch"])["validation_accuracy"].mean().unstack().to_numpy()
    drawn_means = np.array([line.get_ydata() for line in means if line.get_linestyle() == "-"])
    assert np.sort(drawn_means, axis=0) == pytest.approx(np.sort(expected, axis=0))
