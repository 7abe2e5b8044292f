"""What a user can type stays: every command, option and choice of commit 5f58b5b is there, or its new name is told."""

import json
import re

import pytest

from support.commands import ROOT
from support.options import Options, commands

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
