"""Ours beside what a user would pick instead, measured in one run, as ratios.

    pip install -e ".[benchmarks]"
    python tests/benchmarks ARCHIVE [sweep decoding throughput overhead memory] [--repeats 3]

ARCHIVE is Kaggle's zip of CIFAKE. Prints a Markdown table, and the raw figures as they come.
"""

import argparse
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import decoding
import memory
import overhead
import pandas as pd
import sweep
import throughput

PARTS = ("sweep", "decoding", "throughput", "overhead", "memory")


def sweep_lines(archive: Path, work: Path, repeats: int) -> list[str]:
    found = sweep.measure(archive, work, repeats, [*sweep.PEERS, "ours"]).groupby("contender")
    seconds, accuracy = found["seconds"].median(), found["accuracy"].mean()
    differences = sweep.pairs(archive, work, repeats)
    error = differences.std() / len(differences) ** 0.5
    paired = f"| the same: validation accuracy | bare steps, same weights | {differences.mean():+.4f} ± {error:.4f} "
    return [
        paired + f"| mean of n = {len(differences)} differences and its standard error |",
        *(
            f"| twelve networks, 8,000 images, 2 epochs | {name} | {seconds['ours'] / value:.2f} | {value:.0f} s, "
            f"validation {accuracy[name]:.3f}; ours {seconds['ours']:.0f} s, {accuracy['ours']:.3f} |"
            for name, value in seconds.drop("ours").items()
        ),
    ]


def decoding_lines(archive: Path, work: Path, repeats: int) -> list[str]:
    seconds = decoding.measure(archive, repeats).groupby("contender")["seconds"].median()
    return [
        f"| 110,000 JPEGs | {name} | {seconds['ours'] / value:.2f} | {value:.1f} s; ours {seconds['ours']:.1f} s |"
        for name, value in seconds.drop("ours").items()
    ]


def throughput_lines(archive: Path, work: Path, repeats: int) -> list[str]:
    found = throughput.measure(repeats)
    medians = found.groupby(["batch", "at once", "network", "kind"])["images a second"].median().unstack()
    lines = []
    for (batch, at_once), rows in medians.groupby(level=["batch", "at once"]):
        for peer in ("bare step", "fit on arrays"):
            ratios = rows[peer] / rows["ours"]
            told = ", ".join(f"{name[-1]} {value:.2f}" for name, value in ratios.items())
            lines.append(f"| training, batch {batch}, {at_once} at once | {peer} | {ratios.median():.2f} | {told} |")
    return lines


def overhead_lines(archive: Path, work: Path, repeats: int) -> list[str]:
    found = overhead.measure(repeats).groupby(["trials", "kind"])["seconds a trial"].median().unstack()
    return [
        f"| {trials:,} empty trials | {peer} | {row['ours'] / row[peer]:.2f} | {row[peer]:.3f} s a trial; ours "
        f"{row['ours']:.3f} s |"
        for trials, row in found.iterrows()
        for peer in found.columns.drop("ours")
    ]


def memory_lines(archive: Path, work: Path, repeats: int) -> list[str]:
    if not (work / "shards").exists():
        sweep.prepare(archive, work)
    found = memory.measure(work, repeats).groupby("what")["MiB"].median()
    bare = found["a bare Keras process"]
    return [
        f"| peak memory, {what} | a bare Keras process | {value / bare:.2f} | {bare:,.0f} MiB; ours {value:,.0f} MiB |"
        for what, value in found.drop("a bare Keras process").items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    archive = arguments.archive.resolve()
    lines = []
    with tempfile.TemporaryDirectory() as work:
        for part in arguments.parts:
            print(f"{part} …", flush=True)
            lines += globals()[f"{part}_lines"](archive, Path(work), arguments.repeats)
    names = ("tensorflow", "keras", "ray", "optuna", "keras-tuner", "pillow")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(
        f"\nOurs divided by the peer, medians of {arguments.repeats}; less is better. {os.cpu_count()} cores, no GPU, "
    )
    print(f"Python {platform.python_version()}, {versions}.\n")
    print("| work | peer | ours / peer | |\n|---|---|---|---|", *lines, sep="\n")


if __name__ == "__main__":
    pd.set_option("display.width", 200)
    main()
