"""A network's file, whoever wrote it → the network, without running any code that the file contains.

A `.keras` file is a zip of JSON, which names the classes that a network is made of, and HDF5, its weights. Keras's safe
mode refuses Python code in it (lambdas, pickled modules, saved TensorFlow programs) and archives that unpack a
hundredfold to more than 4 GiB. It still calls most functions of Keras that the file names, with the file's arguments.
A sweep's networks are made of layers alone: here nothing else passes, and nothing unpacks to more than the file holds.
"""

import io
import json
import math
import re
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from data_prep.shards import LARGEST_IMAGE
from trainables.backends import backend
from trainables.training.silence import silent_tensorflow

if TYPE_CHECKING:
    import keras

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = [_CONFIG, "metadata.json", _WEIGHTS]

_PLAIN = ("__keras_tensor__", "__slice__", "__ellipsis__")  # arguments of layers
_NETWORKS = ("Functional", "Model", "Sequential")
_MATERIAL = re.compile(r"keras\.(layers|initializers|regularizers|constraints|src\.(models|ops)\.\w+)")
_MOST_SWELLING, _MOST_DILATED = 1000, 32  # times the numbers in an image; pixels between a kernel's weights
# What calls code, or computes tensors on the way to its output that no node shows.
_REFUSED = re.compile(
    r"function|Lambda|TFSMLayer|\w*Wrapper|FlaxLayer|JaxLayer|(?!MultiHead)\w*Attention|TimeDistributed|Bidirectional"
    r"|\w*(RNN|LSTM|GRU)\w*|SpectralNormalization|\w*Spectrogram|CategoryEncoding|MultiHot|Pipeline"
)


def load_network(content: bytes, image_size: int | None = None) -> "keras.Model":
    """The network, uncompiled, of a `.keras` file: from square images, pixels 0–255, to a logit. Imports Keras.

    `image_size` is the images' side in pixels; None takes any that shards can have. Raises ValueError, with the reason
    in words, for anything else.
    """
    check(content)
    backend()
    with silent_tensorflow():
        import keras

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "network.keras")
        path.write_bytes(content)
        try:
            _check_sizes(content)
            network = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # whatever the layers that the file names raise
            raise ValueError(str(error).strip().partition("\n")[0] or type(error).__name__)
    inputs, outputs = (getattr(network, f"{end}_shape", None) for end in ("input", "output"))
    sides = range(image_size or 1, (image_size or LARGEST_IMAGE) + 1)
    if outputs != (None, 1) or inputs not in [(None, side, side, 3) for side in sides]:
        raise ValueError(
            f"it turns {inputs} into {outputs}, "
            f"not square colour images of {image_size or f'up to {LARGEST_IMAGE}'} pixels a side into a logit"
        )
    return network


def _check_sizes(content: bytes) -> None:
    """Raise ValueError for more parameters than the file has, or layers that swell an image. None of them is made."""
    import keras
    from keras.src.backend.common import global_state  # no public function forgets variables that are yet to be made

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        config = json.loads(archive.read(_CONFIG))
    try:
        with keras.StatelessScope(initialize_variables=False):
            network = keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
            if sum(math.prod(variable.shape) for variable in network.variables) > len(content):
                raise ValueError("it has more parameters than the file")
            # The operations between layers are none. Some nodes come twice, as a layer's and as one of its network's.
            nodes = [
                node
                for layer in network._flatten_layers()
                for operation in (layer, *getattr(layer, "_operations", ()))
                for node in operation._inbound_nodes
            ]
            sizes = [math.prod(filter(None, tensor.shape)) for node in nodes for tensor in node.output_tensors]
            sizes += [  # the scores of MultiHeadAttention, which are no output: every place by every other one
                node.operation.num_heads
                * max(math.prod(filter(None, tensor.shape[:-1])) for tensor in node.input_tensors) ** 2
                for node in nodes
                if hasattr(node.operation, "num_heads")
            ]
            if max(sizes, default=0) > _MOST_SWELLING * math.prod(filter(None, network.input_shape)):
                raise ValueError("its layers swell an image more than a thousandfold")
    finally:
        global_state.set_global_attribute("uninitialized_variables", None)


def open_stored(content: bytes, name: str = "it") -> zipfile.ZipFile:
    """Open a zip whose members are stored, not compressed, as Keras and `np.savez` write them.

    Of a compressed member, Python's zipfile unpacks more than the zip claims, and only then cuts it. Raises ValueError
    for what would unpack to more than `name` holds.
    """
    archive = zipfile.ZipFile(io.BytesIO(content))
    if len(content) < sum(
        max(member.file_size, member.compress_size) if member.compress_type == zipfile.ZIP_STORED else math.inf
        for member in archive.infolist()
    ):
        raise ValueError(f"{name} would unpack to more than it holds")
    return archive


def check(content: bytes) -> None:
    """Raise ValueError, with the reason in words, unless these are the bytes of a `.keras` file, layers and weights."""
    try:
        with open_stored(content) as archive:
            if sorted(archive.namelist()) != _MEMBERS:
                raise ValueError("it is a zip of other files than a network's")
            _check_config({**json.loads(archive.read(_CONFIG)), "compile_config": None})  # which is not loaded
            _check_weights(archive.read(_WEIGHTS))
    except Exception as error:  # whatever the parsers raise for a damaged file
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__)


def _check_config(part: Any) -> None:
    """Raise ValueError for any class, anywhere in a configuration, that is no layer or part of one."""
    if isinstance(part, dict) and ("class_name" in part or "module" in part):
        module, name = part.get("module"), part.get("class_name")
        is_plain = (module is None and name in _PLAIN) or (module == "keras" and name in ("DTypePolicy", *_NETWORKS))
        if not is_plain and (_REFUSED.fullmatch(str(name)) or not _MATERIAL.fullmatch(str(module))):
            raise ValueError(
                f"it is more than layers: {str(name)!r:.42} of {str(module)!r:.42} may run code or swell an image"
            )
        if name in _NETWORKS and (len(part.get("inbound_nodes", ())) > 1 or "shared_object_id" in part):
            raise ValueError("it calls a network within it twice")  # which may call one twice, and so on: 2^depth calls
    pads = isinstance(part, dict) and (
        part.get("pad_to_aspect_ratio") or np.max(part.get("dilation_rate", 1)) > _MOST_DILATED
    )
    if pads:
        raise ValueError("one of its layers would pad an image with more than there is of it")
    if isinstance(part, dict | list):
        for child in part.values() if isinstance(part, dict) else part:
            _check_config(child)


def _check_weights(content: bytes) -> None:
    """Raise ValueError for weights that would unpack to more bytes than there are."""
    sizes, elsewhere = list[float](), list[str]()

    def look(name: str, item: Any) -> None:
        # A group has no bytes. Keras writes no chunks, which may be compressed, and larger than what is in them.
        sizes.append(math.inf if getattr(item, "chunks", None) else getattr(item, "nbytes", 0))
        if getattr(item, "external", None) or getattr(item, "is_virtual", False):
            elsewhere.append(name)

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(look)
        file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else elsewhere.append(name))
    if elsewhere:
        raise ValueError(f"its weights lie elsewhere ({elsewhere[0]:.40})")
    if sum(sizes) > len(content):
        raise ValueError("its weights would unpack to more than it holds")
