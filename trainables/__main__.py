"""python -m trainables [NAME]: the table of networks, or one network's layers."""

import os

import click
import pandas as pd

from data_prep.errors import run_command
from trainables import MODELS
from trainables.training.cost import cost
from trainables.training.network import network
from trainables.training.recipe import Recipe


@click.command()
@click.argument("name", required=False)
def main(name: str | None) -> None:
    """Print the table of networks at 32 x 32 pixels, as Markdown, or the layers of the network NAME."""
    if name:
        network(MODELS, name).build(32).summary()
        return
    table = pd.DataFrame(rows(), columns=["network", "parameters", "MFLOPs", "recipe", "source"])
    print(table.to_markdown(index=False, disable_numparse=True))


def rows() -> list[tuple[str, str, str, str, str]]:
    """Name, parameters, millions of floating-point operations per image, recipe and source of every network."""
    costs = {name: cost(entry.build(32)) for name, entry in MODELS.items()}
    return [
        (name, f"{costs[name].parameters:,}", f"{costs[name].flops / 1e6:,.1f}", _recipe_in_words(name), entry.source)
        for name, entry in MODELS.items()
    ]


def _recipe_in_words(name: str) -> str:
    """A network's default recipe: `adam 1e-03, batch 32, 10 epochs`, and the schedule and early stopping if any."""
    recipe = Recipe.of({"network": name, **MODELS[name].recipe})
    words = [
        f"{recipe.optimizer} {recipe.learning_rate:.0e}",
        f"batch {recipe.batch_size}",
        f"{recipe.epochs} epochs",
        recipe.schedule if recipe.schedule != "constant" else "",
        f"early stopping after {recipe.early_stopping_epochs}" if recipe.early_stopping_epochs else "",
    ]
    return ", ".join(filter(None, words))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run_command(main)
