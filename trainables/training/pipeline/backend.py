"""The file of Keras's backend: both have the same functions."""

import keras

if keras.backend.backend() == "tensorflow":
    from trainables.training.pipeline import tensorflow_backend as backend
else:
    from trainables.training.pipeline import jax_backend as backend  # type: ignore[no-redef]

gradient, set_up = backend.gradient, backend.set_up

__all__ = ["backend", "gradient", "set_up"]
