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


def fit(name: str, work: Path, callbacks: list = ()) -> float:  # type: ignore[type-arg,assignment]
    """Two epochs, and a look at test: the validation accuracy."""
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
