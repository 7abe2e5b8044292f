"""What the tests of the fork server have it run."""

import itertools
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def cleaning(path: str) -> Iterator[int]:
    """Numbers without end; once closed, a file that says so."""
    try:
        yield from itertools.count()
    finally:
        Path(path).write_text("clean")


def endless() -> Iterator[int]:
    """This process's number, and then nothing for an hour."""
    yield os.getpid()
    time.sleep(3600)


def looking_for_gpus() -> Iterator[int]:
    """This process's number, once TensorFlow has looked for GPUs."""
    import tensorflow as tf

    tf.config.list_physical_devices("GPU")
    yield os.getpid()


def aborting(words: str) -> Iterator[int]:
    """This process's number, and then its end as C++ ends one, with words on standard error."""
    yield os.getpid()
    print(f"a line before\n{words}", file=sys.stderr)
    os.abort()


def trained_on_jax(threads: int) -> Iterator[dict[str, Any]]:
    """What a process has and does that trains on JAX: random numbers, threads, memory and modules."""
    import keras

    from support.networks import curve, split_of
    from trainables import Recipe
    from trainables.training.loop import start, train
    from trainables.training.pipeline import set_up
    from trainables.training.selection import Data

    set_up(threads)
    data = Data(split_of(64, 0), split_of(20, 1), split_of(20, 2), "fingerprint")
    run = train(start(Recipe("age-c2-f1", epochs=1), data), data)
    names = [Path(f"/proc/self/task/{thread}/comm").read_text() for thread in os.listdir("/proc/self/task")]
    keras.utils.set_random_seed(3)
    yield {
        "seeded": [random.random(), np.random.rand(), float(keras.random.uniform((1,))[0])],
        "threads": sum("XLAEigen" in name for name in names),
        "preallocates": os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"],
        "tensorflow": "tensorflow.python" in sys.modules,
        "curve": [
            {name: value for name, value in row.items() if name != "validation_right"} for row in curve(run.history)
        ],
    }
