"""What networks cost, measured beside the driver, which has no TensorFlow and must not take hold of a GPU."""

from collections.abc import Sequence

from data_prep import InputError
from sweeps.engine.inputs import Inputs
from trainables import MODELS, Recipe
from trainables.training.cost import Cost
from trainables.worker import fork_server


class Costs:
    """Costs of recipes' networks, each measured once."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._costs: dict[tuple[str, str], Cost] = {}

    def __getitem__(self, recipe: Recipe) -> Cost:
        return self._costs[recipe.network, recipe.arguments]

    def measure(self, recipes: Sequence[Recipe]) -> None:
        """Measure the costs that are not known. Raises InputError for a recipe that does not fit its network."""
        kinds = {(recipe.network, recipe.arguments): recipe for recipe in recipes}
        new = {kind: recipe for kind, recipe in kinds.items() if kind not in self._costs}
        if not new:
            return
        arguments = (list(new.values()), self._inputs.data.image_size, MODELS)
        answers = fork_server.stream(self._inputs.node_folder, "trainables.training.cost:measure_all", *arguments)
        for kind, answer in zip(new, answers, strict=True):
            if isinstance(answer, str):
                raise InputError(answer)
            self._costs[kind] = answer

    def longest_first(self, recipes: Sequence[Recipe]) -> Sequence[Recipe]:
        """Recipes in the order of their floating-point operations for each training image, most first."""
        if len(recipes) < 2:
            return recipes
        self.measure(recipes)
        return sorted(recipes, key=lambda recipe: self[recipe].flops * recipe.epochs, reverse=True)
