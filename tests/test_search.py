"""Searches: spaces, the study that a record is made again into, stopping, kills, and the curves of a simulator."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import optuna
import pandas as pd
import pytest
from conftest import ROOT, TIMES, make_tree, refused, run_python
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from analysis.frames import read
from analysis.searches import front, importance, knobs, repeats, searched
from data_prep._command import InputError
from data_prep._job import prepare
from data_prep._storage import Folder
from sweeps import _options, _simulator, cifake_paper, population, search
from sweeps._record import Record
from sweeps._search_options import OPTIONS
from sweeps._space import Knob, between, check, grid, knobs_of, narrowed, one_of, values_of
from sweeps._study import Search, SearchStudy, rungs
from sweeps._sweep import Sweep
from trainables import MODELS, Recipe

SEARCH = ROOT / "sweeps" / "search.py"
#: One trial at a time, so that what comes out does not hang on what came first.
SMALL = ("--data", "shards", "--networks", "age-c2-f1,age-c3-f1", "--knobs", "learning_rate,dropout", "--epochs", "3")
SMALL += ("--max-concurrent", "1")

NETWORK = Knob("network", one_of("age-c2-f1", "cifake-cnn"))
RATE = Knob("learning_rate", between(1e-4, 1e-2, log=True))


# ── spaces ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_space_of_the_search_holds_for_every_network() -> None:
    check(search.SPACE)
    study = SearchStudy(Search(search.SPACE, 300, 9, method="random"))
    drawn = [study.ask()[1] for _ in range(300)]  # type: ignore[index]
    assert {values["network"] for values in drawn} == set(MODELS)
    for values in drawn:
        recipe = Recipe.of(knobs_of(values))
        assert MODELS[recipe.network].checked(recipe.network_options) == knobs_of(values)["options"]
        assert values_of(search.SPACE, recipe) == values
        assert ("momentum" in values) == (values["optimizer"] == "sgd")


@pytest.mark.parametrize(
    ("knob", "told"),
    [
        (Knob("learning_rate", one_of("fast")), "learning_rate is 'fast'; it must be of type float."),
        (Knob("batch_size", between(16.5, 64.0)), "batch_size is 16.5; it must be of type int."),
        (Knob("optimizer", one_of("adam", "lion")), "optimizer is 'lion'; it must be one of adam, adamw, sgd."),
        (Knob("momentum", between(0.5, 0.9), when={"optimiser": ["sgd"]}), "no knob above it is called that"),
        (
            Knob("units", one_of(32), when={"network": ["vgg16"]}),
            "'units' never matters: network in ['vgg16'] cannot be",
        ),
        (Knob("network", one_of("vgg16")), "has the knob 'network' twice"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(knob: Knob, told: str) -> None:
    with pytest.raises(InputError, match=told.replace("[", r"\[").replace("]", r"\]")):
        check([NETWORK, knob])


def test_a_branch_that_two_conditions_rule_out_is_unreachable() -> None:
    units = Knob("units", one_of(32, 64), when={"network": ["cifake-cnn"]})
    more = Knob("dropout", between(0.0, 0.5), when={"network": ["age-c2-f1"], "units": [32]})
    with pytest.raises(InputError, match="'dropout' never matters"):
        check([NETWORK, units, more])


@pytest.mark.parametrize(
    ("knob", "told"),
    [
        ('Knob("learning_rate", one_of("fast"))', "learning_rate is 'fast'"),
        ('Knob("dropout", one_of("much"))', "dropout is 'much'"),
        ('Knob("units", one_of(32), when={"network": ["vgg16"]})', "'units' never matters"),
    ],
)
def test_a_wrong_space_is_refused_before_ray_starts(knob: str, told: str, tmp_path: Path) -> None:
    text = SEARCH.read_text().replace(
        "SPACE = [", f'SPACE = [Knob("network", one_of("age-c2-f1")), {knob}]\n_OTHER = ['
    )
    (tmp_path / "wrong.py").write_text(text.replace("networks=SMALL", 'networks=["age-c2-f1"]'))
    done = run_python(tmp_path / "wrong.py", "--smoke", cwd=tmp_path)
    assert told in refused(done)
    assert "Ray" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_grid_by_hand() -> None:
    space = [NETWORK, RATE, Knob("units", one_of(32, 64), when={"network": ["cifake-cnn"]})]
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


def test_a_narrowed_space_keeps_what_its_knobs_depend_on() -> None:
    names = [knob.name for knob in narrowed(search.SPACE, ["momentum"], {})]
    assert names == ["network", "optimizer", "momentum"]
    fixed = narrowed(search.SPACE, None, {"optimizer": "adam"})
    assert not {"momentum", "weight_decay"} & {knob.name for knob in fixed}
    with pytest.raises(InputError, match="nearest is 'learning_rate'"):
        narrowed(search.SPACE, ["learning"], {})


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
    if method != "cmaes":  # whose distribution is not in a record
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
    study = SearchStudy(Search([Knob("batch_size", one_of(16, 32, 64))], 10, 1, "random"))
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
    found = _simulator.curves(recorded())
    assert found.best(0.05).tolist() == [False, True, False]
    whole = Search(found.space, 3, 2, "random", "none")
    alone = _simulator.simulate(found, whole)
    assert alone["seconds"].tolist() == [4.0, 8.0, 12.0]
    assert alone["image_passes"].tolist() == [200, 400, 600]
    assert sorted(alone["configuration"]) == [0, 1, 2]
    assert _simulator.simulate(found, whole, workers=3)["seconds"].tolist() == [4.0, 4.0, 4.0]
    until = _simulator.simulate(found, whole, until=found.best(0.05))
    assert until["configuration"].iloc[-1] == 1
    stopped = _simulator.simulate(found, Search(found.space, 3, 2, "random", "asha"))
    assert stopped["image_passes"].iloc[-1] < 600
    assert not stopped["finished"].all()


# ── the CIFAKE paper's search ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_second_stage_is_on_the_winner_of_the_first(tmp_path: Path) -> None:
    two = run_main(cifake_paper.cifake_paper, "--seeds", "2", "--epochs", "1")
    assert len(two.recipes) == 2 * 12
    record = Record(Folder(str(tmp_path)))
    for place, recipe in enumerate(two.recipes):
        trial = recipe.identity("data")
        record.add(trial, recipe)
        sizes = recipe.network_options
        is_winner = sizes["convolutions"] == 3 and sizes["filters"] == 64
        lucky = recipe.seed == 0 and sizes["filters"] == 128  # once, and then bad
        record.update(trial, {"status": "finished", "validation_accuracy": 0.9 if is_winner or lucky else place / 100})
    assert two.then
    heads = two.then(record)
    assert len(heads) == 2 * 24
    assert {(head.network_options["convolutions"], head.network_options["filters"]) for head in heads} == {(3, 64)}
    assert {head.network_options["units"] for head in heads} == set(cifake_paper.UNITS)
    assert {head.network_options["padding"] for head in [*heads, *two.recipes]} == {"same"}


def run_main(question: Any, *words: str, own: Sequence[click.Option] = ()) -> Sweep:
    """The sweep that a command line asks for."""
    asked: list[Sweep] = []
    command = _options.command("x", "", lambda options: asked.append(question(options)) or 0, own)
    command.main(list(words), standalone_mode=False)
    return asked[0]


# ── populations ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_worst_quarter_goes_on_from_the_best(tmp_path: Path) -> None:
    asked = run_main(population.population, "--epochs", "2", "--members", "8", own=population.OPTIONS)
    record, members = Record(Folder(str(tmp_path))), asked.recipes
    assert len(members) == 8
    for place, recipe in enumerate(members):
        trial = recipe.identity("data")
        record.add(trial, recipe)
        record.update(trial, {"status": "stopped"}, [{"epoch": 1, "validation_accuracy": place / 10}])
    assert asked.then
    children = list(asked.then(record))
    best = [members[place].identity("data") for place in (6, 7)]
    for place, child in enumerate(children):
        assert (child.seed, child.pause_epoch, child.epochs) == (place, 0, 2)
        if place < 2:
            origin = members[6 + best.index(child.parent)]
            ratios = [getattr(child, name) / getattr(origin, name) for name in population.KNOBS]
            assert all(ratio == pytest.approx(0.8) or ratio <= 1.25 + 1e-9 for ratio in ratios)
            assert ratios != [1.0, 1.0, 1.0]
        else:
            assert child.parent == members[place].identity("data")
            assert child.learning_rate == members[place].learning_rate
        record.add(child.identity("data"), child)
    assert asked.then(record) == []


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
    asked = run_main(search.search, "--networks", "all", own=OPTIONS)
    assert asked.search
    assert SearchStudy(asked.search).ask() == (0, search.DEFAULT)
    assert [recipe.network for recipe in asked.recipes] == list(MODELS)


def test_the_record_tells_the_space(place: Path) -> None:
    study = read(Folder(str(place / "six" / "search")))
    assert set(knobs(study)) == {"network", "learning_rate", "dropout"}
    found = searched(study)
    assert found["best_so_far"].dropna().is_monotonic_increasing
    assert found["image_passes"].iloc[-1] == 450 * study.results["epochs_done"].sum()
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
    for (trial, epoch), row in before.epochs.items():
        number = int(rows.set_index("trial").loc[trial, "number"])
        if epoch == 1:
            assert after[number][0] == row["validation_accuracy"]
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
    again = study.results[study.results["number"].isna()]
    assert sorted(again["seed"]) == [1, 2]
    n = int((again["status"] == "finished").sum())
    assert found["n"].tolist() == [n]
    assert found["test_accuracy_mean"].iloc[0] == pytest.approx(again["test_accuracy"].dropna().mean())
    assert "Trained again with new seeds" in (place / "six" / "search" / "report.html").read_text()


def test_the_best_of_another_record_is_tried_first(place: Path) -> None:
    best = by_number(place / "six")
    best = best[best["status"] == "finished"].sort_values("validation_accuracy", ascending=False, kind="stable").iloc[0]
    words = (*SMALL, "--from", str(place / "six" / "search"))
    asked = run_main(search.search, *words, own=OPTIONS)
    assert asked.search
    first = asked.search.first[0]
    assert first["learning_rate"] == best["learning_rate"]
    assert first["dropout"] == json.loads(best["options"])["dropout"]
    assert SearchStudy(asked.search).ask() == (0, first)


def test_a_child_goes_on_where_its_parent_stood(place: Path) -> None:
    words = ("--data", "shards", "--network", "age-c2-f1", "--members", "4", "--epochs", "2")
    done = run_python(ROOT / "sweeps" / "population.py", *words, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    record = place / "results" / "population"
    trials, epochs = (pd.read_parquet(record / f"{name}.parquet") for name in ("trials", "epochs"))
    children = trials[trials["parent"] != ""]
    assert len(children) == 4
    assert len(trials) == 8
    for _, child in children.iterrows():
        first, last = epochs[epochs["trial"] == child["trial"]].to_dict("records")
        inherited = epochs[epochs["trial"] == child["parent"]].to_dict("records")[0]
        assert {**first, "trial": ""} == {**inherited, "trial": ""}
        assert last["learning_rate"] == pytest.approx(child["learning_rate"])
    assert trials.set_index("parent").loc["", "test_accuracy"].isna().all()
    assert len(read(Folder(str(record))).ranked) == (children["status"] == "finished").sum()


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
