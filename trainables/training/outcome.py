"""Why training ends, the status of a trial, and its final row.

finished    all epochs are trained, or training ended early; the last loss is finite, and the best epoch not collapsed
stopped     the sweep stopped the trial, or it paused for another trial to resume from it
collapsed   with the weights of its best epoch, accuracy and area on validation are within noise of chance; or all
            accuracies of the last half of the epochs are, whatever came before
diverged    the loss is no longer finite
failed      an error; the next run of the same command tries again

Reasons worded elsewhere: a search prunes the trial (`sweeps.searching.strategy`), the trial raises an error
(`worker.trial`), it shows no sign of life (`worker.actor`), or its worker dies again and again
(`sweeps.engine.execution`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtrc, ndtri

from trainables.training.metrics import (
    SCORED_SPLITS,
    SELECTION_METRIC,
    THRESHOLD,
    best_threshold,
    chance,
    epoch_metrics,
)
from trainables.training.recipe import Recipe
from trainables.training.selection import Data

#: Stop reason of a paused trial, from which another trial resumes.
PAUSED = "paused, for another trial to go on from here"

_NOISE = 0.025  # the probability with which chance alone reaches more
_EPOCHS_AT_CHANCE = 3
_STEPS_AT_CHANCE = 1_000  # some networks start slowly
_NO_NEWS, _MOST_LETTERS = ("[[", "[Op:", "Hint:"), 500  # of an error's message

#: One epoch by the names of the record's epochs table: numbers, and bytes as `validation_right`.
EpochRow = dict[str, Any]


@dataclass(frozen=True)
class Chance:
    """What a network that has learnt nothing may reach: accuracies on `train` and `validation`, and an `area` there.

    They are 0–1, and 1 where there are too few images to tell.
    """

    train: float
    validation: float
    area: float

    @classmethod
    def of(cls, data: Data) -> "Chance":
        """Chance on these images."""
        labels = data.validation.labels
        return cls(chance_level(data.train.labels), chance_level(labels), area_level(labels))

    @property
    def can_be_told(self) -> bool:
        """Whether there are enough validation images to tell learning from chance."""
        return self.validation < 1

    def explains(self, epoch: EpochRow) -> bool:
        """Whether an epoch is at chance on train and on validation: a network that overfits has learnt something."""
        is_learning = epoch["train_accuracy"] > self.train or epoch[SELECTION_METRIC] > self.validation
        return not is_learning and self.explains_area(epoch.get("validation_auc", 0.5))

    def explains_area(self, area: float) -> bool:
        """Whether an area on validation, above or below one half, is within noise of chance."""
        return not abs(area - 0.5) > self.area - 0.5


def stop_reason(
    recipe: Recipe, history: Sequence[EpochRow], chance: Chance | None = None, steps_per_epoch: int = 1
) -> str | None:
    """Why training ends after this history, in words; None while it goes on.

    `chance` is None where collapse is not judged.
    """
    if history and not _is_finite(history[-1]):
        return f"the loss is no longer finite after epoch {len(history)}"
    if len(history) >= recipe.epochs:
        return "all epochs are trained"
    if recipe.pause_epoch and len(history) >= recipe.pause_epoch:
        return PAUSED
    patience, rows = recipe.early_stopping_epochs, history[recipe.head_epochs :]
    if patience and rows and len(rows) - 1 - int(np.argmin([row["validation_loss"] for row in rows])) >= patience:
        return f"no lower validation loss in {patience} epochs"
    epochs = max(_EPOCHS_AT_CHANCE, math.ceil(_STEPS_AT_CHANCE / steps_per_epoch))
    if chance and chance.can_be_told and len(history) >= epochs and all(map(chance.explains, history[-epochs:])):
        return f"accuracy within noise of chance for {epochs} epochs"
    return None


def _is_finite(row: EpochRow) -> bool:
    return all(math.isfinite(row[name]) for name in ("train_loss", "validation_loss"))


def chance_level(labels: np.ndarray) -> float:
    """Accuracy, 0–1, that constant answers may reach on other such images, by the exact binomial test."""
    count, share = len(labels), chance(labels)
    right = np.arange(count + 1)
    return float(right[bdtrc(right - 1, count, share) > _NOISE].max() / count)


def area_level(labels: np.ndarray) -> float:
    """Area, 0–1, that random scores may reach, by the variance of Mann and Whitney's U; 1 where a label is missing."""
    fakes, reals = int(np.sum(labels)), int(np.sum(1 - labels))
    if not fakes * reals:
        return 1.0
    return float(min(1.0, 0.5 - ndtri(_NOISE) * math.sqrt((fakes + reals + 1) / (12 * fakes * reals))))


def best_epoch(history: Sequence[EpochRow]) -> int:
    """Epoch, from 1, with the highest validation accuracy; the first of equals; 0 without epochs."""
    return 1 + int(np.argmax([row[SELECTION_METRIC] for row in history])) if history else 0


def scored_row(
    recipe: Recipe,
    history: Sequence[EpochRow],
    data: Data,
    scores: Mapping[str, np.ndarray],
    reason: str,
    batch_size: int,
) -> dict[str, Any]:
    """Final row of a trial that was trained to its end, because of `reason`, and scored.

    `scores` are the logits (n,) of validation and test by the best epoch's weights; `batch_size` is the one used. The
    validation accuracy, by which trials are chosen, is at probability 0.5, as in training; the accuracies on test are
    at the threshold that is best on validation.
    """
    status, reason = verdict(history, data, scores["validation"], reason)
    if batch_size < recipe.batch_size:
        reason += f"; trained with batch size {batch_size} instead of {recipe.batch_size}: out of memory"
    clean, threshold = ~data.test.duplicate, best_threshold(data.validation.labels, scores["validation"])
    images = {
        "validation": (data.validation.labels, scores["validation"]),
        "test": (data.test.labels, scores["test"]),
        "test_clean": (data.test.labels[clean], scores["test"][clean]),
    }
    row: dict[str, Any] = {
        "status": status,
        "reason": reason,
        "train_images": len(data.train),
        "epochs_done": len(history),
        "best_epoch": best_epoch(history),
        "threshold": threshold,
    }
    for split in SCORED_SPLITS:
        at = THRESHOLD if split == "validation" else threshold
        metrics = {"images": len(images[split][0]), **epoch_metrics(*images[split], at)}
        row |= {f"{split}_{metric}": value for metric, value in metrics.items()}
    return row


def verdict(history: Sequence[EpochRow], data: Data, validation_scores: np.ndarray, reason: str) -> tuple[str, str]:
    """Status and reason of a trial whose training ended because of `reason`: diverged, collapsed or finished."""
    if not _is_finite(history[-1]):
        return "diverged", f"the loss was no longer finite after epoch {len(history)}"
    if data.is_smoke:
        return "finished", "a smoke run, too short to judge"
    chance, labels = Chance.of(data), data.validation.labels
    if not chance.can_be_told:
        return "finished", f"{reason}; {len(labels)} validation images are too few to tell learning from chance"
    metrics, says_fake = epoch_metrics(labels, validation_scores), validation_scores > THRESHOLD
    same = "FAKE" if says_fake.all() else "REAL" if not says_fake.any() else ""
    if metrics["accuracy"] <= chance.validation and chance.explains_area(metrics["auc"]):
        at_chance = f"its validation accuracy, {metrics['accuracy']:.3f}, is within noise of chance"
        return "collapsed", f"it says {same} for every validation image" if same else at_chance
    if start := _late_collapse(history, chance):
        best = history[best_epoch(history) - 1]
        return "collapsed", (
            f"its accuracy is within noise of chance from epoch {start} on, after {best[SELECTION_METRIC]:.3f} on "
            f"validation at epoch {best_epoch(history)}"
        )
    return "finished", reason + (f"; at probability 0.5 it says {same} for every validation image" if same else "")


def _late_collapse(history: Sequence[EpochRow], chance: Chance) -> int | None:
    """The epoch, from 1, from which all are at chance, if these are the last half of the epochs or more; or None."""
    count = next((place for place, row in enumerate(reversed(history)) if not chance.explains(row)), len(history))
    return len(history) - count + 1 if count >= math.ceil(len(history) / 2) else None


def stopped_row(history: Sequence[EpochRow], reason: str, images: Mapping[str, int]) -> dict[str, Any]:
    """Final row of a trial that ends before its last epoch, and so is not scored on test.

    `images` is split → number of images.
    """
    best = history[best_epoch(history) - 1]
    return {
        **{name: best[name] for name in best if name.startswith("validation_") and name != "validation_right"},
        **{f"{split}_images": images[split] for split in ("train", "validation")},
        "status": "stopped",
        "reason": reason,
        "epochs_done": len(history),
        "best_epoch": best_epoch(history),
        "wall_seconds": sum(epoch["wall_seconds"] for epoch in history),
    }


def failed_row(reason: str, traceback: str | None = None) -> dict[str, Any]:
    """Final row of a trial that cannot go on."""
    return {"status": "failed", "reason": _written(reason), "traceback": traceback and _written(traceback)}


def _written(text: str) -> str:
    """A text as a table can hold it: a file name that is no UTF-8 has letters that no encoding has."""
    return text.encode(errors="backslashreplace").decode()


def gist(error: Exception) -> str:
    """An error's class, and its message's first and last line: TensorFlow puts a screenful of layers between them."""
    lines = [line for line in map(str.strip, str(error).splitlines()) if line and not line.startswith(_NO_NEWS)]
    told = " ".join(dict.fromkeys(line[:_MOST_LETTERS] for line in [*lines[:1], *lines[-1:]]))
    return f"{type(error).__name__}: {told}"
