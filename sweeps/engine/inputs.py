"""What the trials of a sweep are given, and what their networks cost."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from data_prep import InputError
from data_prep.shards import read_manifest
from sweeps.engine.options import Options
from sweeps.engine.sweep import Strategy
from trainables import MODELS, Recipe
from trainables.layers.pretrained import Weights, find_weights
from trainables.training.arrays import shared_data
from trainables.training.cost import Cost
from trainables.training.selection import Data, DataSelection
from trainables.worker import fork_server, mps


@dataclass(frozen=True)
class Inputs:
    """Images selected from shards, and pretrained weights by body. `token` identifies the sweep on every node.

    Networks are measured beside the driver, which has no TensorFlow and must not take hold of a GPU.
    """

    selection: DataSelection
    weights: dict[str, Weights]
    token: str
    _costs: dict[tuple[str, str], Cost] = field(default_factory=dict)

    @property
    def node_folder(self) -> Path:
        """The folder of the fork server on this node."""
        return fork_server.node_folder(self.token)

    @cached_property
    def data(self) -> Data:
        """The images, mapped from the node folder."""
        return shared_data(self.selection, self.node_folder)

    def cost(self, recipe: Recipe) -> Cost:
        """The cost of a recipe's network, which was measured before."""
        return self._costs[recipe.network, recipe.arguments]

    def measure(self, recipes: Sequence[Recipe]) -> None:
        """Measure the costs that are not known. Raises InputError for a recipe that does not fit its network."""
        kinds = {(recipe.network, recipe.arguments): recipe for recipe in recipes}
        new = {kind: recipe for kind, recipe in kinds.items() if kind not in self._costs}
        if not new:
            return
        arguments = (list(new.values()), self.data.image_size, MODELS)
        answers = fork_server.stream(self.node_folder, "trainables.training.cost:measure_all", *arguments)
        for kind, answer in zip(new, answers, strict=True):
            if isinstance(answer, str):
                raise InputError(answer)
            self._costs[kind] = answer

    def longest_first(self, recipes: Sequence[Recipe]) -> Sequence[Recipe]:
        """Recipes in the order of their floating-point operations over all epochs, most first."""
        if len(recipes) < 2:
            return recipes
        self.measure(recipes)
        return sorted(recipes, key=lambda recipe: self.cost(recipe).flops * recipe.epochs, reverse=True)


def prepare_inputs(strategy: Strategy, options: Options) -> Inputs:
    """Start the fork server, which imports TensorFlow meanwhile, and find images and weights. Raises InputError.

    A smoke run does not wait for a download of weights.
    """
    selection = options.selection()
    read_manifest(selection.folder)  # a wrong folder is refused before weights are downloaded
    token = secrets.token_hex(6)
    if options.mps:
        mps.choose(fork_server.node_folder(token))
    fork_server.start(fork_server.node_folder(token))
    bodies = sorted({MODELS[recipe.network].pretrained for recipe in strategy.representatives} - {""})
    if bodies and options.smoke and not options.weights:
        print(f"A smoke run: random weights stand in for ImageNet's ({', '.join(bodies)}).", flush=True)
        bodies = []
    return Inputs(selection, find_weights(bodies, options.weights), token)
