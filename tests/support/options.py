"""The commands of this project and their options, as click knows them: `python -m support.options ROOT` prints JSON.

`options.json` beside this file is what it printed of commit 5f58b5b.
"""

import contextlib
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click

#: Command as a user writes it → its options, such as `--limit`; one with choices once for each, `--method=tpe`.
Options = dict[str, list[str]]

_MODULES = ("data_prep", "trainables", "analysis")


class _CaughtError(Exception):
    """Raised where a command would run."""


def commands(root: Path) -> Options:
    """The options of every command in the repository at `root`, which stands on the path. Nothing is run."""
    return {name: _options(command) for name, command in click_commands(root).items()}


def click_commands(root: Path) -> dict[str, click.Command]:
    """Those commands themselves, by what a user writes."""
    found: dict[str, click.Command] = {}
    for module in _MODULES:
        with _caught() as caught, contextlib.suppress(_CaughtError):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        found |= _flat(f"python -m {module}", caught[0])
    for path in sorted((root / "sweeps").glob("[a-z]*.py")):
        with _caught() as caught, contextlib.suppress(_CaughtError):
            runpy.run_path(str(path), run_name="__main__")
        found |= _flat(f"python sweeps/{path.name}", caught[0]) if caught else {}
    return found


@contextlib.contextmanager
def _caught() -> Iterator[list[click.Command]]:
    """The commands that are called in the block, which are not run."""
    caught: list[click.Command] = []

    def main(command: click.Command, *_: object, **__: object) -> None:
        caught.append(command)
        raise _CaughtError

    with mock.patch("click.Command.main", main), mock.patch("click.Group.main", main, create=True):
        yield caught


def _flat(name: str, command: click.Command) -> dict[str, click.Command]:
    """A command, or those of a group, by name."""
    if not isinstance(command, click.Group):
        return {name: command}
    context = click.Context(command)
    found: dict[str, click.Command] = {}
    for inner in command.list_commands(context):
        found |= _flat(f"{name} {inner}", command.get_command(context, inner) or command)
    return found


def _options(command: click.Command) -> list[str]:
    spelled: set[str] = set()
    for parameter in command.params:
        names = [*parameter.opts, *parameter.secondary_opts] if isinstance(parameter, click.Option) else ["ARGUMENT"]
        choices = getattr(parameter.type, "choices", ())
        spelled |= {f"{name}={choice}" for name in names for choice in choices} or set(names)
    return sorted(spelled)


if __name__ == "__main__":
    lines = [f"  {json.dumps(name)}: {json.dumps(options)}" for name, options in commands(Path(sys.argv[1])).items()]
    print("{", ",\n".join(lines), "}", sep="\n")
