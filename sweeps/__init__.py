"""The sweeps: one short file per question. From Python and in notebooks:

import sweeps
record = sweeps.run("age", epochs=2, limit=2000)
"""

import dataclasses
import importlib
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a sweep needs takes a second to import
    import click

    from sweeps.engine.options import Options
    from sweeps.engine.sweep import Sweep

_is_free = threading.Lock()


def run(question: "str | Callable[[Any], Sweep]", **options: Any) -> str:
    """Run a sweep, or what is left of it, analyse its record, and return where that is, such as `results/age`.

    `question` is a file of this package by its name, such as `age`, or the function of such a file. `options` are those
    of its command line, by their names there: `sweeps.run("zoo", models="vgg16,custom-3", seeds=3)`. Runs in any
    thread, one sweep at a time in a process. Raises InputError, and click.UsageError for a value out of range.
    """
    from data_prep import Folder, InputError
    from sweeps.engine.run import command_of, run

    if isinstance(question, str):
        names = [path.stem for path in Path(__file__).parent.glob("[a-z]*.py")]
        if question not in names:
            raise InputError(f"There is no sweep {question!r}; there are {', '.join(sorted(names))}.")
        question = getattr(importlib.import_module(f"sweeps.{question}"), question)

    def run_and_locate(sweep: "Sweep", asked: "Options") -> str:
        run(sweep, dataclasses.replace(asked, command_line=shlex.join(["python", f"sweeps/{command.name}.py", *words])))
        return str(Folder(asked.results).folder(sweep.name))

    command = command_of(question, run_and_locate)  # type: ignore[arg-type]
    words = list(_words(command, options))
    if not _is_free.acquire(blocking=False):
        raise InputError("Another sweep runs in this process; wait for it to end.")
    try:
        with command.make_context(command.name, list(words)) as context:
            return str(command.invoke(context))
    finally:
        _is_free.release()


def _words(command: "click.Command", options: dict[str, Any]) -> Iterator[str]:
    """The options as a command line has them: there each is checked once."""
    from data_prep import InputError
    from trainables.training.recipe import nearest

    flags = {str(parameter.name): parameter.opts[0] for parameter in command.params}
    for name, value in options.items():
        if name not in flags:
            raise InputError(f"{command.name} has no option {name!r}; {nearest(name, flags)}.")
        if value is True:
            yield flags[name]
        elif value is not None and value is not False:
            for each in value if isinstance(value, list | tuple) else [value]:
                yield from (flags[name], str(each))
