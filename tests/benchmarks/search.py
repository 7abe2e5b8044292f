"""Search methods beside each other, on recorded curves in virtual time.

    python tests/benchmarks/search.py [--seeds 50]           the table and `search.svg`, from curves.parquet
    python tests/benchmarks/search.py --keep RECORD          make curves.parquet from the record of curves.py

A method has reached the best 5 % once a trial that trained all its epochs belongs to them. What it took by then are
image passes: epochs of all trials together, times the training images.
"""

import argparse
import itertools
import json
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from curves import EPOCHS
from simulator import curves, simulate

from analysis.figures.style import MARKERS, PAGE_WIDTH, PALETTE, new_figure, rendered
from sweeps.searching.study import Search

HERE = Path(__file__).parent
TABLE = HERE / "curves.parquet"
METHODS = [
    ("random", "none"),
    ("random", "asha"),
    ("tpe", "none"),
    ("tpe", "median"),
    ("tpe", "hyperband"),
    ("tpe", "asha"),
]
WORKERS = (1, 4, 16, 64)
RESAMPLES = 10_000
TRIALS = 120  # half of the configurations: who has not found the best by then has not
SHARES = {"best 5 %": 0.05, "best 1 %": 0.01}
CONDITIONS = "240 configurations of two small networks, 27 epochs on 2,000 images of CIFAKE, one seed each."
HYPERPARAMETERS = ["network", "learning_rate", "batch_size", "optimizer", "batch_norm", "dropout"]


def keep(record: Path) -> None:
    """Write curves.parquet: one row a trial and epoch, with the trial's hyperparameters.

    A run that learnt nothing was ended: its last accuracy stands for the epochs that it was not given.
    """
    trials, epochs = (pd.read_parquet(record / f"{name}.parquet") for name in ("trials", "epochs"))
    told = trials.join(pd.json_normalize(trials["arguments"].map(json.loads)))[
        ["trial", "train_images", *HYPERPARAMETERS]
    ]
    told["train_images"] = told["train_images"].max()
    every = pd.MultiIndex.from_product([told["trial"], range(1, EPOCHS + 1)], names=["trial", "epoch"])
    measured = epochs.set_index(["trial", "epoch"])[["validation_accuracy", "wall_seconds"]].reindex(every)
    measured.groupby("trial").ffill().reset_index().merge(told, on="trial").to_parquet(TABLE, index=False)


def run(job: tuple[tuple[str, str], int, int]) -> list[dict[str, object]]:
    """One method, number of workers and seed: what it took to reach each share of the best."""
    (method, stopping), workers, seed = job
    found = curves(pd.read_parquet(TABLE))
    search = Search(found.space, TRIALS, EPOCHS, method, stopping, seed)
    trials = simulate(found, search, workers, until=found.best(min(SHARES.values())))
    rows = []
    for name, share in SHARES.items():
        reached = trials[trials["finished"] & found.best(share)[trials["configuration"]]]
        first = reached.iloc[0] if len(reached) else {"image_passes": np.nan, "seconds": np.nan}
        told = {"method": f"{method}, {stopping}", "workers": workers, "seed": seed, "reached": name}
        rows.append(told | {name: float(first[name]) for name in ("image_passes", "seconds")})
    return rows


def measure(seeds: int) -> pd.DataFrame:
    """One row a method, number of workers, seed and share of the best: image passes and seconds; NaN if not reached.

    With more than one worker there are a fifth of the seeds.
    """
    jobs = [
        (method, workers, seed)
        for method, workers in itertools.product(METHODS, WORKERS)
        for seed in range(seeds if workers == 1 else max(1, seeds // 5))
    ]
    with ProcessPoolExecutor() as pool:
        return pd.DataFrame([row for rows in pool.map(run, jobs, chunksize=5) for row in rows])


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Medians over the seeds with one worker, in thousands of image passes, and as a share of random search's.

    The share has its 95 % interval, over seeds drawn again. A median is infinite where half of the searches never get
    there.
    """
    alone = found[found["workers"] == 1].fillna({"image_passes": np.inf})
    passes = {key: rows["image_passes"].to_numpy() for key, rows in alone.groupby(["reached", "method"])}
    names = [f"{method}, {stopping}" for method, stopping in METHODS]
    names.sort(key=lambda name: np.median(passes["best 5 %", name]))
    columns = {}
    for reached in SHARES:
        own = [passes[reached, name] for name in names]
        medians = [np.median(each) / 1e3 for each in own]
        columns[f"{reached}: passes (k)"] = [f"{median:,.0f}" if np.isfinite(median) else "–" for median in medians]
        columns[f"{reached}: / random"] = [_share(each, passes[reached, "random, none"]) for each in own]
        columns[f"{reached}: never"] = [f"{np.isinf(each).mean():.0%}" for each in own]
    return pd.DataFrame(columns, names)


def _share(passes: np.ndarray, random: np.ndarray) -> str:
    """`0.31 (0.21–0.43)`: the ratio of two medians, with the 95 % interval of a bootstrap over both."""
    if passes is random or not np.isfinite(np.median(passes)):
        return "1" if passes is random else "–"
    generator = np.random.default_rng(0)
    drawn = [
        np.median(each[generator.integers(len(each), size=(RESAMPLES, len(each)))], 1) for each in (passes, random)
    ]
    low, high = np.quantile(drawn[0] / drawn[1], (0.025, 0.975))
    return f"{np.median(passes) / np.median(random):.2f} ({low:.2f}–{high:.2f})"


def draw(found: pd.DataFrame, seeds: int) -> None:
    """search.svg: who has reached the best 5 % by when, and the time to the best 1 % with more workers."""
    names = [f"{method}, {stopping}" for method, stopping in METHODS]
    simulated = f"{seeds} simulated searches a method, {max(1, seeds // 5)} with more workers. {CONDITIONS}"
    note = f"{simulated} A method without a line: half of its searches or more never got there."
    with new_figure(PAGE_WIDTH, 3.4, note) as figure:
        left, right = figure.subplots(1, 2)
        for name, colour, marker in zip(names, PALETTE, MARKERS, strict=False):
            rows = found[found["method"] == name]
            passes = rows[(rows["workers"] == 1) & (rows["reached"] == "best 5 %")]["image_passes"]
            ordered = np.sort(passes.dropna()) / 1e6
            left.step([0, *ordered], np.arange(len(ordered) + 1) / seeds, where="post", color=colour, label=name)
            times = rows[rows["reached"] == "best 1 %"].fillna({"seconds": np.inf})
            medians = times.groupby("workers")["seconds"].median()
            right.plot(medians.index, medians, color=colour, marker=marker, markersize=4)
        left.set(xlabel="Image passes (millions)", ylabel="Share that has reached the best 5 %", ylim=(0, 1))
        left.set_xlim(0, found[found["workers"] == 1]["image_passes"].quantile(0.95) / 1e6)
        right.set(xlabel="Workers", ylabel="Time to the best 1 % (virtual s, median)", xscale="log", yscale="log")
        right.set_xticks(WORKERS, [str(count) for count in WORKERS])
        figure.legend(loc="outside upper center", ncols=3)
    (HERE / "search.svg").write_bytes(rendered(figure, ("svg",))["svg"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    if arguments.keep:
        keep(arguments.keep)
        return
    started = time.perf_counter()
    found = measure(arguments.seeds)
    print(table(found).to_markdown())
    draw(found, arguments.seeds)
    print(f"\n{len(found) // len(SHARES):,} searches in {time.perf_counter() - started:.0f} s. {CONDITIONS}")


if __name__ == "__main__":
    main()
