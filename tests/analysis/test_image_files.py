"""Image files: which are found, and which are unlike the training data."""

from pathlib import Path

import pytest
from PIL import Image

from analysis.detector.image_files import ENDINGS, paths, read, warnings


def test_a_folder_is_searched_in_order_for_images_and_nothing_else(tmp_path: Path) -> None:
    wanted = ["b.JPG", "z.png", "a/c.webp", "a/deep/er/d.jpeg"]
    for name in [*wanted, ".hidden.jpg", ".thumbnails/e.jpg", "notes.txt", "jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    assert list(paths([str(tmp_path)])) == [str(tmp_path / name) for name in wanted]
    assert list(paths([str(tmp_path / "notes.txt")])) == [str(tmp_path / "notes.txt")]


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_with_the_endings_are_decoded(ending: str, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / f"black{ending}")
    assert read(str(tmp_path / f"black{ending}"), 32).error == ""


def test_a_file_is_warned_of_only_where_it_is_unlike_the_training_data(tmp_path: Path) -> None:
    Image.new("RGB", (40, 32)).save(tmp_path / "wide.png")
    facts = read(str(tmp_path / "wide.png"), 32).facts
    assert facts is not None
    assert warnings(facts, 32, ("PNG",)) == ("40 x 32 pixels, resized to 32 x 32",)
    assert warnings(facts._replace(width=32), 32, ("JPEG quality 75 4:2:0", "PNG")) == ()
    assert warnings(facts._replace(width=32), 32, ()) == ()
    told = "PNG, and the training images are A or B or C or one of 2 others"
    assert warnings(facts._replace(width=32), 32, tuple("ABCDE")) == (told,)
