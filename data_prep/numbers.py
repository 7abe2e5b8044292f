"""Numbers as options of all commands take them: no larger than the libraries can use that they reach."""

from typing import Any

import click

_MOST = 2**31 - 1


class Whole(click.IntRange):
    """An integer of a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number that a text stands for."""
        number = int(super().convert(value, param, ctx))
        if number > _MOST:
            self.fail(f"{value} is too large; give at most {_MOST:,}.", param, ctx)
        return number


class Real(click.FloatRange):
    """A real number of a range; `nan` lies in none, though it compares as if it did."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that a text stands for."""
        number = float(super().convert(value, param, ctx))
        if not abs(number) <= _MOST:
            self.fail(f"{value} is too large or no number; give at most {_MOST:,}.", param, ctx)
        return number
