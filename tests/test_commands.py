"""What a user can type stays: every command, option and choice of commit 5f58b5b is there, or its new name is told."""

import json
import re

import click
import pytest

from support.commands import ROOT
from support.options import Options, click_commands, commands

BEFORE: Options = json.loads((ROOT / "tests" / "support" / "options.json").read_text())
#: Renamed options as CHANGELOG.md tells them: "`--old` is now `--new`".
RENAMED = dict(re.findall(r"`(--[\w-]+)` is now `(--[\w-]+)`", (ROOT / "CHANGELOG.md").read_text()))


@pytest.fixture(scope="module")
def today() -> Options:
    return commands(ROOT)


@pytest.mark.parametrize("command", BEFORE)
def test_no_option_is_lost(command: str, today: Options) -> None:
    wanted = set()
    for option in BEFORE[command]:
        name, equals, choice = option.partition("=")
        wanted.add(RENAMED.get(name, name) + equals + choice)
    assert wanted <= set(today[command])


def test_every_number_of_every_command_is_bounded() -> None:
    """Click itself takes `nan` for a number of any range, and no integer for too large."""
    found = [(name, parameter) for name, command in click_commands(ROOT).items() for parameter in command.params]
    numbers = [(name, each) for name, each in found if isinstance(each.type, click.IntRange | click.FloatRange)]
    assert len(numbers) > 30
    for name, parameter in numbers:
        for text in ("nan", "inf", "1e400", str(10**30), str((parameter.type.min or 0) - 1)):
            with pytest.raises(click.BadParameter):
                print(name, parameter.name, parameter.type.convert(text, parameter, None))
