"""python -m analysis explain RESULTS[:TRIAL]: what a network's mistakes and doubts rest on, as contact sheets.

Of the test images: those about whose wrong answer it is surest, of both kinds, and those about which it is least sure.
"""

from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import expit

from analysis.detector.scored_images import ScoredImages, own_images
from analysis.detector.stored import Stored, stored
from analysis.figures.sheets import KINDS, Pictures, alt, caption, draw, title
from analysis.figures.style import rendered
from analysis.results.decisions import best_threshold
from analysis.results.kept import kept
from data_prep.storage import Folder

__all__ = ["main", "sheets"]

EXPLANATIONS, SHEETS = "explanations.parquet", "explanations"
SCHEMA = pa.schema(
    [
        ("trial", pa.string()),
        ("name", pa.string()),  # configuration and seed
        ("kind", pa.string()),  # real_called_fake, fake_called_real, uncertain
        ("place", pa.int64()),  # on its sheet, from 0
        ("split", pa.string()),
        ("row", pa.int64()),
        ("path", pa.string()),
        ("object_class", pa.string()),
        ("label", pa.int64()),  # 0 REAL, 1 FAKE
        ("score", pa.float64()),  # a logit, positive for FAKE
        ("probability", pa.float64()),  # of FAKE
        ("threshold", pa.float64()),  # a logit: the best on validation
        ("called_fake", pa.bool_()),
        ("in_train", pa.bool_()),
        ("layer", pa.string()),  # of Grad-CAM
        ("map_side", pa.int64()),  # of its map, in places
        ("images", pa.int64()),  # of the test split that were looked through
    ]
)
_IMAGES = 8

#: File name in `explanations/`, title, text that stands for it, and caption.
Sheet = tuple[str, str, str, str]


@click.command("explain")
@click.argument("target", metavar="RESULTS[:TRIAL]")
@click.option("--layer", help="The layer that Grad-CAM looks at; else the deepest whose map has a side of at least 4.")
@click.option(
    "--images", "count", default=_IMAGES, show_default=True, type=click.IntRange(1, 64), help="Images a sheet."
)
@click.option("--data", help="Where the record's shards are now.")
def main(target: str, layer: str | None, count: int, data: str | None) -> None:
    """Show a network's surest mistakes and its doubts, with Grad-CAM and saliency, in RESULTS/explanations.

    TRIAL is an identity or a network; without it, the best on validation.
    """
    one = stored(target)
    images = own_images(one.results, Folder(data) if data else None)
    frame = chosen(one, images, count)
    frame["layer"], pictures = _pictures(one, images, frame, layer)
    frame["map_side"] = pictures.grad_cam.shape[1]
    _write(one.folder, frame, pictures)
    for name, _, _, told in sheets(one.folder, one.trial):
        click.echo(f"{told}\n{one.folder}/{SHEETS}/{name}\n")
    click.echo(f"{one.folder}/{EXPLANATIONS}")


def chosen(one: Stored, images: ScoredImages, count: int) -> pd.DataFrame:
    """The test images that are shown, by kind and place, with the columns of SCHEMA but for `layer`.

    Mistakes are counted at the threshold from validation; sure is who is far from it, as a logit.
    """
    labels, logits = one.scores("test")
    threshold = best_threshold(*one.scores("validation"))
    called = logits > threshold
    distance = np.abs(logits - threshold)
    kinds = {
        "real_called_fake": np.flatnonzero(called & (labels == 0)),
        "fake_called_real": np.flatnonzero(~called & (labels == 1)),
    }
    places = {kind: among[np.argsort(-distance[among], kind="stable")][:count] for kind, among in kinds.items()}
    places["uncertain"] = np.argsort(distance, kind="stable")[:count]
    told = {"trial": one.trial, "name": one.name, "split": "test", "threshold": threshold, "images": len(labels)}
    rows = [
        told | _who(images, at) | {"kind": kind, "place": place, "score": logits[at], "called_fake": called[at]}
        for kind, found in places.items()
        for place, at in enumerate(found)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(probability=expit(frame["score"].astype(float)))


def _who(images: ScoredImages, at: int) -> dict[str, Any]:
    told = {"row": int(images.rows[at]), "path": images.paths[at], "object_class": images.classes[at]}
    return told | {"label": int(images.labels[at]), "in_train": bool(images.seen is not None and images.seen[at])}


def _pictures(one: Stored, images: ScoredImages, frame: pd.DataFrame, layer: str | None) -> tuple[str, Pictures]:
    """The layer that Grad-CAM looks at, and what the network sees in the images of `frame`, row by row."""
    network = one.network  # imports Keras, and keeps TensorFlow from talking meanwhile
    from analysis.detector.explanations import default_layer, grad_cam, saliency

    layer = layer or default_layer(network)
    shown = images.images[np.searchsorted(images.rows, frame["row"])]
    maps = grad_cam(network, shown, frame["called_fake"].to_numpy(bool), layer)
    return layer, Pictures(shown, maps, saliency(network, shown))


def _write(folder: Folder, frame: pd.DataFrame, pictures: Pictures) -> None:
    """Write the sheets of one trial, and enter them into the table; what an earlier run wrote of it goes."""
    trial = frame["trial"].iloc[0]
    others = explanations(folder)
    for kind in KINDS:
        is_kind = (frame["kind"] == kind).to_numpy()
        if not is_kind.any():
            folder.folder(SHEETS).delete(_file(trial, kind))
            continue
        of_kind = Pictures(*(each[is_kind] for each in vars(pictures).values()))
        sheet = rendered(draw(frame[is_kind], of_kind), ("png",))["png"]
        folder.folder(SHEETS).write_bytes(_file(trial, kind), sheet)
    parts = [part for part in (others[others["trial"] != trial], frame[SCHEMA.names]) if len(part)]
    folder.write_table(EXPLANATIONS, pa.Table.from_pandas(pd.concat(parts), SCHEMA, preserve_index=False))


def _file(trial: str, kind: str) -> str:
    return f"{trial}-{kind}.png"


def explanations(folder: Folder) -> pd.DataFrame:
    """The table of a record's folder, with the columns of SCHEMA; without rows if there is none. Raises InputError."""
    return kept(folder, EXPLANATIONS, SCHEMA, "explain")


def sheets(folder: Folder, trial: str | None = None) -> list[Sheet]:
    """The contact sheets in a record's folder: of one trial, or of all that were explained."""
    frame = explanations(folder)
    frame = frame[frame["trial"] == trial] if trial else frame
    groups = dict(iter(frame.groupby(["trial", "kind"], sort=False)))
    return [(_file(*key), title(rows), alt(rows), caption(rows)) for key, rows in groups.items()]
