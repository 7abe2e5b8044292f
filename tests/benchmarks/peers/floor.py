"""The floor: one plain process a core, decoded images, compiled steps, no sweep system.

python floor.py WORK OUT [SEED]
"""

import json
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np

NETWORKS = [f"age-{trunk}-{head}" for trunk in ("c4", "c3", "c2") for head in ("f4", "f3", "f2", "f1")]


def train(names: list[str], work: Path, out: Path, seed: int) -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf

    from trainables import MODELS

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    data = {
        split: (
            tf.constant(np.load(work / f"{split}-images.npy")),
            tf.constant(np.load(work / f"{split}-labels.npy"), tf.float32),
        )
        for split in ("train", "validation", "test")
    }
    accuracies = {}
    for name in names:
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        model = MODELS[name].build(32)
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.build(model.trainable_variables)
        loss_of = keras.losses.BinaryCrossentropy(from_logits=True)

        @tf.function
        def step(places: tf.Tensor, model=model, optimizer=optimizer, loss_of=loss_of) -> tf.Tensor:
            images, labels = (tf.gather(array, places) for array in data["train"])
            with tf.GradientTape() as tape:
                loss = loss_of(labels[:, None], model(images, training=True))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            return loss

        @tf.function
        def right(images: tf.Tensor, labels: tf.Tensor, model=model) -> tf.Tensor:
            return tf.reduce_sum(tf.cast((model(images, training=False)[:, 0] > 0) == (labels > 0.5), tf.float32))

        def accuracy(split: str, right=right) -> float:
            images, labels = data[split]
            parts = [right(images[at : at + 500], labels[at : at + 500]) for at in range(0, len(images), 500)]
            return float(sum(parts)) / len(images)

        for epoch in range(2):
            order = np.random.default_rng([seed, epoch]).permutation(len(data["train"][0]))
            for at in range(0, len(order), 32):
                step(tf.constant(order[at : at + 32]))
            accuracies[name] = accuracy("validation")
        accuracy("test")
    out.write_text(json.dumps(accuracies))


def main(work: Path, out: Path, seed: int = 0) -> None:
    context = multiprocessing.get_context("spawn")
    parts = [out.with_suffix(f".{core}") for core in range(os.cpu_count() or 1)]
    processes = [
        context.Process(target=train, args=(NETWORKS[core :: len(parts)], work, part, seed))
        for core, part in enumerate(parts)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = {name: value for part in parts for name, value in json.loads(part.read_text()).items()}
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
