"""Kills and signals in a row: python tests/benchmarks/kill_points.py [--kills 60] [--signals 12] [--seed 0]

Each point is a sweep of four trials in which something is killed, or a signal is sent, at a random moment; the same
command is then run until it ends well. Prints of each point how it ended, and whether the record is exactly that of an
undisturbed sweep.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))  # where `support` is
sys.path.insert(1, str(Path(__file__).parents[2]))  # where the packages are, before the folders of their names in tests
import psutil

from data_prep.errors import ENDS
from support.commands import run_python
from support.sweeps import FORK_SERVER, FOUR, assert_same_results, command_line, is_forked, start_sweep

#: What is killed: a part of its command line. A helper is what the fork server has forked before there are actors.
VICTIMS = {
    "driver": "sweeps/zoo.py",
    "actor": "ray::ImplicitFunc.train",
    "trial": FORK_SERVER,
    "helper": FORK_SERVER,
    "fork server": FORK_SERVER,
    "raylet": "raylet/raylet ",
    "gcs": "gcs/gcs_server ",
}
SIGNALS = [(name, to) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE") for to in ("process", "group")]
_MOST_RUNS = 3
_SECONDS_TO_START = 1.5  # until Python has imported what handles signals
_SECONDS_OF_HELPERS = 3.0
_NOISE = ("Traceback", "***", "    @  ", "[state-dump]")


def shuffled(kills: int, signals: int, seed: int) -> list[tuple[str, str]]:
    """So many kills and signals, each kind as often as the others, in an order that `seed` gives."""
    victims, sent = [(name, "") for name in VICTIMS] * kills, SIGNALS * signals
    chosen = [*victims[:kills], *sent[:signals]]
    random.Random(seed).shuffle(chosen)
    return chosen


def points(disturbances: Sequence[tuple[str, str]], seed: int, place: Path) -> Iterator[tuple[str, bool]]:
    """Yield, for each disturbance at a moment that `seed` gives, what happened, and whether all of it is right.

    A disturbance is a victim's name, or a signal with what it is sent to.
    """
    chance = random.Random(seed)
    started = time.monotonic()
    done = run_python(*FOUR, "--results", "undisturbed", cwd=place)
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - started
    for number, (name, to) in enumerate(disturbances):
        moment = chance.uniform(_SECONDS_TO_START, 0.8 * seconds)
        if name == "helper":
            moment = chance.uniform(0, _SECONDS_OF_HELPERS)
        ended, faults = disturbed(place / "undisturbed", place / f"point-{number}", name, to, moment)
        told = f"{name} {f'to the {to}' if to else 'killed'} after {moment:.1f} s: {ended}"
        yield f"{told}: {', '.join(faults) or 'identical'}", not faults


def disturbed(undisturbed: Path, results: Path, name: str, to: str, moment: float) -> tuple[str, list[str]]:
    """How a sweep ends that is disturbed once, and what is not right about that or about the record in the end."""
    place = results.parent
    sweep = start_sweep(place, results.name, start_new_session=True)
    if name == "helper":
        found(sweep, name)
    time.sleep(moment)
    if to == "process":
        sweep.send_signal(getattr(signal, name))
    elif to:
        os.killpg(sweep.pid, getattr(signal, name))
    else:
        for victim in found(sweep, name)[:1]:
            victim.kill()
    output, errors = sweep.communicate(timeout=300)
    code, last = sweep.returncode, (errors.strip().splitlines() or [""])[-1]
    faults = [f"code {code}, {last!r}"] if not is_known(code, last) and name != "driver" else []
    faults += [f"{noise!r} in its output" for noise in _NOISE if noise in output + errors]
    for _ in range(_MOST_RUNS):
        if code == 0:
            break
        code = run_python(*FOUR, "--results", results.name, cwd=place).returncode
    try:
        assert_same_results(undisturbed, results)
    except AssertionError as error:
        faults.append(str(error))
    return f"exit code {sweep.returncode}, {last or 'done'}", [*faults, *([f"at last code {code}"] if code else [])]


def is_known(code: int, last: str) -> bool:
    """Whether a disturbed sweep may end with this exit code and this last line of standard error."""
    begins = [
        end.sentence.partition("{")[0] for end in ENDS.values() if end.code == code and end is not ENDS["refused"]
    ]
    begins += ["error: Ray cannot be started on this machine"] * (code == ENDS["refused"].code)
    return code == 0 or any(last.startswith(begin) for begin in begins if begin)


def found(sweep: "subprocess.Popen[str]", name: str) -> list[psutil.Process]:
    """The processes of a sweep that are such victims: waits for one, unless the sweep has ended."""
    while sweep.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            driver = psutil.Process(sweep.pid)
            victims = [
                each for each in (driver, *driver.children(recursive=True)) if VICTIMS[name] in command_line(each)
            ]
            if VICTIMS[name] == FORK_SERVER:
                victims = [each for each in victims if is_forked(each) != (name == "fork server")]
            if victims:
                return victims
        time.sleep(0.05)
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--signals", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    right = []
    with tempfile.TemporaryDirectory() as place:
        disturbances = shuffled(arguments.kills, arguments.signals, arguments.seed)
        for told, is_right in points(disturbances, arguments.seed, Path(place)):
            right.append(is_right)
            print(f"{len(right):>3}  {told}", flush=True)
    print(f"{sum(right)} of {len(right)} as if nothing had happened")
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
