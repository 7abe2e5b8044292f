"""The answer of a record: which configuration is first, what it is, and the commands that use it."""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import sweeps
from analysis.pages.environment import enumerated, needed, over
from analysis.pages.summary import accuracy
from analysis.results.compared import Compared, held_out
from analysis.results.configurations import all_values, changed_values, own_values, recipe_of, text, tried_values
from analysis.results.format import percent, points
from analysis.results.seeds import best_trials
from analysis.results.trials import Results
from data_prep import Folder
from trainables import MODELS, Recipe
from trainables.record import BEST, checkpoints


@dataclass(frozen=True)
class Answer:
    """What came first, in a `sentence`, and how to use it, where a trial is ranked.

    `configuration` has a row for each hyperparameter that was tried with several values or is not at its default:
    hyperparameter, value, default and tried (of a search, `searched`), as text. `others` are at their defaults.
    `network` is the file of the trained network, and `commands` is purpose → command line.
    """

    sentence: str
    configuration: pd.DataFrame = field(default_factory=pd.DataFrame)
    others: str = ""
    network: str = ""
    commands: dict[str, str] = field(default_factory=dict)


def answer(results: Results, compared: Compared, folder: Folder) -> Answer:
    """The answer of the record in `folder`."""
    best = best_trials(results)
    if not len(best):
        return Answer(f"No trial of {results.provenance.sweep} is ranked.")
    row = best.to_dict("records")[0]
    recipe = recipe_of(row)
    tried, own, values = tried_values(results, recipe), own_values(recipe.network), all_values(recipe)
    listed = [name for name in values if name in tried or name in changed_values(recipe)]
    cells = [(name, text(values[name]), text(own.get(name)), tried.get(name, "–")) for name in listed]
    names = ["hyperparameter", "value", "default", "searched" if results.provenance.search else "tried"]
    return Answer(
        sentence=_sentence(best, results, compared),
        configuration=pd.DataFrame(cells, columns=names)[names if tried else names[:3]],
        others=", ".join(f"{name} {text(value)}" for name, value in values.items() if name not in listed),
        network=f"{checkpoints(folder, row['trial'])}/{BEST}",
        commands=_commands(recipe, results, str(folder), row),
    )


def _sentence(best: pd.DataFrame, results: Results, compared: Compared) -> str:
    """What validation chose, what it reaches on test, and what that says. `best` has its trials, a seed each."""
    row, count = best.iloc[0], results.ranked["configuration"].nunique()
    if row["status"] == "stopped":
        first = f"{row['configuration']} is first of {count:,} by {results.provenance.metric_title}"
        return f"{first}; no trial has been trained to the end, so none is scored on test."
    own = compared.of(str(row["configuration"]))
    reached = accuracy(row, "test") if own is None else over(own, compared)
    is_again = results.ranked["number"].isna() & bool(results.provenance.search)
    again = results.ranked.loc[is_again, "configuration"].nunique()
    among = f"the {again:,} networks that were trained again, of {count:,}" if again else f"{count:,} networks"
    is_one_seed = own is None or own["seeds"] == 1
    if is_one_seed:
        ended = results.ranked.loc[results.ranked["status"] == "finished", "configuration"].nunique()
        among = f"{count:,} trained networks" if ended == count else f"{count:,} networks, {ended:,} trained to the end"
    first = f"Of {among}, {row['configuration']} is first by {results.provenance.metric_title}; its"
    alone = f"{row['configuration']}'s"
    said = f"{first if count > 1 else alone} test accuracy is {reached}"
    if is_one_seed:
        limit = "" if count == 1 else " One seed each does not tell which network is best."
        return f"{said}.{_below_floor(best, results)}{limit}"
    unbiased, count = held_out(results)
    others = f"; chosen by some {results.unit}s and measured by another, {percent(unbiased)} %" * bool(count)
    return f"{said}{others}.{_below_floor(best, results)}{_verdict(own, compared)}"


def _verdict(own: "pd.Series[Any]", compared: Compared) -> str:
    """What the intervals of all pairs say of the first, in a sentence after a space; empty for the only network."""
    others = int((compared.configurations["seeds"] > 1).sum()) - 1
    if compared.why_not:
        return f" There is no verdict yet: {compared.why_not}." if len(compared.configurations) > 1 else ""
    level = [name for name in compared.named("level") if name != own["configuration"]]
    return {
        "ahead": f" On test it is ahead of the {f'{others:,} others' if others > 1 else 'other'}.",
        "level": f" On test it is level, within {points(compared.margin)}, with {enumerated(level)}.",
        "behind": f" On test it is behind {enumerated(compared.ahead_of(str(own['configuration'])))}.",
    }.get(
        str(own["verdict"]).partition(",")[0],
        f" It is undecided how it compares with the others: {needed(own, compared)}.",
    )


def _below_floor(best: pd.DataFrame, results: Results) -> str:
    """A sentence, after a space, if a linear probe is as good as the best; else nothing."""
    mean = best["test_accuracy"].mean()
    return "".join(
        f" It has learnt no more than a {name}, which reaches {percent(floor)} %."
        for name, floor in results.provenance.floors.items()
        if mean <= floor
    )


def _commands(recipe: Recipe, results: Results, folder: str, row: dict[str, Any]) -> dict[str, str]:
    """Purpose → the command that does it, with the trial in `row`."""
    trial, cpus = row["trial"], row["cpus"] if pd.notna(row["cpus"]) else None
    target = shlex.quote(f"{folder}:{trial}")
    trainings = {
        "Train it again, from fresh weights": training(recipe, results, cpus),
        "Train it on other data": training(recipe, results, is_on_same_data=False) if not recipe.parent else "",
    }
    return {
        **{purpose: command for purpose, command in trainings.items() if command},
        "Judge a folder of images": f"python -m analysis predict {target} IMAGES",
        "Export it, as Keras and ONNX files with a model card": f"python -m analysis export {target}",
        "Test it on corrupted images": f"python -m analysis robustness {shlex.quote(folder)} --trials {trial}",
        "See its mistakes": f"python -m analysis explain {target}",
    }


def command_again(command: str) -> str:
    """A record's own command, for this code's own sweep of its name; empty for text that is no command of a sweep.

    It will be copied, and a record may come from a stranger. It goes on with a record, so it has no `--fresh`.
    """
    try:
        python, file, *options = shlex.split(command)
    except ValueError:
        return ""
    name, known = Path(file).name, Path(sweeps.__file__).parent.glob("[a-z]*.py")
    is_sweep = python == "python" and file.endswith(f"sweeps/{name}") and name in {path.name for path in known}
    return shlex.join([python, f"sweeps/{name}", *(each for each in options if each != "--fresh")]) if is_sweep else ""


def training(recipe: Recipe, results: Results, cpus: float | None = None, is_on_same_data: bool = True) -> str:
    """The command that trains a configuration again, with fresh weights, on the record's data or on others.

    `cpus` are those of the trial: on as many, sums round alike.

    A trial that resumed from another had a schedule of recipes, and one of several training sets has its images from
    all: its whole sweep is run again.
    """
    manifest = results.provenance.manifest
    if recipe.parent or (recipe.training_subset and is_on_same_data) or recipe.network not in MODELS:
        return command_again(manifest.command)
    words = ["python", "sweeps/zoo.py", "--models", recipe.network]
    if is_on_same_data:
        words += ["--results", "results/again", "--data", manifest.data.shards or "SHARDS"]
        words += ["--limit", str(manifest.settings["limit"])] if manifest.settings.get("limit") else []
        words += ["--cpus-per-trial", f"{cpus:g}"] if cpus else []
    else:
        words += ["--results", "results/other", "--data", "SHARDS"]
    for name, value in changed_values(recipe).items():
        of = f"{recipe.network}." if name in recipe.network_arguments else ""
        words += ["--set", f"{of}{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)
