"""ImageNet's weights for the bodies of the transfer networks: found on disk, or downloaded by Keras.

They are read without TensorFlow, by the process that drives a sweep, and handed to its trials as arrays.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from data_prep.errors import InputError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Body:
    """A body in keras.applications: the model's name there, its weight file's name, and how many numbers that holds."""

    application: str
    file: str
    parameters: int


def _keras_file(name: str) -> str:
    return f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"


BODIES = {
    "vgg16": Body("VGG16", _keras_file("vgg16"), 14_714_688),
    "vgg19": Body("VGG19", _keras_file("vgg19"), 20_024_384),
    "resnet50": Body("ResNet50", _keras_file("resnet50"), 23_587_712),
    "densenet121": Body("DenseNet121", _keras_file("densenet121"), 7_037_504),
}

#: The arrays of a body by layer, in the order of the layer's weights.
Layers = Mapping[str, Sequence[np.ndarray]]


@dataclass(frozen=True)
class Weights:
    """A body's weights, and a hash of the file that they are from."""

    layers: Layers
    sha256: str


def find(bodies: Collection[str], given: str | None) -> dict[str, Weights]:
    """Body → weights. `given` is a weight file, or a folder of such under Keras's names; by default Keras's own folder.

    What is missing there is downloaded by Keras. Raises InputError: no such file, another body's file, no network.
    """
    return {body: _read(_path(body, bodies, given), body) for body in bodies}


def put(weights: Layers, model: "keras.Model") -> None:
    """Put weights into the layers of the same names."""
    for name, arrays in weights.items():
        model.get_layer(name).set_weights(list(arrays))


def _path(body: str, bodies: Collection[str], given: str | None) -> Path:
    name = BODIES[body].file
    if given and not Path(given).exists():
        raise InputError(f"--weights {given} does not exist; pass a file, or a folder with {name} in it.")
    if given and Path(given).is_file():
        if len(bodies) > 1:
            raise InputError(
                f"--weights {given} is one file, and the networks need {len(bodies)} ({', '.join(bodies)}); "
                f"pass a folder with Keras's files in it, such as {name}."
            )
        return Path(given)
    if given:
        if not Path(given, name).exists():
            raise InputError(f"--weights {given} has no {name}; put it there, or leave its networks out.")
        return Path(given, name)
    path = keras_folder() / name
    if not path.exists():
        _download(body, path)
    return path


def keras_folder() -> Path:
    """Where Keras keeps the weights that it downloads."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"), "models")


def _download(body: str, path: Path) -> None:
    """Let Keras download the weights, in a process of its own: this one must not take hold of a GPU."""
    application = BODIES[body].application
    print(f"Downloading the ImageNet weights of {application} …", flush=True)
    code = f"import keras; keras.applications.{application}(weights='imagenet', include_top=False)"
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not path.exists():
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].rpartition(" -- ")[2]
        raise InputError(
            f"The ImageNet weights of {application} cannot be downloaded ({reason}); "
            f"put {path.name} into {path.parent}, or into a folder that --weights names."
        )


def _read(path: Path, body: str) -> Weights:
    """The arrays of a weight file in Keras's HDF5 format. Raises InputError if it is not of this body."""
    try:
        with h5py.File(path) as file:
            found = {_text(name): _arrays(file[name]) for name in file.attrs["layer_names"]}
    except (OSError, KeyError):
        raise InputError(f"{path} is no weight file in Keras's HDF5 format; download it again.")
    layers = {name.replace("/", "_"): arrays for name, arrays in found.items() if arrays}  # DenseNet's: conv1/conv
    parameters = sum(array.size for arrays in layers.values() for array in arrays)
    if parameters != BODIES[body].parameters:
        raise InputError(
            f"{path} holds {parameters:,} weights, and {BODIES[body].application} without its top has "
            f"{BODIES[body].parameters:,}; pass {BODIES[body].file}."
        )
    return Weights(layers, hashlib.sha256(path.read_bytes()).hexdigest())


def _arrays(group: h5py.Group) -> list[np.ndarray]:
    return [group[name][()] for name in group.attrs["weight_names"]]


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
