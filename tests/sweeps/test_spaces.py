"""Spaces: what makes sense, what is refused, grids."""

import json
from pathlib import Path

import pytest

from data_prep.errors import InputError
from support.commands import Command, refused
from support.searches import NETWORK, RATE, SEARCH
from sweeps import search
from sweeps.searching.space import Hyperparameter, between, check, grid, narrowed, one_of, recipe_fields, values_of
from sweeps.searching.study import Search, SearchStudy
from trainables import MODELS, Recipe


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
            "'units' is never used, for its condition network in ['vgg16'] never holds",
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
    with pytest.raises(InputError, match="'dropout' is never used"):
        check([NETWORK, units, more])


@pytest.mark.parametrize(
    ("hyperparameter", "told"),
    [
        ('Hyperparameter("learning_rate", one_of("fast"))', "learning_rate is 'fast'"),
        ('Hyperparameter("dropout", one_of("much"))', "dropout is 'much'"),
        ('Hyperparameter("units", one_of(32), when={"network": ["vgg16"]})', "'units' is never used"),
    ],
)
def test_a_wrong_space_is_refused_before_ray_starts(
    hyperparameter: str, told: str, tmp_path: Path, command_here: Command
) -> None:
    text = SEARCH.read_text().replace(
        "SPACE = [", f'SPACE = [Hyperparameter("network", one_of("age-c2-f1")), {hyperparameter}]\n_OTHER = ['
    )
    (tmp_path / "wrong.py").write_text(text.replace("networks=SMALL", 'networks=["age-c2-f1"]'))
    done = command_here(tmp_path / "wrong.py", "--smoke")
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
