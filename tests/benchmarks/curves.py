"""Which curves are search methods judged on? Those of 240 recipes of three small networks, trained on real CIFAKE.

A sweep like any other; `curves.parquet` beside this file is its epochs with the knobs of their trials.

    python tests/benchmarks/curves.py --data shards/cifake --limit 3000 --results /tmp/curves
    python tests/benchmarks/search.py --keep /tmp/curves/curves
"""

import itertools

from sweeps._sweep import Options, Sweep, main

NETWORKS = ("age-c2-f1", "age-c2-f2", "cifake-cnn")
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
EPOCHS = 9


def curves(options: Options) -> Sweep:
    """Train 240 recipes: three networks, five rates, two batch sizes, two optimizers, batch norm, dropout."""
    every = itertools.product(NETWORKS, RATES, (32, 128), ("adam", "sgd"), (False, True), (0.0, 0.3))
    return Sweep(
        name="curves",
        question="Which recipe of three small networks is best after nine epochs?",
        recipes=[
            options.recipe(
                network,
                learning_rate=rate,
                batch_size=batch_size,
                optimizer=optimizer,
                momentum=0.9 if optimizer == "sgd" else 0.0,
                options={"batch_norm": batch_norm, "dropout": dropout},
                epochs=EPOCHS,
            )
            for network, rate, batch_size, optimizer, batch_norm, dropout in every
        ],
    )


if __name__ == "__main__":
    main(curves)
