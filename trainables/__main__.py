"""python -m trainables [NAME]: the table of networks, or one network's layers."""

import json
import os

import click
import pandas as pd

from data_prep.errors import run_command
from trainables import MODELS
from trainables.backends import backend
from trainables.training.cost import cost
from trainables.training.network import network
from trainables.training.recipe import Recipe


@click.command()
@click.argument("name", required=False)
def main(name: str | None) -> None:
    """Print the table of networks at 32 x 32 pixels, as Markdown, or the layers and arguments of the network NAME."""
    backend()
    if name is not None:
        entry = network(MODELS, name)
        entry.build(32).summary()
        arguments = [f"  {argument} = {json.dumps(value)}" for argument, value in entry.defaults().items()]
        print("\n".join([f"Arguments, each set by --set {name}.ARGUMENT=VALUE:", *arguments]))
        return
    table = pd.DataFrame(rows(), columns=["network", "parameters", "MFLOPs", "recipe", "source"])
    print(table.to_markdown(index=False, disable_numparse=True))


def rows() -> list[tuple[str, str, str, str, str]]:
    """Name, parameters, millions of floating-point operations per image, recipe and source of every network."""
    costs = {name: cost(entry.build(32)) for name, entry in MODELS.items()}
    return [
        (
            name,
            f"{costs[name].parameters:,}",
            f"{costs[name].flops / 1e6:,.1f}",
            str(Recipe.of({"network": name, **entry.recipe})),
            entry.source,
        )
        for name, entry in MODELS.items()
    ]


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run_command(main)
