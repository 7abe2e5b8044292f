"""Searches: spaces, the study that a record is made again into, stopping, kills, and the curves of a simulator."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import simulator
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from analysis.figures.accuracy import accuracies, note
from analysis.pages.summary import summary
from analysis.results.judged import findings
from analysis.results.searches import front, hyperparameters, importance, repeats, searched
from analysis.results.trials import read
from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.storage import Folder
from support.commands import ROOT, refused, run_python
from support.sweeps import TIMES
from support.trees import make_tree
from sweeps import cifake_paper, population, search
from sweeps.engine import cluster, resources
from sweeps.engine.execution import Execution
from sweeps.engine.options import Options, command
from sweeps.engine.sweep import Sweep
from sweeps.record.writer import Record
from sweeps.searching.options import SearchOptions
from sweeps.searching.space import Hyperparameter, between, check, grid, narrowed, one_of, recipe_fields, values_of
from sweeps.searching.strategy import Searching
from sweeps.searching.study import Search, SearchStudy
from trainables import MODELS, Recipe

SEARCH = ROOT / "sweeps" / "search.py"
#: One trial at a time, so that what comes out does not hang on what came first.
SMALL = ("--data", "shards", "--networks", "age-c2-f1,age-c3-f1", "--tune", "learning_rate,dropout", "--epochs", "3")
SMALL += ("--max-concurrent", "1")

NETWORK = Hyperparameter("network", one_of("age-c2-f1", "cifake-cnn"))
RATE = Hyperparameter("learning_rate", between(1e-4, 1e-2, log=True))


def rungs(study: optuna.Study) -> list[dict[int, float]]:
    """Of each trial: rung, from 0 → the accuracy with which it reached that rung."""
    prefix = "completed_rung_"
    return [
        {int(name.removeprefix(prefix)): value for name, value in trial.system_attrs.items() if name.startswith(prefix)}
        for trial in study.get_trials(deepcopy=False)
    ]


# ── spaces ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_space_of_the_search_holds_for_every_network() -> None:
    check(search.SPACE)
    study = SearchStudy(Search(search.SPACE, 300, 9, method="random"))
    drawn = [study.ask()[1] for _ in range(300)]  # type: ignore[index]
    assert {values["network"] for values in drawn} == set(MODELS)
    for values in drawn:
        recipe = Recipe.of(recipe_fields(values))
        assert MODELS[recipe.network].checked(recipe.network_arguments) == recipe_fields(values)["arguments"]
        assert values_of(search.SPACE, recipe) == values
        assert ("momentum" in values) == (values["optimizer"] == "sgd")


@pytest.mark.parametrize(
    ("hyperparameter", "told"),
    [
        (Hyperparameter("learning_rate", one_of("fast")), "learning_rate is 'fast'; it must be of type float."),
        (Hyperparameter("batch_size", between(16.5, 64.0)), "batch_size is 16.5; it must be of type int."),
        (
            Hyperparameter("optimizer", one_of("adam", "lion")),
            "optimizer is 'lion'; it must be one of adam, adamw, sgd.",
        ),
        (
            Hyperparameter("momentum", between(0.5, 0.9), when={"optimiser": ["sgd"]}),
            "no hyperparameter above it is called that",
        ),
        (
            Hyperparameter("units", one_of(32), when={"network": ["vgg16"]}),
            "'units' never matters: network in ['vgg16'] cannot be",
        ),
        (Hyperparameter("network", one_of("vgg16")), "has the hyperparameter 'network' twice"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(hyperparameter: Hyperparameter, told: str) -> None:
    with pytest.raises(InputError, match=told.replace("[", r"\[").replace("]", r"\]")):
        check([NETWORK, hyperparameter])


def test_a_branch_that_two_conditions_rule_out_is_unreachable() -> None:
    units = Hyperparameter("units", one_of(32, 64), when={"network": ["cifake-cnn"]})
    more = Hyperparameter("dropout", between(0.0, 0.5), when={"network": ["age-c2-f1"], "units": [32]})
    with pytest.raises(InputError, match="'dropout' never matters"):
        check([NETWORK, units, more])


@pytest.mark.parametrize(
    ("hyperparameter", "told"),
    [
        ('Hyperparameter("learning_rate", one_of("fast"))', "learning_rate is 'fast'"),
        ('Hyperparameter("dropout", one_of("much"))', "dropout is 'much'"),
        ('Hyperparameter("units", one_of(32), when={"network": ["vgg16"]})', "'units' never matters"),
    ],
)
def test_a_wrong_space_is_refused_before_ray_starts(hyperparameter: str, told: str, tmp_path: Path) -> None:
    text = SEARCH.read_text().replace(
        "SPACE = [", f'SPACE = [Hyperparameter("network", one_of("age-c2-f1")), {hyperparameter}]\n_OTHER = ['
    )
    (tmp_path / "wrong.py").write_text(text.replace("networks=SMALL", 'networks=["age-c2-f1"]'))
    done = run_python(tmp_path / "wrong.py", "--smoke", cwd=tmp_path)
    assert told in refused(done)
    assert "Ray" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_grid_by_hand() -> None:
    space = [NETWORK, RATE, Hyperparameter("units", one_of(32, 64), when={"network": ["cifake-cnn"]})]
    points = grid(space)
    assert len(points) == 3 + 3 * 2
    assert sorted({point["learning_rate"] for point in points}) == pytest.approx([1e-4, 1e-3, 1e-2])
    study = SearchStudy(Search(space, 100, 1, method="grid"))
    asked = [study.ask() for _ in range(10)]
    assert asked[9] is None
    drawn = [values for _, values in asked[:9]]  # type: ignore[misc]
    assert sorted(map(json.dumps, drawn)) == sorted(map(json.dumps, points))
    with pytest.raises(InputError, match="more than 10,000 points"):
        grid(search.SPACE)


def test_a_narrowed_space_keeps_what_its_hyperparameters_depend_on() -> None:
    names = [hyperparameter.name for hyperparameter in narrowed(search.SPACE, ["momentum"], {})]
    assert names == ["network", "optimizer", "momentum"]
    fixed = narrowed(search.SPACE, None, {"optimizer": "adam"})
    assert not {"momentum", "weight_decay"} & {hyperparameter.name for hyperparameter in fixed}
    with pytest.raises(InputError, match="nearest is 'learning_rate'"):
        narrowed(search.SPACE, ["learning"], {})


def test_a_condition_that_always_holds_is_none() -> None:
    asked = run_main(
        search.search,
        *("--networks", "age-c4-f3", "--tune", "learning_rate,dropout", "--method", "cmaes"),
        options=SearchOptions,
    ).strategy.search  # type: ignore[attr-defined]
    asked.check()
    assert [(hyperparameter.name, hyperparameter.when) for hyperparameter in asked.turned] == [
        ("learning_rate", {}),
        ("dropout", {}),
    ]


@pytest.mark.parametrize(
    ("setting", "told"), [("age-c4-f3.batch_size=256", "the search tunes 'batch_size'"), ("epochs=3", "give --epochs")]
)
def test_what_the_search_decides_is_not_set(setting: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        run_main(search.search, "--networks", "age-c4-f3,cifake-cnn", "--set", setting, options=SearchOptions)


def test_a_whole_number_on_the_command_line_is_the_number_in_the_record() -> None:
    words = ("--networks", "age-c4-f3", "--tune", "batch_size", "--set", "label_smoothing=0")
    strategy: Any = run_main(search.search, *words, options=SearchOptions).strategy
    study = SearchStudy(strategy.search)
    for number in range(3):
        drawn = values_of(strategy.search.space, strategy._recipe({"network": "age-c4-f3", "batch_size": 32 << number}))
        assert isinstance(drawn["label_smoothing"], float)
        study.replay(number, drawn, {})
    assert study.ask() is None


# ── studies ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def curve(values: dict[str, Any], epoch: int) -> float:
    """A made-up accuracy: best at a rate of 1e-3."""
    return 0.9 - 0.1 * abs(np.log10(values["learning_rate"]) + 3) - 0.2 / epoch


def run_study(study: SearchStudy, trials: int) -> None:
    for _ in range(trials):
        number, values = study.ask()  # type: ignore[misc]
        stopped = any(study.report(number, epoch, curve(values, epoch)) for epoch in range(1, 10))
        study.tell(number, "stopped" if stopped else "finished", [curve(values, 9)])


@pytest.mark.parametrize("method", ["tpe", "random", "cmaes"])
@pytest.mark.parametrize("stopping", ["asha", "hyperband", "median"])
def test_a_study_made_again_asks_and_judges_as_the_first(method: str, stopping: str) -> None:
    pytest.importorskip("cmaes") if method == "cmaes" else None
    asked = Search([RATE], 40, 9, method, stopping, first=[{"learning_rate": 3e-3}])
    one = SearchStudy(asked)
    run_study(one, 30)
    other = SearchStudy(asked)
    for trial in one.study.get_trials():
        other.replay(trial.number, trial.params, trial.intermediate_values)
        other.tell(trial.number, "stopped" if trial.state == TrialState.PRUNED else "finished", [trial.value or 0])
    assert rungs(one.study) == rungs(other.study)
    assert [trial.state for trial in one.study.trials] == [trial.state for trial in other.study.trials]
    assert {trial.state for trial in one.study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert one.ask() == other.ask()


def test_stopped_trials_are_pruned_ones_with_their_last_value() -> None:
    study = SearchStudy(Search([RATE], 40, 9, "random", "asha"))
    run_study(study, 30)
    pruned = study.study.get_trials(states=[TrialState.PRUNED])
    assert len(pruned) > 10
    for trial in pruned:
        assert trial.last_step in (1, 3)
        assert trial.value == trial.intermediate_values[trial.last_step]


def test_the_first_that_was_given_is_trained_to_the_end_and_judges_the_others() -> None:
    bad, good = {"learning_rate": 1e-2}, {"learning_rate": 1e-3}
    study = SearchStudy(Search([RATE], 5, 9, "random", first=[good, bad]))
    assert study.ask() == (0, good)
    assert not any(study.report(0, epoch, curve(good, epoch)) for epoch in range(1, 10))
    assert rungs(study.study)[0] == {rung: curve(good, epoch) for rung, epoch in enumerate((1, 3, 9))}
    assert study.ask() == (1, bad)
    assert study.report(1, 1, curve(bad, 1))


def test_nobody_goes_on_for_being_the_best_of_one() -> None:
    study = SearchStudy(Search([RATE], 5, 9, "random"))
    for number, (accuracy, is_stopped) in enumerate([(0.6, True), (0.5, True), (0.7, False)]):
        assert study.ask()[0] == number  # type: ignore[index]
        assert study.report(number, 1, accuracy) == is_stopped


def test_no_configuration_is_suggested_twice_and_a_space_ends() -> None:
    study = SearchStudy(Search([Hyperparameter("batch_size", one_of(16, 32, 64))], 10, 1, "random"))
    assert sorted(study.ask()[1]["batch_size"] for _ in range(3)) == [16, 32, 64]  # type: ignore[index]
    assert study.ask() is None
    states = [trial.state for trial in study.study.trials]
    assert states.count(TrialState.RUNNING) == 3
    assert set(states) == {TrialState.RUNNING, TrialState.FAIL}


def test_two_objectives_have_a_front_and_stop_nobody() -> None:
    asked = Search([RATE], 10, 3, stopping="none", against="flops")
    study = SearchStudy(asked)
    for _ in range(10):
        number, values = study.ask()  # type: ignore[misc]
        assert not any(study.report(number, epoch, 0.5) for epoch in (1, 2, 3))
        study.tell(number, "finished", [curve(values, 3), 1 / values["learning_rate"]])
    assert 1 <= len(study.study.best_trials) <= 10
    with pytest.raises(InputError, match="stops nobody"):
        Search([RATE], 10, 3, against="flops").check()


def test_a_method_that_cannot_search_a_space_says_so() -> None:
    with pytest.raises(InputError, match="numbers only"):
        Search([NETWORK, RATE], 10, 3, "cmaes").check()


# ── the simulator ─────────────────────────────────────────────────────────────────────────────────────────────────────


def recorded() -> pd.DataFrame:
    rows = [
        {
            "trial": f"t{place}",
            "epoch": epoch,
            "learning_rate": rate,
            "validation_accuracy": accuracy,
            "wall_seconds": 2.0,
        }
        for place, (rate, accuracies) in enumerate({1e-4: (0.5, 0.6), 1e-3: (0.7, 0.9), 1e-2: (0.6, 0.5)}.items())
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]
    return pd.DataFrame(rows).assign(train_images=100)


def test_a_simulation_by_hand() -> None:
    found = simulator.curves(recorded())
    assert found.best(0.05).tolist() == [False, True, False]
    whole = Search(found.space, 3, 2, "random", "none")
    alone = simulator.simulate(found, whole)
    assert alone["seconds"].tolist() == [4.0, 8.0, 12.0]
    assert alone["image_passes"].tolist() == [200, 400, 600]
    assert sorted(alone["configuration"]) == [0, 1, 2]
    assert simulator.simulate(found, whole, workers=3)["seconds"].tolist() == [4.0, 4.0, 4.0]
    until = simulator.simulate(found, whole, until=found.best(0.05))
    assert until["configuration"].iloc[-1] == 1
    stopped = simulator.simulate(found, Search(found.space, 3, 2, "random", "asha"))
    assert stopped["image_passes"].iloc[-1] < 600
    assert not stopped["finished"].all()


# ── the CIFAKE paper's search ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_second_stage_is_on_the_winner_of_the_first(tmp_path: Path) -> None:
    two = run_main(cifake_paper.cifake_paper, "--seeds", "2", "--epochs", "1")
    recipes = two.strategy.representatives
    assert len(recipes) == 2 * 12
    record = Record(Folder(str(tmp_path)), "data")
    for place, recipe in enumerate(recipes):
        assert two.strategy.next_recipes(record) == recipes
        trial = record.add(recipe)
        sizes = recipe.network_arguments
        is_winner = sizes["convolutions"] == 3 and sizes["filters"] == 64
        lucky = recipe.seed == 0 and sizes["filters"] == 128  # once, and then bad
        record.update(trial, {"status": "finished", "validation_accuracy": 0.9 if is_winner or lucky else place / 100})
    heads = two.strategy.next_recipes(record)
    assert len(heads) == 2 * 24
    assert {(head.network_arguments["convolutions"], head.network_arguments["filters"]) for head in heads} == {(3, 64)}
    assert {head.network_arguments["units"] for head in heads} == set(cifake_paper.UNITS)
    assert {head.network_arguments["padding"] for head in [*heads, *recipes]} == {"same"}


def test_there_is_no_second_stage_if_nobody_finished_the_first(tmp_path: Path) -> None:
    paper = run_main(cifake_paper.cifake_paper, "--epochs", "1")
    record = Record(Folder(str(tmp_path)), "data")
    for recipe in paper.strategy.representatives:
        record.update(record.add(recipe), {"status": "collapsed"})
    assert paper.strategy.next_recipes(record) == []


def run_main(question: Any, *words: str, options: type[Options] = Options) -> Sweep:
    """The sweep that a command line asks for."""
    sweeps: list[Sweep] = []
    parsed = command("x", "", options, lambda values: sweeps.append(question(values)) or 0)
    parsed.main(list(words), standalone_mode=False)
    return sweeps[0]


# ── populations ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_worst_quarter_goes_on_from_the_best(tmp_path: Path) -> None:
    words = ("--epochs", "2", "--members", "8")
    strategy = run_main(population.population, *words, options=population.PopulationOptions).strategy
    record, members = Record(Folder(str(tmp_path)), "data"), strategy.representatives
    assert len(members) == 8
    for place, recipe in enumerate(members):
        record.update(record.add(recipe), {"status": "stopped"}, {"epoch": 1, "validation_accuracy": place / 10})
    children = list(strategy.next_recipes(record))
    best = [members[place].identity("data") for place in (6, 7)]
    for place, child in enumerate(children):
        assert (child.seed, child.pause_epoch, child.epochs) == (place, 0, 2)
        if place < 2:
            origin = members[6 + best.index(child.parent)]
            ratios = [getattr(child, name) / getattr(origin, name) for name in population.HYPERPARAMETERS]
            assert all(ratio == pytest.approx(0.8) or ratio <= 1.25 + 1e-9 for ratio in ratios)
            assert ratios != [1.0, 1.0, 1.0]
        else:
            assert child.parent == members[place].identity("data")
            assert child.learning_rate == members[place].learning_rate
        record.add(child)
    assert list(strategy.next_recipes(record)) == children  # which are still to be trained
    for child in children:
        record.update(child.identity("data"), {"status": "finished"})
    assert strategy.next_recipes(record) == []


def test_a_population_starts_all_over_its_space() -> None:
    sweep = run_main(population.population, "--members", "40", options=population.PopulationOptions)
    members = sweep.strategy.representatives
    orders = {tuple(np.argsort([getattr(member, name) for member in members])) for name in population.HYPERPARAMETERS}
    assert len(orders) == len(population.HYPERPARAMETERS)


@pytest.mark.parametrize(
    ("question", "options", "told"),
    [
        (population.population, population.PopulationOptions, "--members"),
        (search.search, SearchOptions, "--repeat-best 1"),
    ],
)
def test_seeds_that_would_do_nothing_are_refused(question: Any, options: type[Options], told: str) -> None:
    with pytest.raises(InputError, match=told):
        run_main(question, "--seeds", "3", options=options)


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
    assert "#0 age-c2-f1 is first among the trials that trained to the end" in told
    assert "(--repeat-best)" in told


def test_the_seed_that_chose_does_not_enter_where_it_was_trained_again(tmp_path: Path) -> None:
    study = read(searched_record(tmp_path, repeated=2))
    table = accuracies(study).set_index("configuration")
    assert (table.loc["#0 age-c2-f1", "mean"], table.loc["#0 age-c2-f1", "n"]) == (pytest.approx(0.84), 2)
    assert table.loc["#2 age-c2-f1", "n"] == 1
    assert "where there are several" in note(study, table)
    assert "(--repeat-best)" not in " ".join(summary(study, findings(study)))


def test_one_repeat_has_no_interval(tmp_path: Path) -> None:
    study = read(searched_record(tmp_path, repeated=1))
    told = " ".join(summary(study, findings(study))).replace("\N{NO-BREAK SPACE}", " ")
    assert "#0 age-c2-f1 84.00 % (n = 1) on validation" in told


# ── what is told to whom ──────────────────────────────────────────────────────────────────────────────────────────────


def opened(folder: Path, asked: Search) -> tuple[Searching, Record]:
    """The strategy of a search, opened on the record in a folder."""
    record = Record(Folder(str(folder / "record")), "data")
    strategy = Searching(asked, lambda drawn: Recipe.of(recipe_fields(drawn)), [Recipe("age-c2-f1")], None, None)
    strategy.open(record, folder)
    return strategy, record


def next_trial(strategy: Searching, record: Record) -> str | None:
    """Identity of the next trial that a strategy proposes."""
    recipes = strategy.next_recipes(record)
    return record.identity(recipes[0]) if recipes else None


class NoTrackers:
    """Trackers that hear nothing."""

    def hear(self, row: dict[str, Any], epochs: list[dict[str, Any]]) -> None:
        """Forget it."""


SPACE = [Hyperparameter("network", one_of("age-c2-f1")), RATE]
EPOCH = {"epoch": 1, "validation_accuracy": 0.6, "validation_loss": 0.5, "wall_seconds": 1.0}


def test_a_trial_that_failed_is_tried_again_by_the_next_run_only(tmp_path: Path) -> None:
    asked = Search(SPACE, 2, 9)
    strategy, record = opened(tmp_path, asked)
    trials = [str(next_trial(strategy, record)) for _ in range(2)]
    record.update(trials[0], {"status": "failed"})
    record.update(trials[1], {"status": "finished", "validation_accuracy": 0.8})
    assert next_trial(strategy, record) is None
    record.write()
    again, record = opened(tmp_path, asked)
    assert next_trial(again, record) == trials[0]
    assert next_trial(again, record) is None


def test_an_epoch_is_never_on_disk_without_the_verdict_on_it(tmp_path: Path) -> None:
    strategy, record = opened(tmp_path, Search(SPACE, 3, 9))
    sweep = Sweep("search", "Which?", strategy)
    images = {"train": 80, "validation": 20}
    execution = Execution(sweep, record, NoTrackers(), images, lambda recipes: recipes, lambda: None)  # type: ignore[arg-type]
    trial = execution.next_trial()
    assert trial
    with execution.show():
        assert execution.hear(trial, {**EPOCH, "batch_size_used": 32})  # the first at its rung
    row = pd.read_parquet(tmp_path / "record" / "trials.parquet").iloc[0]
    assert (row["status"], row["epochs_done"], row["validation_accuracy"]) == ("stopped", 1, 0.6)
    assert (row["batch_size_used"], row["validation_images"], row["best_epoch"]) == (32, 20, 1)


def test_a_study_made_again_does_not_hear_what_the_first_did_not(tmp_path: Path) -> None:
    """Of training that diverged, or of an epoch that came too late for the row of its trial."""
    asked = Search(SPACE, 3, 9, stopping="none")
    strategy, record = opened(tmp_path, asked)
    diverged, late = (str(next_trial(strategy, record)) for _ in range(2))
    record.update(diverged, {"status": "running"}, EPOCH | {"validation_loss": float("nan")})
    assert strategy.stop_reason(record, diverged) is None
    record.update(diverged, {"status": "diverged"})
    record.update(late, {}, EPOCH)
    record.update(late, {"status": "running", "epochs_done": 0})
    record.write()
    again, record = opened(tmp_path, asked)
    first, second = again._study.study.get_trials()
    assert (first.state, first.intermediate_values) == (TrialState.FAIL, {})
    assert (second.state, second.intermediate_values) == (TrialState.RUNNING, {})
    assert again.stop_reason(record, late) is None
    assert again._study.reported(1) == 1


def test_as_many_trials_fit_as_the_scarcest_resource_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "nodes", lambda: [{"CPU": 16.0, "GPU": 1.0}, {"CPU": 4.0}])
    assert resources.room({"cpu": 2.0, "gpu": 0.0}) == 8 + 2
    assert resources.room({"cpu": 1.0, "gpu": 0.2}) == 5
    assert resources.room({"cpu": 64.0, "gpu": 0.0}) == 1


# ── real searches ─────────────────────────────────────────────────────────────────────────────────────────────────────


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(
        study_name="search", storage=JournalStorage(JournalFileBackend(str(folder / "search" / "study.journal")))
    )


def by_number(results: Path) -> pd.DataFrame:
    frame = pd.read_parquet(results / "search" / "trials.parquet")
    return frame[frame["number"].notna()].sort_values("number", ignore_index=True)


def assert_no_orphans(results: Path) -> None:
    """Every trial of the study is in the record, in the same state, and the other way round."""
    states = {"finished": "COMPLETE", "stopped": "PRUNED", "collapsed": "PRUNED", "diverged": "PRUNED"}
    recorded = {int(row["number"]): states.get(row["status"], "RUNNING") for _, row in by_number(results).iterrows()}
    known = {trial.number: trial.state.name for trial in study_of(results).get_trials(deepcopy=False)}
    assert {number: state for number, state in known.items() if state != "FAIL"} == recorded


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search of six trials in `six`."""
    folder = tmp_path_factory.mktemp("search")
    prepare(str(make_tree(folder / "tree", images=250)), str(folder / "shards"))
    done = run_python(SEARCH, *SMALL, "--trials", "6", "--results", "six", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_search_that_is_extended_equals_one_of_that_size(place: Path) -> None:
    for trials in ("3", "6"):
        done = run_python(SEARCH, *SMALL, "--trials", trials, "--results", "extended", cwd=place)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(by_number(place / "extended")) == int(trials)
    one, other = by_number(place / "six"), by_number(place / "extended")
    pd.testing.assert_frame_equal(one.drop(columns=TIMES), other.drop(columns=TIMES))
    assert rungs(study_of(place / "six")) == rungs(study_of(place / "extended"))
    assert_no_orphans(place / "six")
    assert_no_orphans(place / "extended")


def test_the_first_trial_is_the_study_s_default() -> None:
    strategy = run_main(search.search, "--networks", "all", options=SearchOptions).strategy
    number, drawn = SearchStudy(strategy.search).ask()  # type: ignore[attr-defined]
    assert number == 0
    assert drawn.items() <= search.DEFAULT.items()
    assert [recipe.network for recipe in strategy.representatives] == list(MODELS)


def test_every_network_has_a_first_trial() -> None:
    for network in MODELS:
        asked = run_main(search.search, "--networks", network, options=SearchOptions).strategy.search  # type: ignore[attr-defined]
        assert asked.first[0].items() <= (search.DEFAULT | {"network": network}).items()
        assert asked.first[0].keys() == SearchStudy(asked).ask()[1].keys()  # type: ignore[index]


def test_the_record_tells_the_space(place: Path) -> None:
    study = read(Folder(str(place / "six" / "search")))
    assert set(hyperparameters(study)) == {"network", "learning_rate", "dropout"}
    found = searched(study)
    assert found["best_so_far"].dropna().is_monotonic_increasing
    assert found["image_passes"].iloc[-1] == 450 * study.trials["epochs_done"].sum()
    assert len(importance(study)) == 0  # of six trials
    assert len(front(study)) == 0
    assert len(repeats(study)) == 0


def test_a_search_killed_thrice_goes_on_as_it_was(place: Path) -> None:
    chance, words = random.Random(0), (SEARCH, *SMALL, "--trials", "8", "--results", "killed")
    record = place / "killed" / "search"
    begun, finished = 0, {}
    for _ in range(3):
        driver = subprocess.Popen([sys.executable, *map(str, words)], cwd=place, stdout=subprocess.DEVNULL)
        wanted = begun + chance.randint(1, 5)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and driver.poll() is None:
            begun = len(pd.read_parquet(record / "epochs.parquet")) if (record / "epochs.parquet").exists() else 0
            if begun >= wanted:
                break
            time.sleep(0.1)
        assert driver.poll() is None, "the search was over before it was killed"
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        rows = by_number(place / "killed")
        over = rows[rows["status"].isin(["finished", "stopped", "collapsed"])]
        assert finished.items() <= over.set_index("trial")["wall_seconds"].to_dict().items()
        finished = over.set_index("trial")["wall_seconds"].to_dict()
        before = Record(Folder(str(record)))
    done = run_python(*words, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = by_number(place / "killed")
    assert len(rows) == 8
    assert finished.items() <= rows.set_index("trial")["wall_seconds"].to_dict().items()
    epochs = pd.read_parquet(record / "epochs.parquet")
    assert not epochs.duplicated(["trial", "epoch"]).any()
    after = rungs(study_of(place / "killed"))
    for trial, epochs_before in before.epochs.items():
        number = int(rows.set_index("trial").loc[trial, "number"])
        if 1 in epochs_before:
            assert after[number][0] == epochs_before[1]["validation_accuracy"]
    assert_no_orphans(place / "killed")


def test_the_best_are_repeated_with_new_seeds(place: Path) -> None:
    words = (*SMALL, "--trials", "6", "--repeat-best", "1", "--seeds", "2", "--results", "six")
    done = run_python(SEARCH, *words, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    study = read(Folder(str(place / "six" / "search")))
    found = repeats(study)
    best = by_number(place / "six")
    best = best[best["status"] == "finished"]
    best = best.sort_values("validation_accuracy", ascending=False, kind="stable").iloc[0]
    assert found["configuration"].tolist() == [f"#{best['number']:.0f} {best['network']}"]
    again = study.trials[study.trials["number"].isna()]
    assert sorted(again["seed"]) == [1, 2]
    n = int((again["status"] == "finished").sum())
    assert found["n"].tolist() == [n]
    assert found["test_accuracy_mean"].iloc[0] == pytest.approx(again["test_accuracy"].dropna().mean())
    assert "Trained again with new seeds" in (place / "six" / "search" / "report.html").read_text()


def test_the_best_of_another_record_is_tried_first(place: Path) -> None:
    best = by_number(place / "six")
    best = best[best["status"] == "finished"].sort_values("validation_accuracy", ascending=False, kind="stable").iloc[0]
    words = (*SMALL, "--from", str(place / "six" / "search"))
    asked = run_main(search.search, *words, options=SearchOptions).strategy.search  # type: ignore[attr-defined]
    first = asked.first[0]
    assert first["learning_rate"] == best["learning_rate"]
    assert first["dropout"] == json.loads(best["arguments"])["dropout"]
    assert SearchStudy(asked).ask() == (0, first)


def test_a_child_goes_on_where_its_parent_stood(place: Path) -> None:
    words = ("--data", "shards", "--network", "age-c2-f1", "--members", "4", "--epochs", "3")
    done = run_python(ROOT / "sweeps" / "population.py", *words, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    record = place / "results" / "population"
    trials, epochs = (pd.read_parquet(record / f"{name}.parquet") for name in ("trials", "epochs"))
    curves = {trial: rows.drop(columns="trial").to_dict("records") for trial, rows in epochs.groupby("trial")}
    assert trials["status"].value_counts().to_dict() == {"stopped": 8, "finished": 4}
    for child in trials[trials["parent"] != ""].to_dict("records"):
        *inherited, last = curves[child["trial"]]
        assert inherited == curves[child["parent"]]
        assert last["learning_rate"] == pytest.approx(child["learning_rate"])
    for trial in trials["trial"]:  # whose best epoch may be one that it has inherited
        assert (record / "checkpoints" / trial / "best.keras").exists()
    assert trials.loc[trials["status"] == "stopped", "test_accuracy"].isna().all()
    study = read(Folder(str(record)))
    assert len(study.ranked) == 4
    assert "Over its seeds" not in " ".join(summary(study, findings(study)))


def test_another_search_in_the_same_record_is_refused(place: Path) -> None:
    done = run_python(SEARCH, *SMALL, "--trials", "6", "--results", "six", "--stopping", "median", cwd=place)
    assert "was made with --stopping asha" in refused(done)
    done = run_python(SEARCH, *SMALL, "--trials", "6", "--results", "six", "--set", "optimizer=adam", cwd=place)
    assert "--set" in refused(done)


def test_a_dashboard_opens_the_study(place: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    words = [Path(sys.executable).with_name("optuna-dashboard"), "--port", "18080", place / "six/search/study.journal"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                told = json.load(urllib.request.urlopen("http://127.0.0.1:18080/api/studies", timeout=5))
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.3)
        assert [study["study_name"] for study in told["study_summaries"]] == ["search"]
    finally:
        server.kill()
        server.wait()
