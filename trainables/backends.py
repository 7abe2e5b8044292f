"""Which of Keras's backends computes."""

import os

from data_prep import InputError

BACKENDS = ("tensorflow", "jax")


def backend() -> str:
    """The backend of this process and of those that it starts: TensorFlow, or what KERAS_BACKEND says.

    To be called before Keras is imported; what the user's keras.json says is not asked. Raises InputError for another.
    """
    name = os.environ.setdefault("KERAS_BACKEND", BACKENDS[0])
    if name not in BACKENDS:
        raise InputError(f"KERAS_BACKEND is {name!r}; set it to {' or '.join(BACKENDS)}, or unset it.")
    return name
