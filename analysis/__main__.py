"""python -m analysis [COMMAND] …: each command is `main` of the file of its name; without a name it is `report`."""

import importlib
import sys
from pathlib import Path

import click

COMMANDS = ("report", "robustness", "explain", "compare", "predict", "export")


class _Commands(click.Group):
    """Commands that are imported when they are called."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args and args[0] in (*COMMANDS, "--help") else ["report", *args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return importlib.import_module(f"analysis.{cmd_name}").main if cmd_name in COMMANDS else None


@click.group(cls=_Commands, no_args_is_help=False)
def main() -> None:
    """Make tables, figures and a report of a sweep's record, and use its networks."""


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # before the working folder, in which a `trainables.py` may be
    from data_prep.errors import run_command

    run_command(main)
