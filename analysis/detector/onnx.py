"""A network as ONNX: converted by Keras and tf2onnx, run by onnxruntime, and compared with the original.

The packages for it are an extra, `export`. On JAX Keras would convert with jax2onnx, which brings 36 more packages.
"""

import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from data_prep import InputError

if TYPE_CHECKING:
    import keras

_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
_INPUT, _OUTPUT = "pixels", "logit"

#: The largest difference allowed between an ONNX file's answers and the original's: in probability, and in logits, as
#: a share of the largest (or of 1, if all are smaller).
MOST_IN_PROBABILITY, MOST_IN_LOGIT = 1e-5, 1e-4


@dataclass(frozen=True)
class Agreement:
    """The largest difference between an ONNX file and the original on n images, in probability and in logits."""

    probability: float
    logit: float
    images: int


def require_packages() -> None:
    """Raise InputError unless the packages that convert and run ONNX are installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f'Exporting takes {" and ".join(missing)}; install them with `pip install -e ".[export]"`.')


def for_inference(network: "keras.Model") -> "keras.Model":
    """The same network, with the same weights, and with layers that are fit for inference and for ONNX.

    Keras's RandomFlip flips even in inference if it is called as a function: it becomes Identity. tf2onnx would turn
    mean and variance of Normalization into inputs: it becomes Rescaling.
    """
    import keras

    def replacement(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.RandomFlip):
            return keras.layers.Identity(name=layer.name)
        if isinstance(layer, keras.layers.Normalization):
            mean, deviation = np.ravel(layer.mean), np.sqrt(np.ravel(layer.variance))
            return keras.layers.Rescaling((1 / deviation).tolist(), (-mean / deviation).tolist(), name=layer.name)
        return layer

    return keras.models.clone_model(network, clone_function=replacement)


def to_onnx(network: "keras.Model", properties: Mapping[str, str]) -> bytes:
    """An ONNX file from `pixels` (batch, side, side, 3) float32, 0–255, to `logit` (batch, 1), of any batch.

    `properties` go into its metadata. Raises InputError for a network that cannot be converted.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise InputError("Networks are exported to ONNX on TensorFlow only; run the command without KERAS_BACKEND.")
    network(np.zeros((1, *network.input_shape[1:]), np.float32), training=False)  # Keras exports called models only
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # its detours concern nobody
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings(action="ignore"):
        path = Path(scratch, "network.onnx")
        try:
            network.export(path, format="onnx", verbose=False)
            return _finished(path.read_bytes(), network.input_shape, properties)
        except Exception as error:  # whatever the converter, or the checker of its result, raises
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise InputError(f"{network.name} cannot be written as ONNX ({reason}); use its best.keras with Keras.")


def _finished(content: bytes, shape: tuple[Any, ...], properties: Mapping[str, str]) -> bytes:
    """The file with names for input, output and batch, and with properties; checked."""
    import onnx
    from onnx.tools.update_model_dims import update_inputs_outputs_dims

    model = onnx.load_model_from_string(content)
    names = {model.graph.input[0].name: _INPUT, model.graph.output[0].name: _OUTPUT}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    model.graph.input[0].name, model.graph.output[0].name = _INPUT, _OUTPUT
    model = update_inputs_outputs_dims(model, {_INPUT: ["batch", *shape[1:]]}, {_OUTPUT: ["batch", 1]})
    onnx.helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def agreement(network: "keras.Model", content: bytes, images: np.ndarray) -> Agreement:
    """How far an ONNX file's answers are from the network's on images (n, side, side, 3). Raises InputError: too far.

    Both compute on the CPU: GPUs round the factors of a product to ten bits.
    """
    import keras
    import onnxruntime

    pixels = images.astype(np.float32)
    with keras.device("cpu"):
        expected = np.asarray(network(pixels, training=False), np.float64)[:, 0]
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    answers = session.run([_OUTPUT], {_INPUT: pixels})[0][:, 0].astype(np.float64)
    probability = float(np.abs(expit(answers) - expit(expected)).max())
    logit = float(np.abs(answers - expected).max())
    if not (probability <= MOST_IN_PROBABILITY and logit <= MOST_IN_LOGIT * max(1.0, np.abs(expected).max())):
        raise InputError(
            f"As ONNX the network differs from the original by up to {probability:.1e} in probability and {logit:.1e} "
            f"in logits, so nothing was written; use its best.keras with Keras."
        )
    return Agreement(probability, logit, len(pixels))
