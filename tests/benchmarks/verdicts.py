"""How often verdicts on networks are false, and how strong they are: `python tests/benchmarks/verdicts.py [FAMILIES]`.

Twelve networks at an accuracy of .9. With 4,000 families a cell, the standard error of a share of .05 is .0034.
"""

from concurrent.futures import ProcessPoolExecutor

import click
import numpy as np
from families import Cell, Rates, simulate

EQUAL = (0.9,) * 12
SPREADS = {
    "0": (0.0,) * 12,
    "0.5": (0.5,) * 12,
    "1": (1.0,) * 12,
    "2": (2.0,) * 12,
    "ratio 2: half 1, half 0.5": (1.0,) * 6 + (0.5,) * 6,
    "ratio 4: half 2, half 0.5": (2.0,) * 6 + (0.5,) * 6,
    "ratio 4: one 2, the rest 0.5": (2.0,) + (0.5,) * 11,
}
_CHUNK = 250


def cells() -> dict[str, Cell]:
    """Name → cell."""
    every = {
        f"n {images:>6}, SD {name}, {seeds} seeds": Cell(EQUAL, spread, seeds, images)
        for images in (600, 2_000, 20_000)
        for name, spread in SPREADS.items()
        for seeds in (2, 3, 5)
    }
    every |= {
        f"n {images:>6}, SD {deviation}, 3 seeds, one behind by the margin": Cell(
            (0.9,) * 11 + (0.89,), (deviation,) * 12, 3, images
        )
        for images in (600, 2_000, 20_000)
        for deviation in (0.0, 0.5)
    }
    ahead = {
        f"n  20000, SD 0.5, {seeds} seeds, one ahead by {gap}": (seeds, gap) for seeds, gap in ((3, 2), (3, 3), (5, 2))
    }
    return every | {
        name: Cell((0.9 + gap / 100, *EQUAL[1:]), (0.5,) * 12, seeds, 20_000) for name, (seeds, gap) in ahead.items()
    }


@click.command()
@click.argument("families", type=click.IntRange(_CHUNK), default=4_000)
def main(families: int) -> None:
    """Simulate FAMILIES a cell, and print a line a cell."""
    print(f"{families} families a cell: shares of families with a false `behind` and a false `level`,")
    print("coverage of single intervals, width by Tukey's with variances known, power per pair")
    with ProcessPoolExecutor(2) as pool:
        for name, cell in cells().items():
            chunks = [pool.submit(simulate, cell, _CHUNK, seed) for seed in range(families // _CHUNK)]
            rows = np.array([list(vars(chunk.result()).values()) for chunk in chunks])
            rates = Rates(*rows.mean(axis=0))
            print(
                f"{name:<60} behind {rates.behind:.4f}  level {rates.level:.4f}  covered {rates.covered:.3f}  "
                f"width {rates.width:.2f}  power {rates.power:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
