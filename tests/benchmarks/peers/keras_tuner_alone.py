"""KerasTuner's grid search. python keras_tuner_alone.py WORK OUT"""

import json
import sys
from pathlib import Path

from _fit import arrays, compiled
from floor import NETWORKS

import keras_tuner  # isort: skip  # after _fit, which quietens TensorFlow


class Twelve(keras_tuner.HyperModel):
    def build(self, hp):  # type: ignore[no-untyped-def]
        return compiled(hp.Choice("name", NETWORKS))

    def fit(self, hp, model, *data, **options):  # type: ignore[no-untyped-def]
        history = model.fit(*data, **options)
        model.evaluate(*test, verbose=0)
        return history


work, out = Path(sys.argv[1]), Path(sys.argv[2])
splits = arrays(work)
test = splits["test"]
tuner = keras_tuner.GridSearch(Twelve(), objective="val_accuracy", directory=out.parent, project_name=out.stem)
tuner.search(*splits["train"], epochs=2, batch_size=32, validation_data=splits["validation"], verbose=0)
trials = tuner.oracle.trials.values()
out.write_text(json.dumps({trial.hyperparameters.values["name"]: trial.score for trial in trials}))
