"""The test images that at least half of the networks get wrong, and what the networks say of them."""

import itertools

import numpy as np
import pandas as pd
from scipy.special import expit

from analysis.results.compared import trials_by_configuration
from analysis.results.decisions import calibrated, calibration
from analysis.results.scores import Scores
from analysis.results.trials import Results


def networks_wrong(results: Results) -> tuple[np.ndarray, int]:
    """By how many networks each test image (n,) is called wrongly, and how many networks there are.

    A network with several seeds counts once, and as wrong where most of its seeds are.
    """
    networks = _trials(results)
    if "test" not in results.scores.parts or not networks:
        return np.zeros(0, int), 0
    return (results.scores.mean_right(networks, "test") < 0.5).sum(axis=0), len(networks)


def mistakes(results: Results) -> pd.DataFrame:
    """One row a test image that at least half of the networks get wrong, those that most get wrong first.

    Columns: row, path, label, object_class, generator and duplicate as in the record's images ("" for none),
    `networks_wrong` of `networks`, and `probability`, 0–1: the mean over networks, and over each one's seeds, of the
    calibrated probability of FAKE. Of images that as many get wrong, the surest mistakes come first.
    """
    wrong, count = networks_wrong(results)
    places = np.flatnonzero((wrong > 0) & (2 * wrong >= count))
    if not len(places):
        return pd.DataFrame()
    scores, test = results.scores, results.scores.parts["test"]
    means = [
        np.mean([_probabilities(scores, trial, places) for trial in trials], axis=0) for trials in _trials(results)
    ]
    frame = pd.DataFrame(
        {
            "row": test.rows[places],
            "path": test.paths[places],
            "label": test.labels[places],
            "object_class": test.classes[places],
            "generator": test.generators[places],
            "duplicate": test.duplicates[places],
            "networks_wrong": wrong[places],
            "networks": count,
            "probability": np.mean(means, axis=0),
        }
    )
    distance = np.abs(frame["probability"] - frame["label"])
    return frame.iloc[np.lexsort((frame["row"], -distance, -frame["networks_wrong"]))].reset_index(drop=True)


def _trials(results: Results) -> list[list[str]]:
    """The scored trials of each network."""
    return [list(itertools.chain(*groups)) for groups in trials_by_configuration(results).values()]


def _probabilities(scores: Scores, trial: str, places: np.ndarray) -> np.ndarray:
    """The probability of FAKE by which a trial judges some test images, calibrated where there is a validation."""
    logits = scores.of(trial, "test")[1][places]
    has_validation = "validation" in scores.parts
    return calibrated(logits, *calibration(*scores.of(trial, "validation"))) if has_validation else expit(logits)
