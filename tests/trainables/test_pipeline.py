"""Batches show each image once an epoch; an epoch as one program computes what its steps compute, one by one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from data_prep import Folder
from support.networks import curve, split_of
from trainables import MODELS, Recipe
from trainables.training import checkpoint, cost, pipeline
from trainables.training.loop import Run, score_best, start, train
from trainables.training.pipeline import scoring
from trainables.training.pipeline.backend import backend
from trainables.training.selection import Data

pytestmark = pytest.mark.slow

# ── batches ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_order_of_an_epoch_derives_from_seed_and_epoch(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[list[int]] = []

    def remembered(split: Any, order: np.ndarray, batch_size: int) -> Any:
        orders.append(order.tolist())
        return original(split, order, batch_size)

    original = backend.batches
    monkeypatch.setattr(backend, "batches", remembered)
    trainer = start(Recipe("age-c2-f1"), data).trainer
    for seed, epoch in ((0, 1), (0, 2), (1, 1), (0, 1)):
        trainer.train_epoch(seed, epoch, 32)
    assert all(sorted(order) == list(range(200)) for order in orders)
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3


def test_batches_are_images_in_order_with_their_labels(data: Data) -> None:
    order = np.random.default_rng(0).permutation(200).astype(np.int32)
    batches = backend.batches(data.train, order, 32)
    pairs = [batches[place] for place in range(len(batches))] if isinstance(batches, keras.utils.PyDataset) else batches
    images, labels = (list(map(np.asarray, part)) for part in zip(*pairs, strict=True))
    assert [len(batch) for batch in images] == [32] * 6 + [8]
    assert np.array_equal(np.concatenate(images), data.train.images[order])
    assert np.array_equal(np.concatenate(labels)[:, 0], data.train.labels[order])


# ── an epoch as one program, as on a GPU ──────────────────────────────────────────────────────────────────────────────

BATCH = 8


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that there is a GPU with so much memory, in bytes."""
    return lambda memory: monkeypatch.setattr(backend, "gpu_bytes", lambda: memory)


@pytest.fixture(scope="module")
def twenty_steps() -> Data:
    """An epoch of 20 steps, the last one incomplete; smoke runs do without ImageNet's weights."""
    return Data(split_of(19 * BATCH + 3, 0), split_of(50, 1), split_of(60, 2), "fingerprint", is_smoke=True)


def by_steps(run: Run, data: Data, epoch: int) -> dict[str, float]:
    """Train an epoch one step after the other, and average over images."""
    order = np.random.default_rng([run.recipe.seed, epoch]).permutation(len(data.train))
    means = {"loss": 0.0, "accuracy": 0.0}
    for places in np.split(order, range(BATCH, len(order), BATCH)):
        labels = data.train.labels[places].astype(np.float32)[:, None]
        logs = run.model.train_on_batch(data.train.images[places], labels, return_dict=True)
        means = {name: mean + float(logs[name]) * len(places) / len(order) for name, mean in means.items()}
    return means


def distances(weights: list[np.ndarray], others: list[np.ndarray]) -> list[float]:
    """How far apart the arrays of each pair are, relative to the norm of the first."""
    return [float(np.linalg.norm(a - b) / (np.linalg.norm(a) or 1)) for a, b in zip(weights, others, strict=True)]


#: Adam divides by gradients that may be rounding alone, as those of a bias before batch norm are; SGD does not. Deep
#: networks with batch norm are left out: on JAX, rounding of 1e-7 in a step of custom-3 is 1e-3 after fifteen.
SGD = {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 3e-4}
CASES: dict[str, dict[str, Any]] = {
    "adam": {"network": "age-c4-f2", "optimizer": "adam", "learning_rate": 3e-4},
    "dropout, batch norm, flips": {"arguments": {"augmentation": "flip", "dropout": 0.3, "batch_norm": True}},
    "affine maps": {"arguments": {"augmentation": "affine"}},
    "cosine, decay, smoothing": {"schedule": "cosine", "weight_decay": 0.01, "label_smoothing": 0.1},
}
TRANSFER = {"network": "vgg16-transfer", "arguments": {"train_from": "block5"}, "head_epochs": 1, "epochs": 2}


@pytest.mark.parametrize(
    ("hyperparameters", "epochs"),
    [*((case, 1) for case in CASES.values()), pytest.param(TRANSFER, 2, marks=pytest.mark.slow)],
    ids=[*CASES, "head first"],
)
def test_a_program_computes_what_single_steps_compute(
    hyperparameters: dict[str, Any], epochs: int, twenty_steps: Data, on_gpu: Callable[[int], None]
) -> None:
    on_gpu(2**40)
    recipe = Recipe.of({"network": "age-c2-f1", "batch_size": BATCH, "epochs": epochs, **SGD, **hyperparameters})
    steps = 4 if recipe.head_epochs else 20  # VGG16's take seconds
    data = replace(twenty_steps, train=split_of((steps - 1) * BATCH + 3, 0))
    as_program, in_steps = start(recipe, data), start(recipe, data)
    assert as_program.trainer.is_resident
    fresh = as_program.model.get_weights()
    train(as_program, data)
    for epoch in range(1, epochs + 1):
        in_steps.history = as_program.history[: epoch - 1]
        if epoch > 1:
            in_steps.compile()
        means = by_steps(in_steps, data, epoch)
        row = as_program.history[epoch - 1]
        assert {name: row[f"train_{name}"] for name in means} == pytest.approx(means, rel=1e-5)
    weights = as_program.model.get_weights()
    assert max(distances(weights, fresh)) > 0.01  # of biases, which begin at 0
    kernels = [place for place, array in enumerate(fresh) if array.ndim > 1]
    assert max(distances(*([arrays[place] for place in kernels] for arrays in (weights, fresh)))) > 1e-4
    assert max(distances(weights, in_steps.model.get_weights())) < 1e-5
    test = data.test
    assert np.allclose(as_program.scores(test), in_steps.scores(test), rtol=1e-5, atol=1e-5)


def test_a_resumed_program_gives_the_curve_of_an_undisturbed_one(
    twenty_steps: Data, on_gpu: Callable[[int], None], tmp_path: Path
) -> None:
    on_gpu(2**40)
    recipe, folder = (
        Recipe("age-c2-f1", arguments='{"dropout": 0.3}', epochs=3, batch_size=BATCH),
        Folder(str(tmp_path)),
    )
    undisturbed = train(
        start(recipe, twenty_steps),
        twenty_steps,
        [lambda run: checkpoint.save(checkpoint.snapshot(run), folder) if len(run.history) < 3 else None],
    )
    resumed = start(recipe, twenty_steps)
    checkpoint.restore(resumed, folder)
    assert len(resumed.history) == 2
    assert curve(train(resumed, twenty_steps).history) == curve(undisturbed.history)
    scores = [score_best(run, twenty_steps)["test"] for run in (resumed, undisturbed)]
    assert np.array_equal(*scores)


def test_images_of_more_than_a_quarter_of_the_gpu_are_streamed(
    twenty_steps: Data, on_gpu: Callable[[int], None]
) -> None:
    recipe, size, runs = Recipe("age-c2-f1", epochs=2, batch_size=BATCH), twenty_steps.train.images.nbytes, []
    for memory, is_resident in ((4 * size, True), (4 * size - 1, False)):
        on_gpu(memory)
        runs.append(train(start(recipe, twenty_steps), twenty_steps))
        assert runs[-1].trainer.is_resident == is_resident
    losses = [[row["train_loss"] for row in run.history] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert np.allclose(*(run.best_scores for run in runs), atol=1e-5)


def test_jax_states_the_memory_of_what_it_compiles(
    twenty_steps: Data, on_gpu: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "gpus", lambda: 1)
    monkeypatch.setattr(pipeline, "set_up", lambda *arguments, **options: None)  # which was done
    images = 100 * 32 * 32 * 3

    def stated(gpu_bytes: int, **changes: Any) -> int:
        on_gpu(gpu_bytes)
        return next(cost.stated_bytes(Recipe("age-c2-f1", batch_size=10, **changes), 32, 100, MODELS))

    whole, streamed = stated(4 * images), stated(images)
    if keras.backend.backend() == "tensorflow":
        assert (whole, streamed) == (0, 0)
        return
    weights = 4 * sum(weight.size for weight in start(Recipe("age-c2-f1"), twenty_steps).model.get_weights())
    assert images + 3 * weights < whole < images + 50 * weights
    assert 0.8 * images < whole - streamed < images
    assert stated(4 * images, optimizer="sgd") < whole
    monkeypatch.setattr(backend, "gpus", lambda: 0)
    assert stated(4 * images) == 0


@pytest.mark.parametrize("images", [0, 3, 16, 60])
def test_a_gpu_gives_the_scores_of_a_cpu(
    images: int, data: Data, on_gpu: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "_STEPS", 2)
    score, pixels = scoring.scorer(start(Recipe("custom-3"), data).model), data.test.images[:images]
    expected = score(pixels, 8)
    on_gpu(2**40)
    assert expected.shape == (images,)
    assert np.allclose(score(pixels, 8), expected, rtol=1e-5, atol=1e-6)
