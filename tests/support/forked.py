"""What the tests of the fork server have it run."""

import ctypes
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


def aborting(words: str) -> Iterator[int]:
    """This process's number, and then its end as C++ ends one, with words on standard error."""
    yield os.getpid()
    print(f"a line before\n{words}", file=sys.stderr)
    os.abort()


def failed_check() -> Iterator[int]:
    """This process's number, and then its end by a check of TensorFlow's that fails, with the stack that it prints."""
    import tensorflow as tf

    yield os.getpid()
    tensorflow = ctypes.CDLL(str(Path(tf.__file__).with_name("libtensorflow_cc.so.2")))
    tensorflow.TF_AllocateTensor.restype = ctypes.c_void_p
    tensor = tensorflow.TF_AllocateTensor(1, None, 0, ctypes.c_size_t(4))
    tensorflow.TF_Dim(ctypes.c_void_p(tensor), -3)


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
