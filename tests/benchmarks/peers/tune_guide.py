"""Ray Tune as its guide for Keras has it, one CPU a trial. python tune_guide.py WORK OUT [--reuse] [--arrays]

A trial reads the folder of JPEGs, as the notebook does, or arrays that somebody has decoded beforehand.
"""

import json
import sys
from pathlib import Path

from floor import NETWORKS
from ray import tune
from ray.tune.integration.keras import TuneReportCheckpointCallback


def train(config: dict) -> None:  # type: ignore[type-arg]
    sys.path.insert(0, config["here"])
    from _fit import fit, fit_folders, folders

    work, callbacks = Path(config["work"]), [TuneReportCheckpointCallback(metrics={"accuracy": "val_accuracy"})]
    if config["arrays"]:
        fit(config["name"], work, callbacks)
    else:
        fit_folders(config["name"], folders(work), callbacks)


if __name__ == "__main__":
    work, out = Path(sys.argv[1]), Path(sys.argv[2])
    told = {"work": str(work), "here": str(Path(__file__).parent), "arrays": "--arrays" in sys.argv}
    space = {"name": tune.grid_search(NETWORKS), **told}
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(reuse_actors="--reuse" in sys.argv),
        run_config=tune.RunConfig(storage_path=str(out.parent), name=out.stem, verbose=0),
    )
    results = tuner.fit()
    out.write_text(json.dumps({result.config["name"]: result.metrics["accuracy"] for result in results}))
