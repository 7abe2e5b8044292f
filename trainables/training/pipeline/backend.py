"""Keras's backend: the same names from one file or the other."""

import keras

if keras.backend.backend() == "tensorflow":
    from trainables.training.pipeline.tensorflow_backend import (
        FIT,
        batches,
        epoch_program,
        forward,
        gpu_bytes,
        gradient,
        set_up,
    )
else:
    from trainables.training.pipeline.jax_backend import (  # type: ignore[assignment]
        FIT,
        batches,
        epoch_program,
        forward,
        gpu_bytes,
        gradient,
        set_up,
    )

__all__ = ["FIT", "batches", "epoch_program", "forward", "gpu_bytes", "gradient", "set_up"]
