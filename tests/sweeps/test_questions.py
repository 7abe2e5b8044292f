"""The sweep files that are more than a list: what they ask for, stage by stage."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.errors import InputError
from data_prep.storage import Folder
from support.searches import run_main
from sweeps import age, cifake_paper, population, search, zoo
from sweeps.engine.options import Options
from sweeps.record.writer import Record
from sweeps.searching.options import SearchOptions
from sweeps.searching.space import values_of
from sweeps.searching.study import SearchStudy
from trainables import MODELS

# ── the search ────────────────────────────────────────────────────────────────────────────────────────────────────────


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


@pytest.mark.parametrize(
    ("question", "options"),
    [(population.population, population.PopulationOptions), (search.search, SearchOptions)],
)
def test_training_sets_are_for_lists_of_networks(question: Any, options: type[Options]) -> None:
    asked = options(resample_train=3, seeds=1, limit=100)
    with pytest.raises(InputError, match=r"such as age\.py and zoo\.py"):
        asked.check(question(asked).strategy.representatives)


def test_every_network_is_trained_with_every_seed_on_every_training_set() -> None:
    words = ("--resample-train", "3", "--seeds", "2", "--limit", "100")
    for question, networks, kind in (
        (age.age, 12, Options),
        (zoo.zoo, 13, zoo.ZooOptions),
        (cifake_paper.cifake_paper, 12, Options),
    ):
        recipes = run_main(question, *words, options=kind).strategy.representatives
        kinds = {(recipe.network, recipe.arguments) for recipe in recipes}
        assert (len(kinds), len(recipes), len(set(recipes))) == (networks, 6 * networks, 6 * networks)
        crossed = {(recipe.seed, recipe.training_subset) for recipe in recipes}
        assert crossed == set(itertools.product((0, 1), (1, 2, 3)))


# ── first trials ──────────────────────────────────────────────────────────────────────────────────────────────────────


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
