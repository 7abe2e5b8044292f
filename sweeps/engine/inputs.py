"""What the trials of a sweep are given, and what their networks cost."""

import math
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep import InputError, printable
from data_prep.shards import read_manifest
from sweeps.engine.options import Options
from sweeps.engine.sweep import Strategy
from trainables import MODELS, Recipe
from trainables.layers.pretrained import Weights, find_weights
from trainables.training.arrays import shared_data
from trainables.training.cost import Cost
from trainables.training.selection import Data, DataSelection
from trainables.worker import fork_server, mps

_MOST_HELPERS = 3  # that are tried for one question


@dataclass(frozen=True)
class Inputs:
    """Images selected from shards, and pretrained weights by body. `token` identifies the sweep on every node.

    Networks are measured in helpers, because the driver has no TensorFlow and must not take hold of a GPU. One that
    gives no sign of life for `patience` seconds is given up.
    """

    selection: DataSelection
    weights: dict[str, Weights]
    token: str
    patience: float = math.inf
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

    def check(self, arguments: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Raise InputError for arguments that their network does not take."""
        for refusal in self._asked("check of arguments", "network:refusals", arguments, MODELS):
            if refusal:
                raise InputError(refusal)

    def probe(self, stop: threading.Event) -> dict[str, Any] | None:
        """What linear probes reach on these images; None where that cannot be measured, and once `stop` is set."""
        return next(self._asked("linear probes", "probes:measure", self.selection, self.node_folder, stop=stop), None)

    def measure(self, recipes: Sequence[Recipe], stop: threading.Event | None = None) -> None:
        """Measure the costs that are not known, until `stop` is set. Raises InputError for a recipe that does not fit.

        A network that cannot be built costs nothing: its trials will fail and say why, and the others go on.
        """
        kinds = {(recipe.network, recipe.arguments): recipe for recipe in recipes}
        new = [kind for kind in kinds if kind not in self._costs]
        while new and not self._is_over(stop):
            asked = ([kinds[kind] for kind in new], self.data.image_size, MODELS)
            answers = self._asked(f"size of {new[0][0]}", "cost:measure_all", *asked, stop=stop, otherwise=Cost())
            for kind, answer in zip(list(new), answers, strict=False):
                if isinstance(answer, str):
                    raise InputError(answer)
                if answer.reason:
                    print(printable(f"{kind[0]} cannot be built: {answer.reason}"), file=sys.stderr)
                self._costs[kind] = answer
                new.remove(kind)

    def _is_over(self, stop: threading.Event | None) -> bool:
        """Whether nobody waits for a helper any more."""
        return (stop is not None and stop.is_set()) or fork_server.is_stopped(self.node_folder)

    def _asked(
        self, what: str, function: str, *arguments: Any, stop: threading.Event | None = None, otherwise: Any = None
    ) -> Iterator[Any]:
        """What a function of `trainables.training` yields in a helper; `otherwise` where that dies before, and say so.

        A helper that dies is tried again; one that dies later is not.
        """
        answered = False
        for _ in range(_MOST_HELPERS):
            try:
                for answer in fork_server.stream(
                    self.node_folder, f"trainables.training.{function}", *arguments, seconds=self.patience, stop=stop
                ):
                    answered = True
                    yield answer
                return
            except (fork_server.LostError, fork_server.HungError, fork_server.RemoteError) as error:
                if answered or self._is_over(stop):
                    return
                reason = str(error).strip().splitlines()[-1]
                if isinstance(error, fork_server.HungError):
                    break
        print(printable(f"No {what}: {reason}; the sweep goes on without."), file=sys.stderr, flush=True)
        yield otherwise

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
    return Inputs(selection, find_weights(bodies, options.weights), token, 60 * options.hang_minutes)
