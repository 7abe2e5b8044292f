"""Arrays → epochs, scores and gradients, on Keras's backend. Only the files in this folder import TensorFlow or JAX."""

from trainables.training.pipeline.backend import backend
from trainables.training.pipeline.scoring import scorer
from trainables.training.pipeline.trainer import Trainer

gradient, set_up = backend.gradient, backend.set_up

__all__ = ["Trainer", "backend", "gradient", "scorer", "set_up"]
