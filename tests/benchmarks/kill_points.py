"""Random kill points in a row on one machine: python tests/benchmarks/kill_points.py [--points 20] [--seed 0]

Each point is a sweep of four trials in which something is killed at a random moment; the same command is then run until
it ends well. Prints how many of the points end with exactly the record of an undisturbed sweep.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))  # where `support` is
sys.path.insert(1, str(Path(__file__).parents[2]))  # where the packages are, before the folders of their names in tests
from support.commands import run_python
from support.sweeps import FORK_SERVER, FOUR, assert_same_results, kill_a_worker, start_sweep

VICTIMS = {"actor": "ray::ImplicitFunc.train", "trial": FORK_SERVER}
_MOST_RUNS = 3


def count_identical(points: int, seed: int, place: Path) -> int:
    """How many of so many sweeps, disturbed at moments that `seed` gives, end as the undisturbed one."""
    chance = random.Random(seed)
    started = time.monotonic()
    done = run_python(*FOUR, "--results", "undisturbed", cwd=place)
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - started
    identical = 0
    for point in range(1, points + 1):
        victim, moment = chance.choice(["driver", *VICTIMS]), chance.uniform(1, 0.8 * seconds)
        same = disturbed(place, f"point-{point}", victim, moment)
        identical += same
        print(f"{point:>3}/{points}  {victim} killed after {moment:.1f} s: {'identical' if same else 'DIFFERENT'}")
    return identical


def disturbed(place: Path, results: str, victim: str, moment: float) -> bool:
    """Whether a sweep in which `victim` is killed after `moment` seconds ends as if it had not been."""
    sweep = start_sweep(place, results)
    time.sleep(moment)
    kill(sweep, victim)
    sweep.communicate(timeout=300)
    code = sweep.returncode
    for _ in range(_MOST_RUNS):
        if code == 0:
            break
        code = run_python(*FOUR, "--results", results, cwd=place).returncode
    try:
        assert_same_results(place / "undisturbed", place / results)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return False
    return code == 0


def kill(sweep, victim: str) -> None:  # type: ignore[no-untyped-def]
    """Kill the driver, or a worker: the driver as well while there is none."""
    try:
        kill_a_worker(sweep.pid, VICTIMS[victim])
    except (KeyError, AssertionError):
        sweep.send_signal(signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        identical = count_identical(arguments.points, arguments.seed, Path(place))
    print(f"{identical} of {arguments.points} identical")
    return 0 if identical == arguments.points else 1


if __name__ == "__main__":
    sys.exit(main())
