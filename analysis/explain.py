"""python -m analysis explain RESULTS[:TRIAL]: what a network's mistakes and doubts rest on, as contact sheets.

Of the test images: the mistakes, of both kinds, of which it is surest, and the images of which it is least sure.
"""

import click
import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import expit

from analysis.detector.scored_images import ScoredImages, own_images
from analysis.detector.stored import Stored, stored
from analysis.figures.sheets import KINDS, Pictures, draw, words
from analysis.figures.style import rendered
from analysis.results.trials import read_extra
from data_prep import Folder, InputError, printable
from data_prep.numbers import Whole
from trainables.training.metrics import best_threshold

EXPLANATIONS, SHEETS = "explanations.parquet", "explanations"
SCHEMA = pa.schema(
    [
        ("trial", pa.string()),
        ("name", pa.string()),  # configuration and seed
        ("kind", pa.string()),  # real_called_fake, fake_called_real, uncertain
        ("place", pa.int64()),  # on its sheet, from 0
        ("split", pa.string()),
        pa.field("row", pa.int64(), nullable=False),
        ("path", pa.string()),
        ("object_class", pa.string()),
        pa.field("label", pa.int64(), nullable=False),  # 0 REAL, 1 FAKE
        pa.field("score", pa.float64(), nullable=False),  # a logit, positive for FAKE
        pa.field("probability", pa.float64(), nullable=False),  # of FAKE
        pa.field("threshold", pa.float64(), nullable=False),  # a logit: the best on validation
        pa.field("called_fake", pa.bool_(), nullable=False),
        ("duplicate", pa.string()),  # as in the shards
        ("layer", pa.string()),  # of Grad-CAM
        ("map_side", pa.int64()),  # of its map, in places
        ("images", pa.int64()),  # of the test split, from which these were chosen
    ]
)

#: File name in `explanations/`, title, text that stands for it, and caption.
Sheet = tuple[str, str, str, str]


@click.command("explain")
@click.argument("target", metavar="RESULTS[:TRIAL]")
@click.option("--layer", help="The layer that Grad-CAM looks at; else the deepest whose map has a side of at least 4.")
@click.option("--images", "count", default=8, show_default=True, type=Whole(1, 64), help="Images a sheet.")
@click.option("--data", help="Where the record's shards are now.")
def main(target: str, layer: str | None, count: int, data: str | None) -> None:
    """Show a network's surest mistakes and its doubts, with Grad-CAM and saliency, in RESULTS/explanations.

    TRIAL is an identity or a network; without it, the best on validation.
    """
    one = stored(target)
    images = own_images(one.results, Folder(data) if data is not None else None)
    frame = chosen(one, images, count)
    frame["layer"], pictures = _pictures(one, images, frame, layer)
    frame["map_side"] = pictures.grad_cam.shape[1]
    _write(one.folder, frame, pictures)
    for name, _, _, text in sheets(one.folder, one.trial):
        click.echo(f"{printable(text)}\n{one.folder}/{SHEETS}/{name}\n")
    click.echo(f"{one.folder}/{EXPLANATIONS}")


def chosen(one: Stored, images: ScoredImages, count: int) -> pd.DataFrame:
    """The test images to show, by kind and place, with the columns of SCHEMA except `layer` and `map_side`.

    Mistakes are judged at the threshold from validation; the network is surest where the logit is farthest from it.
    """
    (labels, logits), test = one.scores("test"), one.results.scores.parts["test"]
    threshold = best_threshold(*one.scores("validation"))
    called, distance = logits > threshold, np.abs(logits - threshold)
    mistakes = {"real_called_fake": called & (labels == 0), "fake_called_real": ~called & (labels == 1)}
    if not np.isfinite(distance).all():
        raise InputError(f"{one.name} has scores that are no numbers; name another network, as RESULTS:TRIAL.")
    farthest, nearest = np.argsort(-distance, kind="stable"), np.argsort(distance, kind="stable")
    places = {kind: farthest[mask[farthest]][:count] for kind, mask in mistakes.items()}
    places["uncertain"] = nearest[:count]
    positions = np.concatenate(list(places.values()))
    assert images.duplicates is not None
    return pd.DataFrame(
        {
            "trial": one.trial,
            "name": one.name,
            "kind": np.repeat(list(places), [len(of_kind) for of_kind in places.values()]),
            "place": np.concatenate([np.arange(len(of_kind)) for of_kind in places.values()]),
            "split": "test",
            "row": test.rows[positions],
            "path": test.paths[positions],
            "object_class": test.classes[positions],
            "label": labels[positions],
            "score": logits[positions].astype(float),
            "probability": expit(logits[positions].astype(float)),
            "threshold": threshold,
            "called_fake": called[positions],
            "duplicate": [duplicate or None for duplicate in images.duplicates[positions]],
            "images": len(labels),
        }
    )


def _pictures(one: Stored, images: ScoredImages, frame: pd.DataFrame, layer: str | None) -> tuple[str, Pictures]:
    """The layer that Grad-CAM looks at, and the pictures of the images of `frame`, row by row."""
    network = one.network  # imports Keras, and keeps TensorFlow silent meanwhile
    from analysis.detector.explanations import default_layer, grad_cam, saliency

    layer = layer or default_layer(network)
    shown = images.images[np.searchsorted(images.rows, frame["row"])]
    maps = grad_cam(network, shown, frame["called_fake"].to_numpy(bool), layer)
    return layer, Pictures(shown, maps, saliency(network, shown))


def _write(folder: Folder, frame: pd.DataFrame, pictures: Pictures) -> None:
    """Write the sheets of one trial and enter them into the table; they replace those of an earlier run."""
    trial = frame["trial"].iloc[0]
    known, files = explanations(folder), dict[str, bytes | None]()
    for kind in KINDS:
        is_kind, file = (frame["kind"] == kind).to_numpy(), f"{SHEETS}/{_file(trial, kind)}"
        files[file] = None
        if is_kind.any():
            figure = draw(frame[is_kind], Pictures(*(images[is_kind] for images in vars(pictures).values())))
            files[file] = rendered(figure, ("png",))["png"]
    folder.write_all(files)
    parts = [part for part in (known[known["trial"] != trial], frame[SCHEMA.names]) if len(part)]
    folder.write_table(EXPLANATIONS, pa.Table.from_pandas(pd.concat(parts), SCHEMA, preserve_index=False))


def _file(trial: str, kind: str) -> str:
    return f"{trial}-{kind}.png"


def explanations(folder: Folder) -> pd.DataFrame:
    """The table of a record's folder, with the columns of SCHEMA; without rows if there is none. Raises InputError."""
    return read_extra(folder, EXPLANATIONS, SCHEMA, "explain").fillna({"object_class": ""})


def sheets(folder: Folder, trial: str | None = None) -> list[Sheet]:
    """The contact sheets in a record's folder: of one trial, or of all that were explained."""
    groups = dict(iter(explanations(folder).groupby(["trial", "kind"], sort=False)))
    return [(_file(*key), *words(rows)) for key, rows in groups.items() if trial in (None, key[0])]
