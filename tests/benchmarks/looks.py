"""How often three looks at test, after 3, 5 and 10 seeds, give a false verdict: `python tests/benchmarks/looks.py`.

Twelve equal networks at an accuracy of .9. With 4,000 families a cell, the standard error of a share of .06 is .0038.
"""

from concurrent.futures import ProcessPoolExecutor

import click
import numpy as np
from families import MARGIN, Cell, family

from sweeps.stats.families import all_pairs, estimate
from sweeps.stats.verdicts import level_of, verdicts

SEEDS = (3, 5, 10)
_CHUNK = 100


def false_families(cell: Cell, families: int, seed: int) -> int:
    """In how many families some network is called behind at one of the looks."""
    generator, false = np.random.default_rng(seed), 0
    for _ in range(families):
        rights = family(generator, cell)
        looks = (
            verdicts(*all_pairs(estimate([right[:seeds] for right in rights]), level_of(look)), MARGIN)
            for look, seeds in enumerate(SEEDS, 1)
        )
        false += any(found.is_behind.any() for found in looks)
    return false


@click.command()
@click.argument("families", type=click.IntRange(_CHUNK), default=4_000)
def main(families: int) -> None:
    """Simulate FAMILIES a cell, and print a line a cell."""
    with ProcessPoolExecutor(2) as pool:
        for images in (600, 2_000, 20_000):
            for deviation in (0.0, 0.5, 1.0, 2.0):
                cell = Cell((0.9,) * 12, (deviation,) * 12, max(SEEDS), images)
                chunks = [pool.submit(false_families, cell, _CHUNK, seed) for seed in range(families // _CHUNK)]
                false = sum(chunk.result() for chunk in chunks)
                print(f"n {images:>6}, SD {deviation}: {false / families:.4f} of {families:,} families", flush=True)


if __name__ == "__main__":
    main()
