"""A notebook: one process, a folder of JPEGs, one model after another. python notebook.py WORK OUT"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import tensorflow as tf
from floor import NETWORKS

from trainables import MODELS


def images(folder: Path, shuffle: bool) -> tf.data.Dataset:
    return keras.utils.image_dataset_from_directory(
        folder, label_mode="binary", class_names=["REAL", "FAKE"], image_size=(32, 32), shuffle=shuffle, verbose=False
    ).prefetch(tf.data.AUTOTUNE)


work, out = Path(sys.argv[1]), Path(sys.argv[2])
train, validation, test = (
    images(work / "jpegs" / split, split == "train") for split in ("train", "validation", "test")
)
accuracies = {}
for name in NETWORKS:
    model = MODELS[name].build(32)
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy("accuracy", threshold=0)],
    )
    history = model.fit(train, epochs=2, validation_data=validation, verbose=0)
    model.evaluate(test, verbose=0)
    accuracies[name] = history.history["val_accuracy"][-1]
out.write_text(json.dumps(accuracies))
