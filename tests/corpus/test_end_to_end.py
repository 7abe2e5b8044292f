"""Twenty inputs of each command as a user would give them: in a process of its own, with nothing stubbed."""

import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corpus import command_lines, judging, others, records
from corpus.attempts import Attempt
from support.commands import ROOT, run_python

pytestmark = [pytest.mark.corpus, pytest.mark.xdist_group("end to end")]

TWENTY = 20
#: Of a sweep that is accepted, and trains, one is tried; and as many resumed as chance brings.
_TRAINED = {
    "age": ("--limit", "20"),
    "zoo": ("--models", "age-c2-f1,custom-1"),
    "search": ("--trials", "5"),
    "population": (),
    "cifake_paper": (),
}
Case = tuple[tuple[str, ...], bool, Callable[[Path], object]]


def inputs() -> dict[str, list[Case]]:
    """Command → the words, whether they are refused, and what is done to the folder before; half refused, if can be."""
    every: dict[str, list[Case]] = {}
    cases = [*itertools.chain(_lines(), _records(), _others())]
    random.Random(0).shuffle(cases)
    for case in cases:
        every.setdefault(_command(case[0]), []).append(case)
    return {command: _half(of_command) for command, of_command in every.items()}


def _half(cases: list[Case]) -> list[Case]:
    refused, accepted = ([case for case in cases if case[1] == wanted] for wanted in (True, False))
    few = accepted[: max(TWENTY // 2, TWENTY - len(refused))]
    return [*few, *refused[: TWENTY - len(few)]]


def _command(words: tuple[str, ...]) -> str:
    of_analysis = ("compare", "explain", "export", "predict", "robustness")
    return " ".join(words[: 1 + (words[1:2] != () and words[1] in of_analysis)])


def _lines() -> Iterator[Case]:
    for line in command_lines.lines():
        sweep = Path(line.words[0]).stem
        more = line.words[6:] if sweep in _TRAINED else ()
        if line.is_refused or sweep not in _TRAINED or more == _TRAINED[sweep]:
            yield line.words, line.is_refused, lambda place: None


def _records() -> Iterator[Case]:
    for mutation in records.mutations():
        for words, is_refused in mutation.commands.items():
            yield words, is_refused, lambda place, change=mutation.change: change(place / "results/zoo")


def _others() -> Iterator[Case]:
    for case in itertools.chain(others.of_shards(), others.of_leases(), others.of_files()):
        if case.is_refused or not case.words[0].startswith("sweeps/age"):
            yield case.words, case.is_refused, case.change


INPUTS = inputs()


def tried(case: Case, base: Path, place: Path) -> list[str]:
    """What is wrong with what a command does."""
    words, is_refused, change = case
    shutil.copytree(base, place, symlinks=True)
    command_lines.odd_files(place)
    change(place)
    program = [ROOT / words[0]] if words[0].endswith(".py") else ["-m", words[0]]
    done = run_python(*program, *words[1:], cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT)})
    attempt = Attempt(done.returncode, done.stdout, done.stderr, 0, 0, ())
    found = [f"{' '.join(words):.200}: {fault}" for fault in judging.faults(attempt, words, is_refused, place)]
    shutil.rmtree(place)
    return found


@pytest.mark.parametrize("command", INPUTS)
def test_twenty_of_a_command(command: str, explained: Path, tmp_path: Path) -> None:
    cases = INPUTS[command]
    found = [fault for number, case in enumerate(cases) for fault in tried(case, explained, tmp_path / str(number))]
    refused = sum(is_refused for _, is_refused, _ in cases)
    print(f"{command} end to end: {refused} refused, {len(cases) - refused} accepted; {len(found)} faults")
    assert found == [], "\n".join(found)
