"""Arrays → epochs, scores and gradients, on Keras's backend. Only the files in this folder import TensorFlow or JAX."""

from trainables.training.pipeline.backend import gradient, set_up
from trainables.training.pipeline.scoring import scorer
from trainables.training.pipeline.trainer import Trainer

__all__ = ["Trainer", "gradient", "scorer", "set_up"]
