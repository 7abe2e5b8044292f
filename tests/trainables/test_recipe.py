"""The recipe: what is refused, what makes a trial's identity, and what fits a network."""

import dataclasses

import pytest

from data_prep.errors import InputError
from trainables import MODELS, Recipe
from trainables.training.network import build, network


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(InputError, match="nearest is 'age-c4-f2'"):
        network(MODELS, "age_c4_f2")


@pytest.mark.parametrize(
    ("hyperparameters", "told"),
    [
        ({"learning_rat": 0.1}, "no hyperparameter 'learning_rat'; the nearest is 'learning_rate'"),
        ({"epochs": 2.5}, "epochs is 2.5; it must be of type int"),
        ({"epochs": True}, "epochs is True; it must be of type int"),
        ({"epochs": 0}, "epochs is 0; it must lie between 1 and"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; it must be of type float"),
        ({"learning_rate": float("nan")}, "it must lie between"),
        ({"optimizer": "lion"}, "optimizer is 'lion'; it must be one of adam, adamw, sgd"),
        ({"arguments": "batch_norm"}, "arguments is 'batch_norm'; it must be a JSON object"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(hyperparameters: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Recipe.of({"network": "age-c2-f1", **hyperparameters})


def test_identity_is_of_the_recipe_and_the_data() -> None:
    recipe = Recipe("age-c2-f1")
    assert recipe.identity("a") == Recipe.of(recipe.hyperparameters()).identity("a")
    assert recipe.identity("a") == dataclasses.replace(recipe, learning_rate=1e-3).identity("a")
    others = [dataclasses.replace(recipe, seed=1), dataclasses.replace(recipe, network="age-c2-f2")]
    assert len({recipe.identity("a"), recipe.identity("b"), *(other.identity("a") for other in others)}) == 4


def test_options_are_the_same_however_they_are_written() -> None:
    by_name = Recipe("vgg16", arguments={"top": "pooled", "batch_norm": True})  # type: ignore[arg-type]
    assert by_name == Recipe("vgg16", arguments='{"batch_norm": true, "top": "pooled"}')
    assert by_name.network_arguments == {"batch_norm": True, "top": "pooled"}


@pytest.mark.parametrize(
    ("hyperparameters", "told"),
    [
        ({"arguments": {"batchnorm": True}}, "The network has no argument 'batchnorm'; the nearest is 'batch_norm'"),
        ({"arguments": {"batch_norm": 1}}, "batch_norm is 1; it must be of type bool"),
        ({"arguments": {"top": "flat"}}, "top is 'flat'; it must be one of dense, pooled"),
        ({"head_epochs": 1}, "vgg16 has no pretrained layers to train after its head"),
        ({"network": "vgg16-transfer", "head_epochs": 1}, "take a transfer network with the argument train_from"),
        (
            {"network": "vgg16-transfer", "arguments": {"train_from": "blok5"}},
            "no block of vgg16-transfer; the nearest",
        ),
        ({"network": "vgg16-transfer", "arguments": {"body": "vgg19"}}, "The weights of this network are vgg16's"),
        (
            {"network": "custom-2", "arguments": {"hidden": [1]}},
            "The network has no argument 'hidden'; there is none",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_its_network_is_refused(hyperparameters: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        build(Recipe.of({"network": "vgg16", **hyperparameters}), 32, MODELS)


def test_a_whole_number_is_a_rate_too() -> None:
    assert Recipe("age-c2-f1", learning_rate=1).identity("a") == Recipe("age-c2-f1", learning_rate=1.0).identity("a")
