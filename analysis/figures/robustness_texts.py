"""What a robustness table says, in words."""

from typing import Any

import pandas as pd

from analysis.detector.corruptions import CLEAN, CORRUPTIONS, Setting, order
from analysis.detector.robustness_table import SECOND, choices
from analysis.detector.scored_images import OWN
from analysis.results.format import percent, span
from analysis.results.trials import Results, has_seeds

_CHANCE = 0.5
#: The corruption under which accuracy and AUC are compared.
_COMPARED = "blur"


def texts(results: Results, table: pd.DataFrame) -> list[str]:
    """A paragraph a data set, of the best trial that the table has of it: what falls first, and how."""
    found = []
    for rows in choices(table):
        trials = [trial for trial in results.ranked["trial"] if trial in set(rows["trial"])]
        if not trials:
            continue
        of_test = rows[(rows["part"] == "test") & (rows["trial"] == trials[0])].set_index(["corruption", "severity"])
        if (CLEAN, 0.0) in of_test.index:
            found.append(" ".join(filter(None, _sentences(results, of_test, trials[0]))))
    return found


def _sentences(results: Results, of_test: pd.DataFrame, trial: str) -> list[str]:
    spoilt = of_test.drop((CLEAN, 0.0))
    told = [_clean(results, of_test, trial), _other(of_test)]
    if not len(spoilt):
        return told
    return [*told, _first(of_test, side_of(results)), _harmless(of_test), _threshold(of_test), _second(of_test)]


def _clean(results: Results, of_test: pd.DataFrame, trial: str) -> str:
    clean = of_test.loc[(CLEAN, 0.0)]
    interval = f"{percent(clean['accuracy'])} % (95 % interval {span(clean['accuracy_low'], clean['accuracy_high'])} %)"
    where = "the record's test images" if clean["data"] == OWN else f"the test images of {clean['data']}"
    return (
        f"{name_of(results, trial)}, on {where} as they are (n = {clean['images']:,}), is right on {interval} at the "
        f"threshold from validation; AUC {clean['auc']:.3f}."
    )


def _other(of_test: pd.DataFrame) -> str:
    """In which ways other shards are of another kind than those of training."""
    note = of_test.loc[(CLEAN, 0.0), "note"]
    return f"Beware: {note}." if note else ""


def _first(of_test: pd.DataFrame, side: int) -> str:
    """Which corruption costs most in its mildest degree, and which in any, as far as they cost anything."""
    clean, spoilt = of_test.loc[(CLEAN, 0.0), "accuracy"], of_test.drop((CLEAN, 0.0))["accuracy"]
    mildest = {}
    for name in CORRUPTIONS:
        ways = [setting for setting in _mildest(name, side) if setting in of_test.index]
        if ways:
            mildest[name] = min(ways, key=lambda setting: spoilt.loc[setting])
    first, worst = min(mildest.values(), key=lambda setting: spoilt.loc[setting], default=None), spoilt.idxmin()
    if not first or spoilt.loc[first] >= clean:
        return ""
    costs = [f"{100 * (clean - spoilt.loc[setting]):.1f} points" for setting in (first, worst)]
    return (
        f"Of the mildest degrees {_named(first)} costs most ({costs[0]}); the worst of all is {_named(worst)}, which "
        f"leaves {percent(spoilt.loc[worst], 1)} % ({costs[1]} less)."
    )


def _mildest(name: str, side: int) -> list[Setting]:
    """The settings beside clean, as a corruption is drawn."""
    drawn = order(name, side)
    place = drawn.index((CLEAN, 0.0))
    return [setting for setting in drawn[max(0, place - 1) : place + 2] if setting[0] != CLEAN]


def _harmless(of_test: pd.DataFrame) -> str:
    """The settings whose accuracy lies within the interval of the clean one."""
    clean = of_test.loc[(CLEAN, 0.0)]
    spoilt = of_test.drop((CLEAN, 0.0))
    within = [setting for setting in spoilt.index if spoilt.loc[setting, "accuracy"] >= clean["accuracy_low"]]
    by_name = {name: [severity for other, severity in within if other == name] for name in CORRUPTIONS}
    told = [_named((name, *severities)) for name, severities in by_name.items() if severities]
    return f"No worse than the interval of the clean images: {'; '.join(told)}." if told else ""


def _threshold(of_test: pd.DataFrame) -> str:
    """How accuracy at the carried-over threshold and AUC fall under blur, where what they keep differs most."""
    clean = of_test.loc[(CLEAN, 0.0)]
    kept_of = {setting: _kept(of_test, setting) for setting in of_test.index if setting[0] == _COMPARED}
    if not kept_of or min(clean["accuracy"], clean["auc"]) <= _CHANCE:
        return ""
    setting, kept = max(kept_of.items(), key=lambda pair: pair[1]["auc"] - pair[1]["accuracy"])
    blurred = of_test.loc[setting]
    if blurred["accuracy"] >= clean["accuracy"]:
        return ""
    side = "REAL" if blurred["recall_real"] < blurred["recall_fake"] else "FAKE"
    called = {"REAL": "FAKE", "FAKE": "REAL"}[side]
    missed = percent(1 - blurred[f"recall_{side.lower()}"], 0)
    shares = " and ".join(f"{percent(max(0.0, share), 0)} %" for share in kept.values())
    told = (
        f"Under {_named(setting)} accuracy falls to {percent(blurred['accuracy'], 1)} % and AUC to "
        f"{blurred['auc']:.3f}: they keep {shares} of their lead over chance"
    )
    if kept["accuracy"] >= kept["auc"]:
        return f"{told}."
    return (
        f"{told}. The network still ranks the images better than its threshold divides them: {missed} % of the {side} "
        f"are called {called}, and a threshold set on blurred images would win some of them back."
    )


def _kept(of_test: pd.DataFrame, setting: Setting) -> dict[str, float]:
    """Of accuracy and AUC, what is left of their lead over chance on the clean images."""
    clean, spoilt = of_test.loc[(CLEAN, 0.0)], of_test.loc[setting]
    return {name: (spoilt[name] - _CHANCE) / (clean[name] - _CHANCE) for name in ("accuracy", "auc")}


def _second(of_test: pd.DataFrame) -> str:
    told = _compression(of_test)
    return f"JPEG here is a {told}; once more at the same quality changes little." if told else ""


def _compression(rows: pd.DataFrame) -> str:
    """What the notes say of compression."""
    notes = [note for note in rows["note"].unique() if SECOND in note]
    return str(notes[0][notes[0].index(SECOND) :]) if notes else ""


def conditions(results: Results, rows: pd.DataFrame) -> str:
    """What must be known to read the numbers, with n."""
    counts = " or ".join(f"{count:,}" for count in sorted(rows["images"].unique()))
    where = "" if rows["data"].iloc[0] == OWN else f" of {rows['data'].iloc[0]}"
    told = _compression(rows)
    second = f" JPEG is a {told}." if told else ""
    return (
        f"Test images{where}, n = {counts}. Accuracy at the threshold that was best on the clean validation images, "
        "with 95 % intervals (Wilson); AUC with DeLong's. Degrees at even distances, not to scale; dotted: chance."
        f"{second}"
    )


def name_of(results: Results, trial: str) -> str:
    """A trial's configuration, and its seed where the record has several."""
    row = results.trials.set_index("trial").loc[trial]
    return f"{row['configuration']} (seed {row['seed']})" if has_seeds(results.trials) else str(row["configuration"])


def side_of(results: Results) -> int:
    """Of the images that the networks take, in pixels."""
    return int((results.provenance.manifest.get("data") or {}).get("image_size") or 32)


def told_as(setting: Setting) -> str:
    """The label of a tick: `0.8`, or `clean`."""
    return CLEAN if setting[0] == CLEAN else f"{setting[1]:g}"


def _named(setting: tuple[Any, ...]) -> str:
    """`JPEG of quality 75`, `Gaussian blur of σ 0.3 and 0.5 pixels`, of a corruption's name and severities."""
    forms = {
        "jpeg": "JPEG of quality {}",
        "blur": "Gaussian blur of σ {} pixels",
        "noise": "Gaussian noise of σ {} (of 255)",
        "rescale": "rescaling to {} pixels and back",
        "brightness": "brightness times {}",
        "contrast": "contrast times {}",
    }
    return forms[setting[0]].format(_list([f"{severity:g}" for severity in setting[1:]]))


def _list(words: list[str]) -> str:
    """`a, b and c`."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
