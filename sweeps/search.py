"""Which network and which recipe tell real images from generated ones best, within a budget of training?

Over one network or all, each with its own hyperparameters. Optuna chooses what to try next from the results so far, and
a trial that falls behind at its rung is stopped. The study's default recipe is the first trial, trained to the end.

    python sweeps/search.py --data shards/cifake --limit 10000 --trials 30 --time-budget 30m
    python sweeps/search.py --data shards/cifake --limit 10000 --trials 60 --repeat-best 1 --seeds 3
    python sweeps/search.py --networks age-c4-f3 --tune learning_rate,dropout --method cmaes

The same command with more `--trials` continues the search. The best of many trials is partly luck: `--repeat-best`
trains the best again with new seeds, beside the default recipe.
"""

from sweeps.engine.run import main
from sweeps.engine.sweep import Sweep
from sweeps.searching.options import SearchOptions, searched
from sweeps.searching.space import Hyperparameter, between, one_of
from trainables import MODELS

AGE = [name for name in MODELS if name.startswith("age-")]
PLAIN = [*AGE, "cifake-cnn"]
SMALL = [*PLAIN, "custom-1", "custom-2", "custom-3"]
VGG = ["vgg16", "vgg19"]
DEEP = [*VGG, "resnet50", "densenet121"]

SPACE = [
    Hyperparameter("network", one_of(*MODELS)),
    Hyperparameter("learning_rate", between(1e-4, 3e-2, log=True)),
    Hyperparameter("batch_size", one_of(32, 64, 128)),
    Hyperparameter("optimizer", one_of("adam", "adamw", "sgd")),
    Hyperparameter("momentum", between(0.5, 0.99), when={"optimizer": ["sgd"]}),
    Hyperparameter("weight_decay", between(1e-5, 1e-1, log=True), when={"optimizer": ["adamw", "sgd"]}),
    Hyperparameter("schedule", one_of("constant", "cosine")),
    Hyperparameter("label_smoothing", between(0.0, 0.2)),
    Hyperparameter(
        "augmentation", one_of("none", "flip", "shift", "affine"), when={"network": [*PLAIN, "custom-1", *DEEP]}
    ),
    Hyperparameter("batch_norm", one_of(False, True), when={"network": PLAIN + VGG}),
    Hyperparameter("dropout", between(0.0, 0.5), when={"network": PLAIN + VGG}),
    Hyperparameter("top", one_of("dense", "pooled"), when={"network": VGG}),
    Hyperparameter("convolutions", between(1, 3), when={"network": ["cifake-cnn"]}),
    Hyperparameter("filters", one_of(16, 32, 64, 128), when={"network": ["cifake-cnn"]}),
    Hyperparameter("dense_layers", between(1, 3), when={"network": ["cifake-cnn"]}),
    Hyperparameter("units", one_of(32, 64, 128, 256, 512), when={"network": ["cifake-cnn"]}),
    Hyperparameter(
        "train_from", one_of("head", "all"), when={"network": [name for name in MODELS if name.endswith("transfer")]}
    ),
]

#: The study's best network and its recipe; other hyperparameters as the published networks have them.
DEFAULT = {
    "network": "age-c4-f3",
    "learning_rate": 1e-3,
    "batch_size": 32,
    "optimizer": "adam",
    "schedule": "constant",
    "label_smoothing": 0.0,
    "augmentation": "none",
    "batch_norm": False,
    "dropout": 0.0,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "top": "dense",
    "convolutions": 2,
    "filters": 32,
    "dense_layers": 1,
    "units": 64,
    "train_from": "head",
}


def search(options: SearchOptions) -> Sweep:
    """Search networks and their hyperparameters with Optuna, and stop trials that fall behind."""
    question = "Which network and which recipe tell real images from generated ones best?"
    return searched("search", question, options, SPACE, networks=SMALL, default=DEFAULT)


if __name__ == "__main__":
    main(search)
