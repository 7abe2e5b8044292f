"""How much of an accuracy's spread comes from the training set, the seed and the images: against simulated truths."""

import numpy as np
import pytest
from scipy.stats import norm

from sweeps.stats.components import components

ACCURACY = 0.9


def trainings(
    generator: np.random.Generator, sets: int, seeds: int, images: int, of_set: float, of_seed: float
) -> np.ndarray:
    """Which images are got right, (sets, seeds, images) bool, with these standard deviations, in points."""
    points = 100 * norm.pdf(norm.ppf(ACCURACY))
    shares = {"image": (1, 1, images), "set": (sets, 1, images), "seed": (sets, seeds, images)}
    noise = sum(
        generator.standard_normal(shares[name]) * share**0.5
        for name, share in {"image": 0.72, "set": 0.1, "seed": 0.18}.items()
    )
    shifts = generator.standard_normal((sets, 1, 1)) * of_set + generator.standard_normal((sets, seeds, 1)) * of_seed
    middle = norm.ppf(ACCURACY) * (1 + (of_set**2 + of_seed**2) / points**2) ** 0.5
    return np.asarray(middle + shifts / points + noise > 0)


@pytest.mark.parametrize(("sets", "seeds"), [(3, 2), (5, 3)])
@pytest.mark.parametrize(("of_set", "of_seed"), [(0.7, 0.56), (0.0, 0.56), (1.5, 0.0)])
def test_intervals_hold_the_truth(sets: int, seeds: int, of_set: float, of_seed: float) -> None:
    generator, families, covered = np.random.default_rng(0), 200, []
    truth = {"training_set": of_set / 100, "seed": of_seed / 100, "images": (0.09 / 1_000) ** 0.5}
    for _ in range(families):
        found = components([trainings(generator, sets, seeds, 1_000, of_set, of_seed)])
        covered.append([found[name].low[0] <= truth[name] <= found[name].high[0] for name in ("training_set", "seed")])
        assert found["images"].deviations[0] == pytest.approx(truth["images"], rel=0.2)
    assert np.mean(covered, axis=0) == pytest.approx([0.965, 0.965], abs=0.035 + 2 * (0.05 * 0.95 / families) ** 0.5)


def test_what_varies_is_told_apart_from_what_does_not() -> None:
    generator = np.random.default_rng(4)
    found = components([trainings(generator, 40, 10, 2_000, 1.5, 0.5)])
    assert found["training_set"].deviations[0] == pytest.approx(0.015, rel=0.2)
    assert found["seed"].deviations[0] == pytest.approx(0.005, rel=0.15)
    assert found["training_set"].low[0] > found["seed"].high[0] > found["seed"].low[0] > 0.003
    same = np.repeat(generator.random((1, 1, 500)) < ACCURACY, 6, axis=1).repeat(3, axis=0)
    found = components([same])
    assert [found[name].high[0] for name in ("training_set", "seed")] == pytest.approx([0, 0], abs=1e-12)


def test_several_configurations_are_summed_up_by_their_root_mean_square() -> None:
    generator = np.random.default_rng(2)
    found = components([trainings(generator, 3, 2, 1_000, 1.0, 0.5) for _ in range(4)])
    for component in found.values():
        own, together = component.deviations[:4], component.deviations[4]
        assert len(component.deviations) == len(component.low) == len(component.high) == 5
        assert together == pytest.approx(np.sqrt(np.mean(own**2)), abs=0.003)
    widths = found["seed"].high - found["seed"].low
    assert widths[4] < widths[:4].max()  # seeds are independent of each other, training sets are not


def test_images_that_depend_on_each_other_say_less() -> None:
    generator = np.random.default_rng(3)
    clusters = np.arange(1_000) % 10
    hard = generator.random(10)[clusters]
    right = generator.random((3, 2, 1_000)) > hard * 0.4
    plain, clustered = components([right]), components([right], clusters)
    assert clustered["images"].deviations[0] > 1.5 * plain["images"].deviations[0]
    assert clustered["images"].high[0] > 2 * plain["images"].high[0]
