"""Verdicts on networks: by hand, and their errors by simulation; tests/benchmarks/verdicts.py has the long form."""

import numpy as np
import pytest
from families import MARGIN, Cell, family, simulate
from scipy.stats import norm, studentized_range
from sklearn.metrics import roc_auc_score

from sweeps.stats.families import (
    all_pairs,
    auc_values,
    estimate,
    joined,
    listed_pairs,
    of_shares,
    planned,
    shrunk,
    single,
)
from sweeps.stats.intervals import auc_error
from sweeps.stats.verdicts import level_of, needed_for_verdicts, verdicts
from trainables.training.weighted_metrics import placements

pytestmark = pytest.mark.filterwarnings("error")

EQUAL = (0.9,) * 12


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_with_one_seed_each_the_interval_is_over_paired_images() -> None:
    generator = np.random.default_rng(0)
    rights = [generator.random((1, 400)) < share for share in (0.8, 0.85, 0.9)]
    differences, halves = all_pairs(estimate(rights))
    pairs = rights[0][0].astype(float) - rights[2][0]
    variance = pairs.var(ddof=1) / 400 + 2 / 402**2
    assert differences[0, 2] == pytest.approx(pairs.mean())
    factor = studentized_range.ppf(0.95, 3, 399 * variance**2 / (variance - 2 / 402**2) ** 2) / np.sqrt(2)
    assert halves[0, 2] == pytest.approx(factor * np.sqrt(variance), rel=1e-3)


def test_seeds_that_agree_add_nothing_and_seeds_that_do_not_do() -> None:
    generator = np.random.default_rng(1)
    same = [np.tile(generator.random(500) < share, (3, 1)) for share in (0.8, 0.9)]
    _, halves = all_pairs(estimate(same))
    _, alone = all_pairs(estimate([right[:1] for right in same]))
    assert halves[0, 1] == pytest.approx(alone[0, 1], rel=0.02)
    apart = [right ^ (generator.random((3, 1)) * 0.2 > generator.random((3, 500))) for right in same]
    assert all_pairs(estimate(apart))[1][0, 1] > 1.3 * halves[0, 1]


def test_a_network_whose_seeds_differ_much_keeps_its_own_variance() -> None:
    cell = Cell((0.9,) * 8, (4.0, *[0.2] * 7), seeds=5, images=5_000)
    found = estimate(family(np.random.default_rng(3), cell))
    assert found.seed_variance[0] > 10 * np.median(found.seed_variance[1:])


def test_the_values_of_an_area_have_its_mean_and_delongs_variance() -> None:
    generator = np.random.default_rng(2)
    labels = (generator.random(300) < 0.4).astype(int)
    logits = generator.normal(labels, 1.0).round(1)
    values = auc_values(labels, logits)
    assert values.mean() == pytest.approx(roc_auc_score(labels, logits))
    assert values.std() / np.sqrt(300) == pytest.approx(auc_error(*placements(labels, logits)), rel=0.01)


def test_verdicts_by_hand() -> None:
    means = np.array([0.95, 0.948, 0.93, 0.949])
    differences = np.subtract.outer(means, means)
    halves = np.full((4, 4), 0.005)
    halves[3] = halves[:, 3] = 0.03
    found = verdicts(differences, halves, 0.01)
    assert found.is_behind.tolist() == [False, False, True, False]
    assert found.words() == ["undecided", "undecided", "behind", "undecided"]
    narrow = verdicts(differences, np.full((4, 4), 0.0015), 0.01)
    assert narrow.words() == ["level", "behind, by less than the margin", "behind", "level"]
    assert verdicts(differences[:3, :3], np.full((3, 3), 0.001), 0.01).words()[0] == "ahead"


def test_more_seeds_settle_what_images_do_not_limit() -> None:
    rights = family(np.random.default_rng(0), Cell((0.9, 0.9, 0.9), (0.5,) * 3, seeds=3, images=20_000))
    found = estimate(rights)
    needed = needed_for_verdicts(found, 0.01)
    seeds, images = needed.seeds, needed.images
    assert (seeds > 3).any()
    assert (images == 0).all()
    last = found.with_seeds(int(seeds.max()))
    assert not verdicts(*all_pairs(last), 0.01).is_undecided.any()
    few = estimate([right[:, :600] for right in rights])
    needed = needed_for_verdicts(few, 0.002)
    seeds, images = needed.seeds, needed.images
    assert (seeds == 0).all()
    assert (images > 20_000).any()


def test_what_chance_explains_is_shrunk_away() -> None:
    equal = estimate(family(np.random.default_rng(0), Cell(EQUAL, (0.5,) * 12, seeds=1, images=2_000)))
    assert np.ptp(shrunk(planned(equal, 0.0056))) < 0.3 * np.ptp(equal.means)
    apart = estimate(family(np.random.default_rng(0), Cell((0.9, 0.7, 0.8), (0.5,) * 3, seeds=1, images=2_000)))
    assert shrunk(planned(apart, 0.0056)) == pytest.approx(apart.means, abs=0.002)


def test_with_one_seed_seeds_are_planned() -> None:
    rights = family(np.random.default_rng(0), Cell((0.9, 0.85), (0.5,) * 2, seeds=1, images=20_000))
    seeds = needed_for_verdicts(planned(estimate(rights), 0.0056), 0.01).seeds
    assert seeds.tolist() == [2, 2]  # which is what a verdict takes at least


def test_networks_on_other_images_are_compared_without_pairing() -> None:
    generator = np.random.default_rng(4)
    rights = [generator.random((3, 800)) < share for share in (0.9, 0.8)]
    both = joined(*(estimate([right]) for right in rights))
    differences, halves = listed_pairs(both, [0], [1])
    assert differences[0] == pytest.approx(rights[0].mean() - rights[1].mean())
    error = np.sqrt(sum(right.mean(axis=0).var(ddof=1) / 800 for right in rights))
    assert halves[0] > norm.ppf(0.975) * error
    shares = joined(*(of_shares([right.mean(axis=1)], 800) for right in rights))
    assert listed_pairs(shares, [0], [1])[1][0] > halves[0]


# ── by simulation ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("deviations", "seeds", "images", "most"),
    [
        ((1.0,) * 12, 3, 600, 0.06),
        ((0.5,) * 12, 3, 2_000, 0.06),
        ((1.0,) * 12, 2, 600, 0.10),
        ((1.0,) * 6 + (0.5,) * 6, 3, 600, 0.075),
        ((2.0,) * 6 + (0.5,) * 6, 3, 600, 0.09),
    ],
)
def test_equal_networks_are_rarely_called_behind(
    deviations: tuple[float, ...], seeds: int, images: int, most: float
) -> None:
    rates = simulate(Cell(EQUAL, deviations, seeds, images), families=200, seed=7)
    assert rates.behind <= most + 2 * np.sqrt(most * (1 - most) / 200)
    assert 0.93 <= rates.covered <= 0.98
    assert len(set(deviations)) > 1 or rates.width <= 1.3


def test_a_network_that_is_behind_by_the_margin_is_rarely_called_level() -> None:
    rates = simulate(Cell((0.9,) * 3 + (0.89,), (0.2,) * 4, seeds=5, images=5_000), families=200, seed=7)
    assert rates.level <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


def test_a_difference_of_three_points_is_found() -> None:
    rates = simulate(Cell((0.93, *EQUAL[1:]), (0.5,) * 12, seeds=3, images=20_000), families=12, seed=7)
    assert rates.power > 0.9


def test_seven_clusters_of_images_are_respected() -> None:
    generator, families = np.random.default_rng(5), 400
    sizes = np.array([180, 120, 90, 72, 60, 48, 30])
    clusters, truth, images = np.repeat(np.arange(7), sizes), 0.85, 600
    holds, together, means = [], [], []
    for _ in range(families):
        shared = generator.normal(0, 0.3, 7)[clusters] + generator.normal(0, 0.8, images)
        rights = [
            shared
            + generator.normal(0, 0.08, 7)[clusters]
            + generator.normal(0, 0.5, (3, images))
            + generator.normal(0, 0.02, (3, 1))
            for _ in range(3)
        ]
        spread = np.sqrt(0.3**2 + 0.8**2 + 0.08**2 + 0.5**2 + 0.02**2)
        found = estimate([values + norm.ppf(truth) * spread > 0 for values in rights], clusters)
        low, high = single(found)
        differences, halves = all_pairs(found)
        holds.append((low <= truth) & (truth <= high))
        together.append((np.abs(differences) <= halves).all())
        means.append(found.means[0])
    effect = np.var(means) / (truth * (1 - truth) / images)
    assert 4 < effect < 8, "the design effect that is wanted here"
    assert np.mean(holds) >= 0.92
    assert np.mean(together) >= 0.92


@pytest.mark.slow
def test_three_looks_at_equal_networks_give_a_false_verdict_at_most_6_times_in_100() -> None:
    generator, families, false = np.random.default_rng(6), 200, 0
    for _ in range(families):
        rights = family(generator, Cell(EQUAL, (1.0,) * 12, seeds=10, images=600))
        for look, seeds in enumerate((3, 5, 10), 1):
            found = estimate([right[:seeds] for right in rights])
            if verdicts(*all_pairs(found, level_of(look)), MARGIN).is_behind.any():
                false += 1
                break
    assert false / families <= 0.06 + 2 * np.sqrt(0.06 * 0.94 / families)
