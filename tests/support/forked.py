"""What the tests of the fork server have it run."""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path


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
