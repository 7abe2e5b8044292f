"""The networks: one table, MODELS, from which the sweeps, the tests and the README derive.

Adding a network is a function in a file of its own and a line here.
"""

from trainables._network import Network
from trainables._recipe import Recipe

_AGE = "Sheoran 2025, after the age classifiers of Aydogdu & Demirci 2017"

MODELS: dict[str, Network] = {
    f"age-{trunk}-{head}": Network("age.age_classifier", {"trunk": trunk, "hidden": hidden}, _AGE)
    for trunk in ("c2", "c3", "c4")
    for head, hidden in (("f1", ()), ("f2", (512,)), ("f3", (512, 512)), ("f4", (1024, 512, 256)))
}

__all__ = ["MODELS", "Network", "Recipe"]
