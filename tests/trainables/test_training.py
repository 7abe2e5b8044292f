"""Training: a resumed run gives the curve it would have given, and the best epoch is scored."""

import contextlib
import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from data_prep.storage import Folder
from support.networks import curve, losses
from trainables import Recipe
from trainables.training import checkpoint, loop
from trainables.training.loop import Run, score_best, start, train
from trainables.training.metrics import epoch_metrics
from trainables.training.outcome import best_epoch, stop_reason
from trainables.training.pipeline import scorer
from trainables.training.schedule import learning_rate
from trainables.training.selection import Data, DataSelection

# ── training ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {},
        pytest.param({"network": "custom-3", "epochs": 4}, marks=pytest.mark.slow),
        {"optimizer": "sgd", "momentum": 0.9, "schedule": "cosine"},
        {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "plateau", "plateau_epochs": 1},
        pytest.param({"precision": "mixed_float16"}, marks=pytest.mark.slow),
        pytest.param(
            {"network": "vgg16-transfer", "arguments": {"train_from": "block5"}, "head_epochs": 2, "epochs": 4},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"network": "vgg16-transfer", "arguments": {"train_from": "block5"}, "head_epochs": 3, "epochs": 4},
            marks=pytest.mark.slow,
        ),
    ],
    ids=[
        "default",
        "dropout and augmentation",
        "cosine",
        "plateau",
        "mixed precision",
        "fine-tuning",
        "between stages",
    ],
)
def test_a_resumed_run_gives_the_curve_of_an_undisturbed_one(
    hyperparameters: dict[str, object], data: Data, tmp_path: Path
) -> None:
    data = dataclasses.replace(data, is_smoke=True)  # which does without ImageNet's weights
    recipe = Recipe.of({"network": "age-c2-f1", "epochs": 5, **hyperparameters})
    undisturbed = train(start(recipe, data), data)
    expected = score_best(undisturbed, data)
    folder = Folder(str(tmp_path))

    class KilledError(Exception):
        pass

    def kill_after_three(run: Run) -> None:
        if len(run.history) == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train(
            start(recipe, data),
            data,
            [lambda run: checkpoint.save(checkpoint.snapshot(run), folder), kill_after_three],
        )
    resumed = start(recipe, data)
    checkpoint.restore(resumed, folder)
    assert len(resumed.history) == 3
    train(resumed, data, [lambda run: checkpoint.save(checkpoint.snapshot(run), folder)])
    assert curve(resumed.history) == curve(undisturbed.history)
    assert np.array_equal(score_best(resumed, data)["test"], expected["test"])
    assert np.array_equal(scorer(checkpoint.load_best(folder))(data.test.images, 128), expected["test"])


@pytest.mark.slow
def test_a_killed_run_has_its_best_network_and_what_it_needs_to_go_on(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`last.npz` is written by time, at a pause and when training is interrupted; `best.keras` at once."""
    recipe, saved = Recipe("age-c2-f1", epochs=4, learning_rate=1e-3), list[tuple[str, int]]()
    write = Folder.write_bytes

    def noting(folder: Folder, name: str, content: bytes) -> None:
        saved.append((name, len(run.history)))
        write(folder, name, content)

    def keep(place: str, error: BaseException | None = None, epochs: int = 4) -> Folder:
        folder = Folder(str(tmp_path / place))
        with contextlib.suppress(KeyboardInterrupt, ValueError), checkpoint.Keeper(folder) as keeper:
            for _ in itertools.islice(loop.epochs(run, data), epochs):
                keeper.keep(run)
            if error:
                raise error
        return folder

    monkeypatch.setattr(Folder, "write_bytes", noting)
    run = start(recipe, data)
    folder = keep("whole")
    best = [epoch for epoch in range(1, 5) if best_epoch(run.history[:epoch]) == epoch]
    assert saved == [("best.keras", epoch) for epoch in best]
    undisturbed = curve(run.history)
    run = start(dataclasses.replace(recipe, pause_epoch=2), data)
    assert keep("paused").names() == ["best.keras", "last.npz"]
    for error, names in ((KeyboardInterrupt(), ["best.keras", "last.npz"]), (ValueError(), ["best.keras"])):
        run = start(recipe, data)
        folder = keep(type(error).__name__, error, epochs=2)
        assert folder.names() == names
        resumed = start(recipe, data)
        checkpoint.restore(resumed, folder)
        assert len(resumed.history) == 2 * (len(names) - 1)
        assert curve(train(resumed, data).history) == undisturbed
    del saved[:]
    monkeypatch.setattr(checkpoint, "_SECONDS_BETWEEN_SAVES", 0)
    run = start(recipe, data)
    keep("often")
    assert [epoch for name, epoch in saved if name == "last.npz"] == [1, 2, 3, 4]


def test_training_learns(data: Data) -> None:
    run = train(start(Recipe("age-c2-f1", epochs=4, learning_rate=1e-3), data), data)
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    assert max(row["validation_accuracy"] for row in run.history) > 0.9


def test_scores_are_those_of_keras_in_order(data: Data) -> None:
    model = start(Recipe("custom-3"), data).model
    expected = model.predict(data.test.images.astype(np.float32), verbose=0)[:, 0]
    for batch in (4, 16, 128):  # 60 images in whole batches, with a rest, and in one
        assert np.allclose(scorer(model)(data.test.images, batch), expected, rtol=1e-5, atol=1e-6)


def test_scores_are_of_the_best_epoch(data: Data) -> None:
    run = train(start(Recipe("age-c2-f1", epochs=3), data), data)
    best = run.history[run.best_epoch - 1]
    found = epoch_metrics(data.validation.labels, score_best(run, data)["validation"])
    assert best["validation_accuracy"] == max(row["validation_accuracy"] for row in run.history)
    assert found == {name: best[f"validation_{name}"] for name in found}


def test_early_stopping_waits_for_its_epochs() -> None:
    recipe = Recipe("age-c2-f1", epochs=10, early_stopping_epochs=2)
    assert stop_reason(recipe, losses(0.5, 0.4, 0.45)) is None
    assert stop_reason(recipe, losses(0.5, 0.4, 0.45, 0.41)) == "no lower validation loss in 2 epochs"
    assert stop_reason(Recipe("age-c2-f1", epochs=10), losses(0.5, 0.4, 0.45, 0.41)) is None
    assert stop_reason(Recipe("age-c2-f1", epochs=2), losses(0.5, 0.4)) == "all epochs are trained"


def test_a_plateau_halves_the_rate() -> None:
    recipe = Recipe("age-c2-f1", schedule="plateau", plateau_epochs=2, learning_rate=0.8)
    assert learning_rate(recipe, losses(0.5, 0.4, 0.45)) == 0.8
    assert learning_rate(recipe, losses(0.5, 0.4, 0.45, 0.4)) == 0.4
    assert learning_rate(recipe, losses(0.5, 0.4, 0.45, 0.4, 0.4, 0.4)) == 0.2


def test_the_best_epoch_is_the_first_of_equals() -> None:
    assert best_epoch(losses(0.5, 0.2, 0.3, 0.2)) == 2
    assert best_epoch([]) == 0


# ── the real data ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.real
def test_real_cifake_is_learnt_to_nine_in_ten(cifake_shards: Path) -> None:
    data = DataSelection(Folder(str(cifake_shards)), limit=40_000).load()
    run = train(start(Recipe("age-c4-f2", epochs=5), data), data)
    clean = ~data.test.duplicate
    assert clean.sum() <= 10_000 - 197 - 120  # without near-copies
    assert epoch_metrics(data.test.labels[clean], score_best(run, data)["test"][clean])["accuracy"] > 0.89
