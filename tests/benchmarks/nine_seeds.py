"""One real network with nine seeds, given as three networks of three seeds in every way: how many verdicts are false?

    python sweeps/zoo.py --data shards/cifake --models age-c2-f1 --seeds 9 --limit 8000 --epochs 5 \\
        --results results/nine
    python sweeps/zoo.py --data shards/cifake --models age-c2-f1 --seeds 3 --epochs 12 --results results/better
    python tests/benchmarks/nine_seeds.py results/nine/zoo results/better/zoo

The second record, of a network that is truly better, is joined as a fourth network.
"""

from collections.abc import Iterator
from itertools import combinations

import click

from analysis.results.trials import Results, read
from data_prep import Folder
from sweeps.stats.families import all_pairs, estimate
from sweeps.stats.verdicts import verdicts


def thirds() -> Iterator[tuple[list[int], ...]]:
    """The 280 ways to split nine seeds into three groups of three."""
    for pair in combinations(range(1, 9), 2):
        rest = [seed for seed in range(1, 9) if seed not in pair]
        for other in combinations(rest[1:], 2):
            yield [0, *pair], [rest[0], *other], [seed for seed in rest[1:] if seed not in other]


@click.command()
@click.argument("nine")
@click.argument("better", required=False)
def main(nine: str, better: str | None) -> None:
    """Count false verdicts on NINE, and how often the network of BETTER is found."""
    records = [_read(folder) for folder in (nine, better) if folder]
    equal, *more = (results.scores.is_right(results.scores.trials, "test") for results in records)
    accuracies = equal.mean(axis=1)
    print(f"nine seeds: {100 * accuracies.mean():.2f} %, standard deviation {100 * accuracies.std(ddof=1):.2f} points")
    print(f"n = {equal.shape[1]:,} test images")
    false = found = ways = 0
    for groups in thirds():
        ways += 1
        networks = [equal[group] for group in groups]
        false += bool(verdicts(*all_pairs(estimate(networks))).is_behind.any())
        found += bool(more and verdicts(*all_pairs(estimate([*networks, *more]))).is_ahead[3])
    print(f"a false `behind` in {false} of {ways} ways")
    if more:
        ahead = more[0].mean() - equal.mean()
        print(f"the better network, ahead by {100 * ahead:.2f} points, is found in {found} of {ways} ways")


def _read(folder: str) -> Results:
    return read(Folder(folder))


if __name__ == "__main__":
    main()
