"""ImageNet weights for the bodies of the transfer networks: read from disk, or downloaded by Keras.

The driver of a sweep reads them without TensorFlow, and hands them to its trials as arrays.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from data_prep import InputError


@dataclass(frozen=True)
class Body:
    """A body in keras.applications: its model's name there, and how many numbers its weight file holds."""

    application: str
    parameters: int

    @property
    def file(self) -> str:
        """The name of Keras's weight file."""
        return f"{self.application.lower()}_weights_tf_dim_ordering_tf_kernels_notop.h5"


BODIES = {
    "vgg16": Body("VGG16", 14_714_688),
    "vgg19": Body("VGG19", 20_024_384),
    "resnet50": Body("ResNet50", 23_587_712),
    "densenet121": Body("DenseNet121", 7_037_504),
}

#: Layer → its arrays, in the order of the layer's weights.
Layers = Mapping[str, Sequence[np.ndarray]]


@dataclass(frozen=True)
class Weights:
    """A body's weights, and a hash of their file."""

    layers: Layers
    sha256: str


def find_weights(bodies: Collection[str], location: str | None) -> dict[str, Weights]:
    """Read the weights of each body: from `location`, a file or a folder of Keras's files, or from Keras's own folder.

    Keras downloads what its own folder lacks. Raises InputError for a missing file, for another body's, and offline.
    """
    if location is not None and not Path(location).exists():
        raise InputError(f"--weights {location} does not exist; pass a file, or a folder with Keras's files in it.")
    return {body: _read(_path(body, bodies, location), BODIES[body]) for body in bodies}


def _path(body: str, bodies: Collection[str], location: str | None) -> Path:
    name = BODIES[body].file
    if location is None:
        path = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"), "models", name)
        if not path.exists():
            _download(BODIES[body], path)
        return path
    path = Path(location)
    if path.is_dir():
        path = path / name
        if not path.exists():
            raise InputError(f"--weights {location} has no {name}; put it there, or leave its networks out.")
    elif len(bodies) > 1:
        raise InputError(
            f"--weights {location} is one file, and the networks need {len(bodies)} ({', '.join(bodies)}); "
            f"pass a folder with Keras's files in it, such as {name}."
        )
    return path


def _download(body: Body, path: Path) -> None:
    """Let Keras download the weights, in a process of its own: the driver must not take hold of a GPU."""
    print(f"Downloading the ImageNet weights of {body.application} …", flush=True)
    code = f"import keras; keras.applications.{body.application}(weights='imagenet', include_top=False)"
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not path.exists():
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].rpartition(" -- ")[2]
        raise InputError(
            f"The ImageNet weights of {body.application} cannot be downloaded ({reason}); "
            f"put {path.name} into {path.parent}, or into a folder that --weights names."
        )


def _read(path: Path, body: Body) -> Weights:
    """Read a weight file in Keras's HDF5 format. Raises InputError if it is another body's, or none."""
    try:
        with h5py.File(path) as file:
            weights = {layer: list(file[layer].attrs["weight_names"]) for layer in file.attrs["layer_names"]}
            layers = {  # DenseNet's are named like conv1/conv
                os.fsdecode(layer).replace("/", "_"): [file[layer][name][()] for name in names]
                for layer, names in weights.items()
                if names
            }
    except (OSError, KeyError):
        raise InputError(f"{path} is no weight file in Keras's HDF5 format; download it again.")
    parameters = sum(array.size for arrays in layers.values() for array in arrays)
    if parameters != body.parameters:
        raise InputError(
            f"{path} holds {parameters:,} weights, and {body.application} without its top has {body.parameters:,}; "
            f"pass {body.file}."
        )
    return Weights(layers, hashlib.sha256(path.read_bytes()).hexdigest())
