"""Near-copies for people: a table of all pairs, and a contact sheet of the first."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from data_prep.escaping import as_csv
from data_prep.layout.vocabulary import LABEL_NAMES
from data_prep.storage import Folder

TABLE, SHEET = "near-copies.csv", "near-copies.png"
_SIDE, _GAP, _BETWEEN, _ACROSS = 96, 2, 24, 6  # pixels, and pairs
_LETTERS = 16  # pixels
MOST_SHOWN = 36


def pairs_of(rows: pd.DataFrame, pairs: np.ndarray) -> pd.DataFrame:
    """The near-copies that are no exact ones, those between splits first: path, split, label, and the other's.

    `pairs` (p, 2) are index labels of `rows`, whose columns are path, split, label and group.
    """
    sides = [rows.loc[pairs[:, side], ["path", "split", "label", "group"]].reset_index(drop=True) for side in (0, 1)]
    frame = sides[0].join(sides[1].add_suffix("_of_other")).assign(first=pairs[:, 0], second=pairs[:, 1])
    frame = frame[frame["group"] != frame["group_of_other"]]
    is_within = frame["split"] == frame["split_of_other"]
    frame = frame.assign(is_within=is_within).sort_values(["is_within", "path"], kind="stable", ignore_index=True)
    return frame.drop(columns=["group", "group_of_other", "is_within"])


def write(folder: Folder, frame: pd.DataFrame, images: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Write the table of `pairs_of`, and the contact sheet of its first pairs, whose `images` are (h, w, 3) uint8."""
    folder.write_bytes(TABLE, as_csv(frame.drop(columns=["first", "second"])))
    if images:
        folder.write_bytes(SHEET, _sheet(frame, images))


def take_sheet(prepared: Folder, folder: Folder) -> None:
    """Copy the contact sheet, if there is one, from a folder of shards to another folder."""
    if prepared.exists(SHEET):
        folder.write_bytes(SHEET, prepared.read_bytes(SHEET))


def _sheet(frame: pd.DataFrame, images: Sequence[tuple[np.ndarray, np.ndarray]]) -> bytes:
    width, height = 2 * _SIDE + _GAP + _BETWEEN, _SIDE + 2 * _LETTERS + _BETWEEN
    size = (width * min(len(images), _ACROSS) - _BETWEEN, height * -(-len(images) // _ACROSS))
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LETTERS)
    for place, (pair, row) in enumerate(zip(images, frame.to_dict("records"), strict=False)):
        left, top = place % _ACROSS * width, place // _ACROSS * height
        for side, (image, suffix) in enumerate(zip(pair, ("", "_of_other"), strict=True)):
            at = (left + side * (_SIDE + _GAP), top)
            sheet.paste(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.NEAREST), at)
            words = f"{row['split' + suffix]}\n{LABEL_NAMES[row['label' + suffix]]}"
            draw.multiline_text((at[0], at[1] + _SIDE), words, "black", font, spacing=2)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
