"""Why training ends, the status of a trial, and its final row.

finished    all epochs are trained, or training ended early; the last loss is finite, and the best epoch not collapsed
stopped     the sweep stopped the trial, or it paused for another trial to resume from it
collapsed   the network answers the same for every validation image, or its accuracy is within noise of chance
diverged    the loss is no longer finite
failed      an error; the next run of the same command tries again

Reasons worded elsewhere: a search prunes the trial (`sweeps.searching.strategy`), the trial raises an error
(`worker.trial`), it shows no sign of life (`worker.actor`), or its worker dies again and again
(`sweeps.engine.execution`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainables.training.metrics import SCORED_SPLITS, SELECTION_METRIC, THRESHOLD, best_threshold, epoch_metrics
from trainables.training.recipe import Recipe
from trainables.training.selection import Data

#: Stop reason of a paused trial, from which another trial resumes.
PAUSED = "paused, for another trial to go on from here"

_EPOCHS_AT_CHANCE = 3
_STEPS_AT_CHANCE = 1_000  # some networks start slowly

#: One epoch by the names of the record's epochs table: numbers, and bytes as `validation_right`.
EpochRow = dict[str, Any]
#: Accuracies of train and validation, 0–1, up to which an epoch is at chance.
Chance = tuple[float, float]


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
    if (
        chance
        and len(history) >= epochs
        and all(row["train_accuracy"] <= chance[0] and row[SELECTION_METRIC] <= chance[1] for row in history[-epochs:])
    ):
        return f"accuracy within noise of chance for {epochs} epochs"
    return None


def _is_finite(row: EpochRow) -> bool:
    return all(math.isfinite(row[name]) for name in ("train_loss", "validation_loss"))


def chance_level(labels: np.ndarray) -> float:
    """Accuracy, 0–1, that constant answers may reach: the commoner label's share and two standard errors."""
    share = float(max(np.mean(labels), 1 - np.mean(labels)))
    return share + 2 * math.sqrt(share * (1 - share) / len(labels))


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
    says_fake = validation_scores > 0
    if says_fake.all() or not says_fake.any():
        return "collapsed", f"it says {'FAKE' if says_fake.all() else 'REAL'} for every validation image"
    accuracy = float((says_fake == (data.validation.labels == 1)).mean())
    if accuracy <= chance_level(data.validation.labels):
        return "collapsed", f"its validation accuracy, {accuracy:.3f}, is within noise of chance"
    return "finished", reason


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
    return {"status": "failed", "reason": reason, "traceback": traceback}
