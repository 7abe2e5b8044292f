"""What the trials of a sweep are given."""

import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sweeps.engine.options import Options
from sweeps.engine.sweep import Strategy
from trainables import MODELS
from trainables.layers.pretrained import Weights, find_weights
from trainables.training.arrays import shared_data
from trainables.training.selection import Data, DataSelection
from trainables.worker import fork_server


@dataclass(frozen=True)
class Inputs:
    """Images selected from shards, and pretrained weights by body. `token` identifies the sweep on every node."""

    selection: DataSelection
    weights: dict[str, Weights]
    token: str

    @property
    def node_folder(self) -> Path:
        """The folder of the fork server on this node."""
        return fork_server.node_folder(self.token)

    @cached_property
    def data(self) -> Data:
        """The images, mapped from the node folder."""
        return shared_data(self.selection, self.node_folder)


def prepare(strategy: Strategy, options: Options) -> Inputs:
    """Start the fork server, which imports TensorFlow meanwhile, and find images and weights. Raises InputError.

    A smoke run does not wait for a download of weights.
    """
    selection = options.selection()
    token = secrets.token_hex(6)
    fork_server.start(fork_server.node_folder(token))
    bodies = sorted({MODELS[recipe.network].pretrained for recipe in strategy.representatives} - {""})
    if bodies and options.smoke and not options.weights:
        print(f"A smoke run: random weights stand in for ImageNet's ({', '.join(bodies)}).", flush=True)
        bodies = []
    return Inputs(selection, find_weights(bodies, options.weights), token)
