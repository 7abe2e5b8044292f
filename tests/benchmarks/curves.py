"""Which curves are search methods judged on? Those of 240 recipes of two small networks, trained on real CIFAKE.

A sweep like any other; `curves.parquet` beside this file is its epochs with the hyperparameters of their trials.

    python tests/benchmarks/curves.py --data shards/cifake --limit 2000 --results /tmp/curves
    python tests/benchmarks/search.py --keep /tmp/curves/curves
"""

import itertools

from sweeps.engine.options import Options
from sweeps.engine.run import main
from sweeps.engine.sweep import FixedList, Sweep

NETWORKS = ("age-c2-f1", "age-c2-f2")
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
DROPOUTS = (0.0, 0.25, 0.5)
EPOCHS = 27


def curves(options: Options) -> Sweep:
    """Train 240 recipes: two networks, five rates, two batch sizes, two optimizers, batch norm, three dropouts."""
    every = itertools.product(NETWORKS, RATES, (32, 128), ("adam", "sgd"), (False, True), DROPOUTS)
    recipes = [
        options.recipe(
            network,
            learning_rate=rate,
            batch_size=batch_size,
            optimizer=optimizer,
            momentum=0.9 if optimizer == "sgd" else 0.0,
            arguments={"batch_norm": batch_norm, "dropout": dropout},
            epochs=EPOCHS,
        )
        for network, rate, batch_size, optimizer, batch_norm, dropout in every
    ]
    question = "Which recipe of two small networks is best after 27 epochs?"
    return Sweep(name="curves", question=question, strategy=FixedList(recipes))


if __name__ == "__main__":
    main(curves)
