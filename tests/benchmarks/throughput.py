"""Training throughput in images a second: ours, `model.fit` on arrays, and a bare compiled step, one thread a process.

Each figure is of a process of its own, after a first epoch that is not counted; two at a time means two processes.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd

IMAGES = 8_000
NETWORKS = ["age-c2-f1", "age-c3-f2", "age-c4-f2", "cifake-cnn", "custom-1"]
KINDS = ["bare step", "fit on arrays", "ours"]


def measure(repeats: int) -> pd.DataFrame:
    """One row a network, batch size, number of processes, kind and repeat: images a second of all processes."""
    rows = []
    for network in NETWORKS:
        for batch_size in (32, 128):
            for processes in (1, 2):
                for _ in range(repeats):
                    for kind in KINDS:
                        speed = sum(speeds(kind, network, batch_size, processes))
                        rows.append((network, batch_size, processes, kind, speed))
                print(f"  {network}, batch {batch_size}, {processes} at a time", flush=True)
    return pd.DataFrame(rows, columns=["network", "batch", "at once", "kind", "images a second"])


def speeds(kind: str, network: str, batch_size: int, processes: int) -> list[float]:
    words = [sys.executable, __file__, kind, network, str(batch_size)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    started = [
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(processes)
    ]
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]


def one(kind: str, network: str, batch_size: int) -> float:
    """Images a second in this process."""
    from trainables import Recipe
    from trainables.training import pipeline
    from trainables.training.loop import start
    from trainables.training.selection import Data, Split

    pipeline.set_up(1)
    generator = np.random.default_rng(0)
    labels = (np.arange(IMAGES) % 2).astype(np.int8)
    images = generator.integers(0, 256, (IMAGES, 32, 32, 3), np.uint8)
    split = Split(images, labels, np.arange(IMAGES, dtype=np.int32), np.zeros(IMAGES, bool))
    run = start(Recipe(network, batch_size=batch_size), Data(split, split, split, ""))
    epoch = {"ours": _ours, "fit on arrays": _fit, "bare step": _bare}[kind](run, split, batch_size)
    epoch(1)
    started = time.perf_counter()
    for number in (2, 3):
        epoch(number)
    return 2 * IMAGES / (time.perf_counter() - started)


def _ours(run, split, batch_size):  # type: ignore[no-untyped-def]
    return lambda number: run.trainer.train_epoch(0, number, batch_size)


def _fit(run, split, batch_size):  # type: ignore[no-untyped-def]
    import keras

    model = run.model
    # As most write it: a step at a time, with accuracy.
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy("accuracy", threshold=0)],
    )
    return lambda number: model.fit(split.images, split.labels, batch_size=batch_size, epochs=1, verbose=0).history


def _bare(run, split, batch_size):  # type: ignore[no-untyped-def]
    import keras
    import tensorflow as tf

    model = run.model
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
    images, labels = tf.constant(split.images), tf.constant(split.labels, tf.float32)

    @tf.function
    def step(places: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(tf.gather(labels, places)[:, None], model(tf.gather(images, places), training=True))
        weights = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    def epoch(number: int) -> float:
        order = np.random.default_rng(number).permutation(len(labels))
        for at in range(0, len(order), batch_size):
            loss = step(tf.constant(order[at : at + batch_size]))
        return float(loss)

    return epoch


if __name__ == "__main__":
    print(json.dumps(one(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
