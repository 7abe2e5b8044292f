"""What the analysis makes of the record of a search."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from analysis.figures.accuracy import accuracies, footer
from analysis.figures.search import parallel_coordinates, rungs, slices
from analysis.pages.summary import summary
from analysis.results.configurations import recipe_of, tried_values
from analysis.results.judged import findings
from analysis.results.searches import hyperparameters, importance, searched
from analysis.results.trials import read
from data_prep.storage import Folder
from support.searches import NETWORK, RATE
from sweeps.record.writer import Record
from sweeps.searching.space import Hyperparameter, one_of
from sweeps.searching.study import Search
from trainables import Recipe


def test_importance_among_trials_that_stand_at_chance_but_one(tmp_path: Path) -> None:
    """Most resamples of them have no variance to share out."""
    asked = Search([Hyperparameter("network", one_of("vgg16", "vgg19")), RATE], 12, 9)
    record = Record(Folder(str(tmp_path)), "data")
    record.folder.write_json("manifest.json", {"format_version": 2, "search": asked.describe()})
    for number in range(12):
        recipe = Recipe("vgg16" if number % 2 else "vgg19", learning_rate=1e-4 * 1.4**number)
        trial = record.add(recipe, number)
        accuracy = 0.6 if number == 3 else 0.5
        record.update(trial, {"status": "stopped", "validation_accuracy": accuracy})
    record.write()
    found = importance(read(record.folder))
    assert set(found["hyperparameter"]) == {"network", "learning_rate"}
    assert found["mean"].sum() == pytest.approx(1)


def searched_record(folder: Path, repeated: int = 0) -> Folder:
    """A search: #0 and #2 finished, #1 was stopped although it was better by then; #0 was trained again."""
    asked = Search([NETWORK, RATE], 3, 9)
    record = Record(Folder(str(folder)), "data")
    record.folder.write_json("manifest.json", {"format_version": 2, "search": asked.describe()})

    def add(number: int | None, status: str, accuracy: float, **hyperparameters: Any) -> None:
        recipe = Recipe("age-c2-f1", epochs=9, **hyperparameters)
        columns = {"number": number, "status": status, "validation_accuracy": accuracy, "validation_images": 100}
        columns |= {"test_accuracy": accuracy, "test_images": 100} if status == "finished" else {}
        record.update(record.add(recipe), columns)

    add(0, "finished", 0.9)
    add(1, "stopped", 0.95, learning_rate=1e-2)
    add(2, "finished", 0.8, learning_rate=1e-4)
    for seed in range(1, repeated + 1):
        add(None, "finished", 0.84, seed=seed)
    record.write()
    return record.folder


def test_a_stopped_trial_is_not_the_first_and_has_no_accuracy_on_test(tmp_path: Path) -> None:
    study = read(searched_record(tmp_path))
    assert study.ranked["configuration"].tolist() == ["#0 age-c2-f1", "#2 age-c2-f1", "#1 age-c2-f1"]
    assert study.ranked["rank"].tolist() == [1, 2, 3]
    table = accuracies(study)
    assert table[["configuration", "place"]].to_numpy().tolist() == [["#0 age-c2-f1", 0], ["#2 age-c2-f1", 1]]
    told = " ".join(summary(study, findings(study)))
    assert "#0 age-c2-f1 is the first by validation accuracy, of those that trained to the end" in told
    assert "(--repeat-best)" in told


def test_the_seed_that_chose_does_not_enter_where_it_was_trained_again(tmp_path: Path) -> None:
    study = read(searched_record(tmp_path, repeated=2))
    table = accuracies(study).set_index("configuration")
    assert (table.loc["#0 age-c2-f1", "mean"], table.loc["#0 age-c2-f1", "n"]) == (pytest.approx(0.84), 2)
    assert table.loc["#2 age-c2-f1", "n"] == 1
    assert "where there are several" in footer(study, table)
    assert "(--repeat-best)" not in " ".join(summary(study, findings(study)))


def test_one_repeat_has_an_interval_over_images_alone(tmp_path: Path) -> None:
    table = accuracies(read(searched_record(tmp_path, repeated=1))).set_index("configuration")
    assert table.loc["#0 age-c2-f1", ["n", "mean"]].tolist() == [1, 0.84]
    assert table.loc["#0 age-c2-f1", "low"] == pytest.approx(0.756, abs=0.001)


def entry(name: str, kind: str, **attributes: Any) -> dict[str, Any]:
    """A hyperparameter of a space, as a manifest has it."""
    return {"name": name, "values": {"name": f"{kind}Distribution", "attributes": attributes}, "when": {}}


def span(low: float, high: float, log: bool = False, step: Any = None) -> dict[str, Any]:
    return entry("learning_rate", "Float", low=low, high=high, log=log, step=step)


@pytest.mark.parametrize(
    "space",
    [
        [span(math.nan, 1.0)],
        [span(0.0, math.inf)],
        [span(0.0, 10**400)],
        [span(0.0, 1.0, step=True)],
        [span(1e-9, 1e-8, log=True)],
        [entry("network", "Int", low=0, high=9, log=False, step=1)],
        [entry("network", "Categorical", choices=["vgg16", "vgg19"])],
        [entry("network", "Categorical", choices=[{"a": 1}, {"b": 2}])],
        [entry("network", "Categorical", choices=["age-c2-f1", *map(str, range(30_000))])],
        [entry("network", "Categorical", choices=["age-c2-f1", "x" * 10_000])],
        *([entry(name, "Categorical", choices=["a", "b"])] for name in ("rank", "number", "status", "best_so_far")),
        [span(0.0, 1.0)] * 5_000,
    ],
    ids=lambda space: str(space)[10:60],
)
def test_a_space_that_no_search_has_is_left_out(space: list[Any], tmp_path: Path) -> None:
    folder = searched_record(tmp_path)
    manifest = folder.read_json("manifest.json")
    folder.write_json("manifest.json", manifest | {"search": manifest["search"] | {"space": space}})
    study = read(folder)
    assert hyperparameters(study) == {}
    assert len(searched(study)) == 3
    assert slices.draw(study) is parallel_coordinates.draw(study) is None


def test_of_many_trials_the_figure_counts_how_many_ended_when(tmp_path: Path) -> None:
    asked = Search([NETWORK, RATE], 600, 9)
    record = Record(Folder(str(tmp_path)), "data")
    record.folder.write_json("manifest.json", {"format_version": 2, "search": asked.describe()})
    for number in range(600):
        trial = record.add(Recipe("age-c2-f1", epochs=9, learning_rate=1e-4 * (1 + number)), number)
        ending = {"status": "stopped", "epochs_done": 3} if number % 3 else {"status": "finished", "epochs_done": 9}
        record.update(trial, {**ending, "validation_accuracy": 0.8, "validation_images": 100})
    record.write()
    results = read(record.folder)
    drawing = rungs.draw(results)
    assert drawing
    (axes,) = drawing.figure.axes
    assert sorted((bar.get_center()[0], bar.get_height()) for bar in axes.patches if bar.get_height()) == [
        (3, 400),
        (9, 200),
    ]
    assert len(drawing.data) == 600
    recipe = recipe_of(results.ranked.iloc[0].to_dict())
    origin = results.provenance
    fixed = dataclasses.replace(origin, manifest=dataclasses.replace(origin.manifest, search=None))
    without_space = dataclasses.replace(results, provenance=fixed)
    assert tried_values(without_space, recipe)["learning_rate"] == "0.0001 to 0.06 (600 values)"
