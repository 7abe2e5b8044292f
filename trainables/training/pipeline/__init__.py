"""Arrays → batches → gradients, on Keras's backend. Only the files in this folder import TensorFlow or JAX."""

import keras

if keras.backend.backend() == "tensorflow":
    from trainables.training.pipeline.tensorflow_backend import (
        JIT_COMPILE,
        STEPS_PER_EXECUTION,
        forward,
        gradient,
        set_up,
        trainer,
        training_batches,
    )
else:
    from trainables.training.pipeline.jax_backend import (  # type: ignore[assignment]
        JIT_COMPILE,
        STEPS_PER_EXECUTION,
        forward,
        gradient,
        set_up,
        trainer,
        training_batches,
    )

__all__ = [
    "JIT_COMPILE",
    "STEPS_PER_EXECUTION",
    "forward",
    "gradient",
    "set_up",
    "trainer",
    "training_batches",
]
