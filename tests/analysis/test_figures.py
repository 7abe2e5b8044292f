"""Figures, by their data, never by pixels."""

import dataclasses
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import confusion_matrix

from analysis.detector.robustness_table import SCHEMA
from analysis.figures import confusion, curves, grid
from analysis.figures.curves import placed_epochs
from analysis.figures.drawings import figures
from analysis.figures.style import (
    COLUMN_WIDTH,
    FIRST,
    PAGE_WIDTH,
    PALE,
    PALETTE,
    Drawing,
    cut_outliers,
    label_rows,
    new_figure,
    rendered,
    set_log_x,
)
from analysis.results import judged, seeds
from analysis.results.judged import findings
from analysis.results.processes import side_by_side
from analysis.results.trials import Results, read
from data_prep.storage import Folder
from support.commands import ROOT, run_python, wait_until
from support.figures import FIGURES, drawn
from support.records import (
    AGE,
    BEST,
    COLLAPSED,
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
    drawing = curves.draw(results)
    found = lines(figure(drawing))
    for (name, status), epochs in placed_epochs(results).groupby(["configuration", "status"]):
        name = name if status in ("finished", "stopped") else f"{name}: {status}"
        for metric in ("accuracy", "loss"):
            column = f"validation_{metric}"
            assert (found[f"{name}:{column}"] == epochs[["epoch", column]].to_numpy()).all()
    validation = [tuple(xy[:, 1]) for gid, xy in found.items() if gid.endswith(":validation_accuracy")]
    assert len(set(validation)) == 12, "twelve networks, twelve different curves"
    assert drawing
    assert len(drawing.data) == len(results.epochs)


def test_chance_is_what_a_constant_answer_reaches(results: Results) -> None:
    """Of nine FAKE in ten: 90 %, at 0.325 nats; not one half at ln 2."""
    labels = np.arange(10) > 0
    part = dataclasses.replace(results.scores.parts["validation"], labels=labels)
    unequal = dataclasses.replace(results, scores=dataclasses.replace(results.scores, parts={"validation": part}))
    for made, expected in ((results, (0.5, 0.6931)), (unequal, (0.9, 0.3251))):
        dotted = [line for axes in figure(curves.draw(made)).axes for line in axes.lines if line.get_linestyle() == ":"]
        assert [line.get_ydata()[0] for line in dotted] == pytest.approx(expected, abs=1e-4)


def test_the_first_three_stand_out_and_each_is_named_at_its_line(results: Results) -> None:
    axes = figure(curves.draw(results)).axes[0]
    colours = {str(line.get_gid()).partition(":")[0]: line.get_color() for line in axes.lines if line.get_gid()}
    coloured = [name for name, colour in colours.items() if colour != PALE]
    assert set(coloured) == set(results.ranked["configuration"].head(FIRST))
    training = [gid for gid in lines(axes.figure) if gid.endswith(":train_accuracy")]
    assert len(training) == FIRST
    names = {text.get_text().replace("\n", " "): text for text in axes.texts}
    assert set(names) == {*results.ranked["configuration"], f"{COLLAPSED}: collapsed"}
    places = np.sort([text.get_position()[1] for text in names.values()])
    low, high = axes.get_ylim()
    assert np.diff(places).min() >= 0.9 * curves._NAME_HEIGHT * (high - low) / (curves._NAME_HEIGHT * (len(names) + 2))
    ends = {name: xy[-1, 1] for gid, xy in lines(axes.figure).items() if (name := gid.partition(":validation_acc")[0])}
    by_place = sorted(names, key=lambda name: names[name].get_position()[1])
    assert by_place == sorted(names, key=lambda name: ends[name])


def test_a_run_that_failed_does_not_stretch_the_curves(make: Callable[..., Folder]) -> None:
    trials = [(Recipe(name), "finished", {"validation_accuracy": 0.9}) for name in AGE[:8]]
    folder = make([*trials, (Recipe(AGE[8]), "collapsed", {"validation_accuracy": 0.5})])
    low, high = figure(curves.draw(read(folder))).axes[0].get_ylim()
    assert high - low < 0.5


def test_of_fifty_trials_the_best_are_named_and_all_are_drawn(make: Callable[..., Folder]) -> None:
    trials = [
        (Recipe(BEST, learning_rate=rate), "finished", {"validation_accuracy": 0.6 + rate})
        for rate in np.linspace(0.001, 0.3, 50).tolist()
    ]
    results = read(make(trials))
    axes = figure(curves.draw(results)).axes[0]
    assert len(axes.texts) == FIRST
    assert results.ranked["configuration"].iloc[0] in {text.get_text().replace("\n", " ") for text in axes.texts}
    assert len([gid for gid in lines(axes.figure) if gid.endswith(":validation_accuracy")]) == 50


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
    shares = {name: 0.90 + 0.005 * place for place, name in enumerate(AGE)} | {AGE[3]: 0.5}
    trials = [(Recipe(name), "finished", {"validation_accuracy": share}) for name, share in shares.items()]
    drawing = drawn(read(make(trials)))["grid"]
    low, high = drawing.figure.axes[0].images[0].get_clim()
    assert 0.75 < low < 0.91
    assert high == pytest.approx(max(shares.values()))
    assert "50.00" in drawing.alt


@pytest.mark.parametrize(
    ("far", "words"), [(0.5, ["◂ 50 (49 to 51)"]), (0.87, []), (0.86, []), (1.4, ["140 (139 to 141) ▸"])]
)
def test_a_row_far_from_all_others_is_cut_off_and_has_its_numbers_written(far: float, words: list[str]) -> None:
    values = np.array([0.9, 0.905, far, 0.91, 0.92, 0.89, 0.9])
    with new_figure(PAGE_WIDTH, 3) as drawing:
        axes = drawing.subplots()
        axes.errorbar(values, range(7), None, 0.01, "o")
        label_rows(axes, list("abcdefg"), "")
        cut_outliers(axes, np.stack([values, values - 0.01, values + 0.01], axis=1))
    low, high = axes.get_xlim()
    assert low < 0.88 < 0.93 < high
    assert (low < far < high) == (not words)
    assert [text.get_text() for text in axes.texts] == words


@pytest.mark.parametrize(("count", "is_crowd"), [(500, False), (5_000, True)])
def test_thousands_of_pale_lines_are_pixels_in_vector_formats(count: int, is_crowd: bool) -> None:
    with new_figure(PAGE_WIDTH, 3) as drawing:
        axes = drawing.subplots()
        for place in range(count):
            axes.plot((0, 1), (place, place), color=PALE)
        axes.plot((0, 1), (0, count), color=PALETTE[0])
    content = rendered(drawing, ["svg"])["svg"]
    assert (b"<image" in content) == is_crowd
    assert len(content) < 400 * 500 + 100_000
    assert [line.get_rasterized() or False for line in axes.lines[-2:]] == [is_crowd, False]


@pytest.mark.parametrize(("ends", "label"), [((1e-4, 1e-2), "1e-03"), ((2e-4, 6e-4), "4e-04"), ((2, 700), "100")])
def test_logarithmic_axes_are_labelled_in_plain_text(ends: tuple[float, float], label: str) -> None:
    """For a dollar sign in a figure is one of a name's, and no mathematics."""
    with new_figure(3, 2) as figure:
        axes = figure.subplots()
        set_log_x(axes)
        axes.plot(ends, (0, 1), label=r"$\frac{a$")
        axes.legend()
    assert rendered(figure, ("svg",))["svg"]
    labels = [text.get_text().replace("\N{MINUS SIGN}", "-") for text in axes.get_xticklabels(which="both")]
    assert label in labels
    assert not any("$" in text for text in labels)


def test_seeds_are_thin_and_their_mean_is_thick(make: Callable[..., Folder]) -> None:
    results = read(make([(Recipe(name, seed=seed), "finished", {}) for name in AGE[:4] for seed in range(3)]))
    axes = figure(curves.draw(results)).axes[0]
    drawn_lines = {
        str(line.get_gid()): line for line in axes.lines if str(line.get_gid()).endswith("validation_accuracy")
    }
    means = {name: drawn_lines.pop(f"{name}:validation_accuracy") for name in AGE[:4]}
    assert len(drawn_lines) == 3 * FIRST, "single seeds, of those that stand out"
    thickest = max(line.get_linewidth() for line in drawn_lines.values())
    assert all(line.get_linewidth() > thickest for line in means.values())
    epochs = results.epochs.merge(results.trials[["trial", "network"]], on="trial")
    expected = epochs.groupby(["network", "epoch"])["validation_accuracy"].mean()
    for name, line in means.items():
        assert np.asarray(line.get_ydata()) == pytest.approx(expected[name].to_numpy())


def test_every_figure_has_the_widths_of_a_journal_and_its_data(results: Results) -> None:
    judgement, nothing = findings(results), SCHEMA.empty_table().to_pandas()
    for width in (PAGE_WIDTH, COLUMN_WIDTH):
        found = {name: one for name, one in figures(results, judgement, nothing, width=width).items() if one}
        assert set(found) == FIGURES
        for name, drawing in found.items():
            assert drawing.figure.get_figwidth() == width, name
            assert len(drawing.data), name


def test_the_data_of_a_figure_lie_beside_it(analysed: tuple[Folder, str]) -> None:
    table = pd.read_csv(analysed[0].local_path("figures/confusion.csv"))
    assert table["configuration"].unique().tolist() == [BEST, WORST]
    for name, cells in table.groupby("configuration"):
        labels, logits = scores(RIGHT[str(name)][1], TEST)
        assert cells["images"].tolist() == confusion_matrix(labels, logits > 0).ravel().tolist()


def test_forked_work_leaves_the_garbage_of_its_parent_alone() -> None:
    assert min(side_by_side([gc.get_freeze_count] * 2)) > 0 or threading.active_count() > 1


@pytest.mark.skipif(sys.platform != "linux" or os.cpu_count() == 1, reason="nothing is forked")
def test_what_a_killed_process_leaves_is_done_here(tmp_path: Path) -> None:
    code = """
import gc, os, signal, sys
from pathlib import Path
from analysis.results.processes import side_by_side

here = os.getpid()

def die_or_tell():
    if os.getpid() != here:
        Path(sys.argv[1], str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 7

print(side_by_side([die_or_tell] * 2), gc.get_freeze_count())
"""
    done = run_python("-c", code, tmp_path, cwd=ROOT)
    assert done.stdout == "[7, 7] 0\n", done.stderr
    assert list(tmp_path.iterdir()), "nothing was forked"


@pytest.mark.skipif(sys.platform != "linux" or os.cpu_count() == 1, reason="nothing is forked")
def test_an_interruption_ends_forked_work_without_a_word() -> None:
    code = (
        "import time, click; from data_prep.errors import run_command; import analysis.results.processes as work\n"
        "run_command(click.Command('waits', callback=lambda: work.side_by_side([lambda: time.sleep(60)] * 2)))"
    )
    words = ["env", "--default-signal=INT", sys.executable, "-c", code]
    parent = psutil.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True, text=True)
    wait_until(lambda: len(parent.children()) == 2)
    time.sleep(0.2)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.communicate(timeout=20)[1].strip() == "error: interrupted; the same command goes on from here."


@pytest.mark.skipif(sys.platform != "linux" or os.cpu_count() == 1, reason="nothing is forked")
def test_forked_work_ends_with_its_parent() -> None:
    code = "import time, analysis.results.processes as work; work.side_by_side([lambda: time.sleep(60)] * 2)"
    parent = psutil.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_until(lambda: len(parent.children()) == 2)
    workers = parent.children()
    parent.kill()
    assert psutil.wait_procs([parent, *workers], timeout=10)[1] == []
