"""Fixtures that the tests of this folder share."""

from pathlib import Path

import pytest

from data_prep.job import prepare
from support.trees import make_tree


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    prepare(str(make_tree(tmp_path / "tree")), str(tmp_path / "shards"))
    return tmp_path / "shards"
