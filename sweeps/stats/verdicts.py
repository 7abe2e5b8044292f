"""What simultaneous intervals of all pairs say of each configuration, and what would settle the others."""

from dataclasses import dataclass

import numpy as np

from sweeps.stats.families import LEVEL, Family, all_pairs
from trainables.training.metrics import MARGIN

_MOST_SEEDS, _MOST_IMAGES = 1000, 10_000_000


@dataclass(frozen=True)
class Verdicts:
    """Of k configurations, (k,) bool each.

    Behind: its interval against some configuration lies wholly below 0. Level: its intervals against all that are not
    behind lie within the margin. Both may hold: behind, by less than the margin. A configuration that all others are
    behind is ahead. The rest is undecided.
    """

    is_behind: np.ndarray
    is_level: np.ndarray
    is_ahead: np.ndarray

    @property
    def is_undecided(self) -> np.ndarray:
        """Whether nothing can be said."""
        return np.asarray(~(self.is_behind | self.is_level | self.is_ahead))

    def words(self) -> list[str]:
        """The verdicts: ahead; behind; behind, by less than the margin; level; undecided."""
        by_less = self.is_behind & self.is_level
        cases = [self.is_ahead, by_less, self.is_behind, self.is_level]
        words = ["ahead", "behind, by less than the margin", "behind", "level"]
        return list(map(str, np.select(cases, words, "undecided")))


def verdicts(differences: np.ndarray, halves: np.ndarray, margin: float = MARGIN) -> Verdicts:
    """Judge k configurations by the differences (k, k) of their means, row less column, and the halves of intervals."""
    is_other = ~np.eye(len(differences), dtype=bool)
    is_behind = ((differences + halves < 0) & is_other).any(axis=1)
    is_ahead = ~is_behind & (is_behind.sum() == len(is_behind) - 1)
    is_rival = is_other & ~is_behind[None, :]
    is_level = ((np.abs(differences) + halves <= margin) | ~is_rival).all(axis=1) & is_rival.any(axis=1)
    return Verdicts(is_behind, is_level, is_ahead)


def level_of(look: int) -> float:
    """The level of verdicts at the first, second, … look at test, after which more seeds were trained.

    The first has 5 %. All later ones together add 1 % at most: half of that, a quarter, and so on (Bonferroni).
    """
    return LEVEL if look <= 1 else 0.01 / 2 ** (look - 1)


@dataclass(frozen=True)
class Needed:
    """What would give k configurations a verdict, (k,) each, if all differences and variances stayed as they are.

    `seeds` is their number, or 0 where no number is enough; `images` then is how many, with very many seeds, would do,
    or 0. `verdicts` are these verdicts in words, empty where there is one already or never would be.
    """

    seeds: np.ndarray
    images: np.ndarray
    verdicts: np.ndarray


def needed_for_verdicts(family: Family, margin: float = MARGIN, level: float = LEVEL) -> Needed:
    """Find the least numbers of seeds, and of images, with which undecided configurations would have a verdict."""
    seeds, images = (np.zeros(len(family.means), int) for _ in range(2))
    words = np.full(len(family.means), "", object)
    is_open = verdicts(*all_pairs(family, level), margin).is_undecided | (family.seeds < 2)
    more_seeds = [(count, family.images) for count in _counts(int(family.seeds.max()) + 1, _MOST_SEEDS)]
    more_images = [(_MOST_SEEDS, count) for count in _counts(family.images, _MOST_IMAGES)]
    for needed, number in [(seeds, pair) for pair in more_seeds] + [(images, pair) for pair in more_images]:
        imagined = family.with_seeds(number[0]).with_images(number[1])
        found = verdicts(*all_pairs(imagined, level), margin)
        is_settled = is_open & ~found.is_undecided
        needed[is_settled] = number[needed is images]
        words[is_settled] = np.array(found.words(), object)[is_settled]
        is_open &= ~is_settled
    return Needed(seeds, images, words)


def _counts(start: int, most: int) -> list[int]:
    """From `start` to `most`, by steps of 1 and then of about 5 %."""
    counts = [start]
    while counts[-1] < most:
        counts.append(counts[-1] + max(1, counts[-1] // 20))
    return counts
