"""The answer comes first: what is best, in sentences, and commands that do what they say."""

import dataclasses
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from analysis.pages.answer import Answer, answer, training
from analysis.results.compared import compared
from analysis.results.configurations import own_values
from analysis.results.seeds import best_trials
from analysis.results.trials import Results, read
from data_prep.storage import Folder
from support.records import AGE, BEST, twelve
from support.searches import run_main
from sweeps.record import shown
from sweeps.searching.study import Search
from sweeps.zoo import ZooOptions, zoo
from trainables import MODELS, Recipe


def given_by(folder: Folder) -> Answer:
    results = read(folder)
    return answer(results, compared(results), folder)


def test_the_first_is_named_with_its_test_accuracy(analysed: tuple[Folder, str], results: Results) -> None:
    folder, html = analysed
    given = given_by(folder)
    accuracy = "83.75 % (95 % interval 79.8–87.0 %, over 400 images)"
    assert given.sentence == (
        f"Of 11 networks, 10 trained to the end, {BEST} is first by validation accuracy; its test accuracy is "
        f"{accuracy}. One seed each does not tell which network is best."
    )
    trial = results.ranked["trial"].iloc[0]
    assert given.network == f"{folder}/checkpoints/{trial}/best.keras"
    assert all(trial in command for purpose, command in given.commands.items() if not purpose.startswith("Train"))
    assert html.index("is first by validation accuracy") < html.index("<h2>Summary</h2>")
    text = re.sub(r"</?span>", "", html)
    for command in given.commands.values():
        assert f"<code>{command} </code>" in text
    assert f"<dt>Digest of the record</dt><dd>{folder.read_json(shown.SHOWN)['digest']}</dd>" in html


def test_over_seeds_the_best_mean_is_first(make: Callable[..., Folder]) -> None:
    lucky = (Recipe(AGE[0], seed=2), "finished", {"validation_accuracy": 0.99, "test_accuracy": 0.5})
    folder = make([*twelve(0), *twelve(1), lucky])
    best = best_trials(read(folder))
    assert best["network"].tolist() == [BEST, BEST]
    sentence = given_by(folder).sentence
    assert f"{BEST} is first by validation accuracy; its test accuracy is 83.75 %" in sentence
    assert "over 400 images and 2 seeds)" in sentence
    assert "it is behind" in sentence  # by its 200 images of validation it is the best, by test the worst


def test_a_network_that_is_alone_is_first_of_none(make: Callable[..., Folder]) -> None:
    sentence = given_by(make([(Recipe(AGE[0]), "finished", {})])).sentence
    assert sentence.startswith(f"{AGE[0]}'s test accuracy is ")
    assert "first" not in sentence
    assert "seed" not in sentence


def searched(make: Callable[..., Folder], *more: Any) -> Folder:
    """A search whose first choice was lucky: trained again with new seeds, the second is better."""
    from sweeps.searching.space import Hyperparameter, between, one_of

    space = [Hyperparameter("network", one_of(AGE[0])), Hyperparameter("learning_rate", between(1e-4, 1e-2, log=True))]
    trials = [
        (Recipe(AGE[0], learning_rate=rate), "finished", {"number": number, "validation_accuracy": accuracy})
        for number, (rate, accuracy) in enumerate([(1e-3, 0.7), (2e-3, 0.9), (3e-3, 0.8)])
    ]
    return make([*trials, *more], search=Search(space, trials=3, epochs=10).describe())


def test_a_search_names_the_best_hyperparameters_beside_default_and_range(make: Callable[..., Folder]) -> None:
    folder = searched(make)
    given = given_by(folder)
    assert given.sentence.startswith(f"Of 3 trained networks, #1 {AGE[0]} is first by validation accuracy; its test ")
    assert given.configuration.to_dict("records") == [
        {
            "hyperparameter": "learning_rate",
            "value": "0.002",
            "default": "0.001",
            "searched": "0.0001 to 0.01, logarithmic",
        }
    ]
    assert "batch_size 32, optimizer adam" in given.others


def test_a_choice_that_was_lucky_is_not_quoted(make: Callable[..., Folder]) -> None:
    again = [
        (Recipe(AGE[0], learning_rate=rate, seed=seed), "finished", {"validation_accuracy": accuracy})
        for rate, accuracy in ((2e-3, 0.75), (3e-3, 0.85))
        for seed in (1, 2)
    ]
    best = best_trials(read(searched(make, *again)))
    assert best["learning_rate"].tolist() == [3e-3, 3e-3]
    assert best["seed"].tolist() == [1, 2]


def test_only_what_was_trained_again_is_counted_as_such(make: Callable[..., Folder]) -> None:
    again = [
        (Recipe(AGE[0], learning_rate=rate, seed=seed), "finished", {}) for rate in (2e-3, 3e-3) for seed in (1, 2)
    ]
    assert "trained again" not in given_by(searched(make)).sentence
    assert given_by(searched(make, *again)).sentence.startswith("Of the 2 networks that were trained again, of 3, ")


def test_an_answer_that_a_linear_probe_matches_says_so(make: Callable[..., Folder]) -> None:
    folder = make(twelve(), floor={"both": {"test_accuracy": 0.99}})
    said = " It has learnt no more than a linear probe on colour and spectrum, which reaches 99.00 %."
    assert said in given_by(folder).sentence
    folder = make(twelve(), floor={"both": {"test_accuracy": 0.5}})
    assert "learnt no more" not in given_by(folder).sentence


def test_without_a_ranked_trial_there_is_no_answer(make: Callable[..., Folder]) -> None:
    folder = make([(Recipe(AGE[0]), "failed", {"reason": "an error"})])
    assert given_by(folder).sentence == "No trial of age is ranked."


RECIPES = [
    Recipe("age-c4-f3"),
    Recipe("custom-3", epochs=20, schedule="plateau", early_stopping_epochs=10),
    Recipe("vgg16", arguments='{"batch_norm": true, "top": "pooled"}', optimizer="sgd", momentum=0.85, epochs=3),
    Recipe("resnet50-transfer", arguments='{"train_from": "all", "hidden": [64, 32]}', learning_rate=3.21e-05),
    Recipe("cifake-cnn", arguments='{"filters": 64, "dropout": 0.25}', batch_size=64, label_smoothing=0.1, seed=7),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.network)
def test_the_command_that_trains_it_again_has_its_recipe(recipe: Recipe, results: Results) -> None:
    python, file, *words = shlex.split(training(recipe, results))
    assert (python, file) == ("python", "sweeps/zoo.py")
    sweep = run_main(zoo, *words, options=ZooOptions)
    assert list(sweep.strategy.representatives) == [dataclasses.replace(recipe, seed=0)]


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_those_of_the_function(name: str) -> None:
    import inspect

    signature = inspect.signature(MODELS[name]._function())
    expected = {key: value.default for key, value in signature.parameters.items() if value.default is not value.empty}
    assert MODELS[name].defaults() == expected | MODELS[name].arguments
    assert own_values(name).items() >= MODELS[name].defaults().items()
