"""What the peers that train from arrays have in common: a compiled network, and the arrays."""

import os
from pathlib import Path

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
SPLITS = ("train", "validation", "test")


def arrays(work: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {split: (np.load(work / f"{split}-images.npy"), np.load(work / f"{split}-labels.npy")) for split in SPLITS}


def compiled(name: str):  # type: ignore[no-untyped-def]
    import keras

    from trainables import MODELS

    model = MODELS[name].build(32)
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy("accuracy", threshold=0)],
    )
    return model


def folders(work: Path) -> dict:  # type: ignore[type-arg]
    """The same images as batches out of folders of JPEGs, decoded again in each epoch."""
    import keras
    import tensorflow as tf

    options = {"label_mode": "binary", "class_names": ["REAL", "FAKE"], "image_size": (32, 32), "verbose": False}
    read = keras.utils.image_dataset_from_directory
    return {
        split: read(work / "jpegs" / split, shuffle=split == "train", **options).prefetch(tf.data.AUTOTUNE)
        for split in SPLITS
    }


def fit_folders(name: str, data: dict, callbacks: list = ()) -> float:  # type: ignore[type-arg,assignment]
    """Two epochs over `folders`, and a look at test: the validation accuracy."""
    model = compiled(name)
    history = model.fit(
        data["train"], epochs=2, validation_data=data["validation"], callbacks=list(callbacks), verbose=0
    )
    model.evaluate(data["test"], verbose=0)
    return float(history.history["val_accuracy"][-1])


def fit(name: str, work: Path, callbacks: list = ()) -> float:  # type: ignore[type-arg,assignment]
    """Two epochs over `arrays`, and a look at test: the validation accuracy."""
    data = arrays(work)
    model = compiled(name)
    history = model.fit(
        *data["train"],
        epochs=2,
        batch_size=32,
        validation_data=data["validation"],
        callbacks=list(callbacks),
        verbose=0,
    )
    model.evaluate(*data["test"], verbose=0)
    return float(history.history["val_accuracy"][-1])
