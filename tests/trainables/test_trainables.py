"""trainables: every row of MODELS keeps the same contracts, and a run resumed gives the curve it would have given."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.storage import Folder
from support.commands import run_python
from support.networks import PARAMETERS, curve, split_of
from support.trees import make_tree
from trainables import MODELS, Recipe
from trainables.layers.augmentation import RandomAffine
from trainables.training import checkpoint, pipeline, probes
from trainables.training.loop import (
    Run,
    best_epoch,
    chance_level,
    learning_rate,
    score,
    score_best,
    start,
    stop_reason,
    train,
)
from trainables.training.metrics import epoch_metrics
from trainables.training.network import build, network
from trainables.training.pipeline import training_batches
from trainables.training.selection import Data, Source, Split, load_data, shared_data
from trainables.worker.trial import verdict


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(split_of(200, 0), split_of(50, 1), split_of(60, 2), "fingerprint")


# ── the table of networks ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MODELS)
def test_every_network_has_a_recipe_that_holds(name: str) -> None:
    assert Recipe.of({"network": name, **MODELS[name].recipe}).network == name


@pytest.mark.parametrize("name", MODELS)
def test_every_network_takes_pixels_and_gives_one_logit(name: str) -> None:
    model = MODELS[name].build(32)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 1)
    assert model.layers[-1].activation is keras.activations.linear
    assert MODELS[name].source


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_the_age_networks_have_the_published_parameters(name: str, parameters: int) -> None:
    assert MODELS[name].build(32).count_params() == parameters


@pytest.mark.parametrize("trunk", ["c2", "c3", "c4"])
def test_every_age_trunk_ends_in_512_features(trunk: str) -> None:
    model = MODELS[f"age-{trunk}-f1"].build(32)
    assert model.layers[-2].output.shape == (None, 512)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == int(trunk[1])


def test_the_model_itself_rescales_pixels() -> None:
    model = MODELS["age-c2-f1"].build(32)
    rescaling = model.layers[1]
    assert np.allclose(rescaling(np.full((1, 32, 32, 3), 255.0)), 1.0)


def test_networks_share_no_weights_and_seeds_decide_them(data: Data) -> None:
    hashes = [start(Recipe(name), data).initial_weights for name in PARAMETERS]
    assert len(set(hashes)) == 12
    assert start(Recipe("age-c2-f1"), data).initial_weights == hashes[0]
    assert start(Recipe("age-c2-f1", seed=1), data).initial_weights != hashes[0]


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(InputError, match="nearest is 'age-c4-f2'"):
        network(MODELS, "age_c4_f2")


# ── the recipe ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("hyperparameters", "told"),
    [
        ({"learning_rat": 0.1}, "no hyperparameter 'learning_rat'; the nearest is 'learning_rate'"),
        ({"epochs": 2.5}, "epochs is 2.5; it must be of type int"),
        ({"epochs": True}, "epochs is True; it must be of type int"),
        ({"epochs": 0}, "epochs is 0; it must lie between 1 and"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; it must be of type float"),
        ({"learning_rate": float("nan")}, "it must lie between"),
        ({"optimizer": "lion"}, "optimizer is 'lion'; it must be one of adam, adamw, sgd"),
        ({"arguments": "batch_norm"}, "arguments is 'batch_norm'; it must be a JSON object"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(hyperparameters: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Recipe.of({"network": "age-c2-f1", **hyperparameters})


def test_identity_is_of_the_recipe_and_the_data() -> None:
    recipe = Recipe("age-c2-f1")
    assert recipe.identity("a") == Recipe.of(recipe.hyperparameters()).identity("a")
    assert recipe.identity("a") == dataclasses.replace(recipe, learning_rate=1e-3).identity("a")
    others = [dataclasses.replace(recipe, seed=1), dataclasses.replace(recipe, network="age-c2-f2")]
    assert len({recipe.identity("a"), recipe.identity("b"), *(other.identity("a") for other in others)}) == 4


def test_options_are_the_same_however_they_are_written() -> None:
    by_name = Recipe("vgg16", arguments={"top": "pooled", "batch_norm": True})  # type: ignore[arg-type]
    assert by_name == Recipe("vgg16", arguments='{"batch_norm": true, "top": "pooled"}')
    assert by_name.network_arguments == {"batch_norm": True, "top": "pooled"}


@pytest.mark.parametrize(
    ("hyperparameters", "told"),
    [
        ({"arguments": {"batchnorm": True}}, "vgg.vgg has no argument 'batchnorm'; the nearest is 'batch_norm'"),
        ({"arguments": {"batch_norm": 1}}, "batch_norm is 1; it must be of type bool"),
        ({"arguments": {"top": "flat"}}, "top is 'flat'; it must be one of dense, pooled"),
        ({"head_epochs": 1}, "vgg16 has no pretrained layers to train after its head"),
        ({"network": "vgg16-transfer", "head_epochs": 1}, "take a transfer network with the option train_from"),
        (
            {"network": "vgg16-transfer", "arguments": {"train_from": "blok5"}},
            "no block of vgg16-transfer; the nearest",
        ),
        ({"network": "vgg16-transfer", "arguments": {"body": "vgg19"}}, "The weights of this network are vgg16's"),
        (
            {"network": "custom-2", "arguments": {"hidden": [1]}},
            "custom.custom_2 has no argument 'hidden'; it has none",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_its_network_is_refused(hyperparameters: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        build(Recipe.of({"network": "vgg16", **hyperparameters}), 32, MODELS)


def test_a_whole_number_is_a_rate_too() -> None:
    assert Recipe("age-c2-f1", learning_rate=1).identity("a") == Recipe("age-c2-f1", learning_rate=1.0).identity("a")


# ── data ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def shard_folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    place = tmp_path_factory.mktemp("data")
    prepare(str(make_tree(place / "tree", images=200)), str(place / "shards"))
    return Folder(str(place / "shards"))


def test_limit_is_balanced_the_same_every_time_and_leaves_test_whole(shard_folder: Folder) -> None:
    first, second, whole = (load_data(shard_folder, limit) for limit in (100, 100, None))
    assert (len(first.train), len(first.validation), len(first.test)) == (100, 24, 400)
    assert first.train.labels.sum() == 50
    assert first.validation.labels.sum() == 12
    assert np.array_equal(first.train.images, second.train.images)
    assert first.fingerprint == second.fingerprint != whole.fingerprint
    assert np.array_equal(first.train.images, whole.train.images[first.train.rows])


def test_more_images_than_there_are_is_refused(shard_folder: Folder) -> None:
    with pytest.raises(InputError, match="more than the 360 balanced training images"):
        load_data(shard_folder, 1_000)


def test_an_epoch_shows_every_image_once_in_the_order_of_seed_and_epoch(data: Data) -> None:
    numbered = dataclasses.replace(data.train, images=np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1))
    orders = {}
    for seed, epoch in ((0, 1), (0, 2), (1, 1)):
        batches = [np.asarray(images)[:, 0, 0, 0] for images, _ in training_batches(numbered, 32, seed, epoch)]
        assert [len(batch) for batch in batches] == [32] * 6 + [8]
        orders[seed, epoch] = np.concatenate(batches).tolist()
        assert sorted(orders[seed, epoch]) == list(range(200))
    assert len({tuple(order) for order in orders.values()}) == 3
    again = [np.asarray(images)[:, 0, 0, 0] for images, _ in training_batches(numbered, 32, 0, 1)]
    assert np.concatenate(again).tolist() == orders[0, 1]


def test_images_that_lie_in_the_device_give_the_same_curve(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe("custom-3", epochs=2)  # which augments
    fed = train(start(recipe, data), data)
    monkeypatch.setattr(pipeline, "is_resident", lambda: True)
    resident = start(recipe, data)
    assert resident.trainer is not resident.model
    train(resident, data)
    assert curve(resident.history) == curve(fed.history)
    assert len(resident.variables()) == len(fed.variables())


def test_batches_keep_labels_with_their_images(data: Data) -> None:
    for images, labels in training_batches(data.train, 32, 0, 1):
        for image, label in zip(np.asarray(images), np.asarray(labels), strict=True):
            place = np.flatnonzero((data.train.images == image).all((1, 2, 3)))[0]
            assert data.train.labels[place] == label[0]


def test_one_copy_of_the_data_is_shared(shard_folder: Folder, tmp_path: Path) -> None:
    source = Source(shard_folder, 100, False)
    first, second = shared_data(source, tmp_path), shared_data(source, tmp_path)
    expected = load_data(shard_folder, 100)
    for data in (first, second):
        assert (data.fingerprint, data.is_smoke) == (expected.fingerprint, False)
        for split in ("train", "validation", "test"):
            for field in dataclasses.fields(Split):
                found = getattr(getattr(data, split), field.name)
                assert np.array_equal(found, getattr(getattr(expected, split), field.name))
                assert isinstance(found, np.memmap)
    assert first.train.images.filename == second.train.images.filename


# ── augmentation ──────────────────────────────────────────────────────────────────────────────────────────────────────


def fully(**most: float) -> RandomAffine:
    """A layer that always does the most that it may."""
    layer = RandomAffine(**most)
    layer._uniform = lambda count, most: keras.ops.full((count,), most)
    return layer


IMAGE = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)


def test_affine_maps_by_hand() -> None:
    assert np.array_equal(fully(rotation=90.0)(IMAGE, training=True)[0], np.rot90(IMAGE[0]))
    shifted = np.asarray(fully(shift=0.25)(IMAGE, training=True))[0, :, :, 0]
    assert shifted[0].tolist() == [5, 6, 7, 7]  # a pixel to the left and one up; the edge is repeated
    assert shifted[3].tolist() == [13, 14, 15, 15]
    five = np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    sheared = np.asarray(fully(shear=1.0)(five, training=True))[0, :, :, 0]
    assert sheared[0].tolist() == [0, 0, 0, 1, 2]  # the first row is moved by two, and the last the other way
    assert sheared[2].tolist() == five[0, 2, :, 0].tolist()
    assert sheared[4].tolist() == [22, 23, 24, 24, 24]
    zoomed = np.asarray(fully(zoom=1.0)(five, training=True))[0, :, :, 0]  # every second pixel
    assert zoomed[2].tolist() == [10, 10, 12, 14, 14]


def test_augmentation_is_at_rest_outside_training_and_differs_from_image_to_image() -> None:
    keras.utils.set_random_seed(0)
    layer = RandomAffine(rotation=15, shift=0.1, shear=0.2, zoom=0.2)
    images = np.repeat(np.random.default_rng(0).random((1, 32, 32, 3), np.float32), 2, axis=0)
    assert np.array_equal(layer(images), images)
    first, second = np.asarray(layer(images, training=True))
    assert not np.array_equal(first, second)


LOAD_AND_SCORE = """
import pathlib, keras, numpy
images = numpy.load("images.npy")
for path in pathlib.Path().glob("*.keras"):
    numpy.save(path.stem, keras.models.load_model(path, safe_mode=True).predict(images, verbose=0))
"""


def test_keras_alone_loads_the_best_networks(data: Data, tmp_path: Path) -> None:
    """In a process that has none of our code: the stored files score as the networks do."""
    images = data.test.images[:8]
    np.save(tmp_path / "images.npy", images)
    expected = {}
    for name in MODELS:
        model = MODELS[name].build(32)
        (tmp_path / f"{name}.keras").write_bytes(checkpoint._keras_file(model))
        expected[name] = model.predict(images, verbose=0)
    run_python("-c", LOAD_AND_SCORE, cwd=tmp_path).check_returncode()
    for name, scores in expected.items():
        assert np.allclose(np.load(tmp_path / f"{name}.npy"), scores, rtol=1e-4, atol=1e-4), name


# ── training ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {},
        {"network": "custom-3", "epochs": 4},
        {"optimizer": "sgd", "momentum": 0.9, "schedule": "cosine"},
        {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "plateau", "plateau_epochs": 1},
        {"precision": "mixed_float16"},
        {"network": "vgg16-transfer", "arguments": {"train_from": "block5"}, "head_epochs": 2, "epochs": 4},
        {"network": "vgg16-transfer", "arguments": {"train_from": "block5"}, "head_epochs": 3, "epochs": 4},
    ],
    ids=["study", "dropout and augmentation", "cosine", "plateau", "mixed precision", "fine-tuning", "between stages"],
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
    assert np.array_equal(score(checkpoint.load_best(folder), data.test), expected["test"])


def test_training_learns(data: Data) -> None:
    run = train(start(Recipe("age-c2-f1", epochs=4, learning_rate=1e-3), data), data)
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    assert max(row["validation_accuracy"] for row in run.history) > 0.9


def test_scores_are_those_of_keras_in_order(data: Data) -> None:
    model = start(Recipe("custom-3"), data).model
    expected = model.predict(data.test.images.astype(np.float32), verbose=0)[:, 0]
    for training_batch in (1, 4, 32):  # 60 images in whole batches, with a rest, and in one
        assert np.allclose(score(model, data.test, training_batch), expected, rtol=1e-5, atol=1e-6)


def test_scores_are_of_the_best_epoch(data: Data) -> None:
    run = train(start(Recipe("age-c2-f1", epochs=3), data), data)
    best = run.history[run.best_epoch - 1]
    found = epoch_metrics(data.validation.labels, score_best(run, data)["validation"])
    assert best["validation_accuracy"] == max(row["validation_accuracy"] for row in run.history)
    assert found == {name: best[f"validation_{name}"] for name in found}


def losses(*values: float) -> list[dict[str, float]]:
    return [
        {"train_loss": value, "validation_loss": value, "validation_accuracy": 1 - value, "epoch": index + 1}
        for index, value in enumerate(values)
    ]


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


def test_metrics_equal_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 500)
    scores = generator.normal(labels, 1).round(1).astype(np.float32)  # rounded: ties
    probabilities = 1 / (1 + np.exp(-scores.astype(np.float64)))
    found = epoch_metrics(labels, scores)
    assert found["loss"] == pytest.approx(log_loss(labels, probabilities))
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, scores > 0))
    assert found["auc"] == pytest.approx(roc_auc_score(labels, scores))


def test_metrics_by_hand() -> None:
    found = epoch_metrics(np.array([0, 0, 1, 1]), np.array([-1.0, 1.0, 1.0, 2.0]))
    assert found["accuracy"] == 0.75
    assert found["auc"] == (1 + 1 + 0.5 + 1) / 4
    assert np.isnan(epoch_metrics(np.array([1, 1]), np.array([1.0, 2.0]))["auc"])


# ── verdicts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def judged(data: Data, scores: np.ndarray, loss: float = 0.5) -> tuple[str, str]:
    return verdict(losses(0.6, loss), data, {"validation": scores}, "all epochs are trained")


def test_constant_predictions_are_a_collapse(data: Data) -> None:
    assert judged(data, np.full(50, 3.0)) == ("collapsed", "it says FAKE for every validation image")
    assert judged(data, np.full(50, -3.0)) == ("collapsed", "it says REAL for every validation image")


def test_chance_is_a_collapse_and_clearly_more_is_not(data: Data) -> None:
    labels = data.validation.labels  # 50 of them: two standard errors are 0.141
    right = np.where(labels == 1, 1.0, -1.0)
    for wrong, status in ((18, "collapsed"), (17, "finished")):
        scores = right * np.where(np.arange(50) < wrong, -1, 1)
        assert judged(data, scores)[0] == status


def test_an_infinite_loss_is_a_divergence(data: Data) -> None:
    assert judged(data, np.ones(50), loss=float("inf"))[0] == "diverged"


def test_training_stops_where_nothing_is_learnt(data: Data) -> None:
    """A rate of zero: after three epochs, and a thousand steps, for a network may start slowly."""
    for batch_size, epochs in ((1, 5), (200, 8)):  # 200 steps an epoch, and one
        recipe = Recipe("age-c2-f1", epochs=8, learning_rate=0.0, batch_size=batch_size)
        run = train(start(recipe, data), data)
        assert len(run.history) == epochs, run.history
        assert verdict(run.history, data, score_best(run, data), run.stop_reason)[0] == "collapsed"
    assert run.stop_reason == "all epochs are trained"


def test_an_epoch_is_at_chance_by_both_its_accuracies(data: Data) -> None:
    run = start(Recipe("age-c2-f1", epochs=100, batch_size=1), data)
    for train_accuracy, validation_accuracy, is_stopped in ((0.5, 0.5, True), (0.6, 0.5, False), (0.5, 0.7, False)):
        row = {"train_loss": 0.7, "validation_loss": 0.7}
        row |= {"train_accuracy": train_accuracy, "validation_accuracy": validation_accuracy}
        run.history = [row] * 5
        assert (run.stop_reason == "accuracy within noise of chance for 5 epochs") == is_stopped


def test_the_level_of_chance_by_hand() -> None:
    assert chance_level(np.array([0, 1] * 50)) == pytest.approx(0.5 + 2 * 0.05)
    assert chance_level(np.array([0] * 20 + [1] * 80)) == pytest.approx(0.8 + 2 * 0.04)


def test_training_stops_at_a_loss_that_is_no_number(data: Data) -> None:
    def poison(run: Run) -> None:
        run.model.set_weights([np.full_like(weight, np.nan) for weight in run.model.get_weights()])

    run = train(start(Recipe("age-c2-f1", epochs=5), data), data, [poison])
    assert len(run.history) == 2
    assert run.best_epoch == 1
    scores = score_best(run, data)
    assert verdict(run.history, data, scores, run.stop_reason)[0] == "diverged"


# ── the real data ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_real_cifake_is_learnt_to_nine_in_ten(cifake: Path, tmp_path: Path) -> None:
    prepare(str(cifake), str(tmp_path / "shards"))
    data = load_data(Folder(str(tmp_path / "shards")), limit=40_000)
    run = train(start(Recipe("age-c4-f2", epochs=5), data), data)
    clean = ~data.test.in_train
    assert clean.sum() == 10_000 - 197
    assert epoch_metrics(data.test.labels[clean], score_best(run, data)["test"][clean])["accuracy"] > 0.90


# ── what linear probes reach ──────────────────────────────────────────────────────────────────────────────────────────


def probed(fake: str) -> dict[str, float]:
    """What each probe reaches on test where FAKE is noise that is `redder`, `coarser` or no other than REAL."""

    def split(images: int, seed: int) -> Split:
        generator = np.random.default_rng(seed)
        labels = (np.arange(images) % 2).astype(np.int8)
        pixels = generator.normal(128, 20, (images, 32, 32, 3))
        if fake == "redder":
            pixels[labels == 1, ..., 0] += 10
        if fake == "coarser":  # each pixel four times; mean and deviation are as before
            pixels[labels == 1] = pixels[labels == 1, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
        rows = np.arange(images, dtype=np.int32)
        return Split(np.clip(pixels, 0, 255).astype(np.uint8), labels, rows, rows % 5 == 0)

    found = probes.floor(Data(split(400, 0), split(100, 1), split(300, 2), ""))
    assert found["train_images"] == 400
    assert set(found["both"]) == {"validation_accuracy", "test_accuracy", "test_clean_accuracy"}
    return {probe: found[probe]["test_accuracy"] for probe in ("colour", "spectrum", "both")}


def test_a_probe_sees_what_it_looks_at() -> None:
    redder, coarser, nothing = map(probed, ("redder", "coarser", ""))
    assert redder["colour"] > 0.99
    assert coarser["spectrum"] > 0.99
    assert min(redder["both"], coarser["both"]) > 0.99
    assert max(coarser["colour"], *nothing.values()) < 0.65


def test_the_spectrum_of_a_wave_stands_in_its_ring() -> None:
    wave = 128 + 100 * np.sin(2 * np.pi * 4 * np.arange(32) / 32)  # 4 of 32 cycles: 0.125 a pixel, the fifth ring
    images = np.broadcast_to(wave[None, None, :, None], (1, 32, 32, 3)).astype(np.uint8)
    one = np.zeros(1)
    spectrum = probes.spectra(Split(images, one, one, one))
    assert spectrum.shape == (1, 16)
    assert spectrum[0].argmax() in (0, 4)  # the first holds the mean
    assert spectrum[0, 1:].argmax() == 3
