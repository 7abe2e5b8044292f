"""Fixtures that the tests of this folder share."""

import pytest

from support.networks import split_of
from trainables.training.selection import Data


@pytest.fixture(scope="session")
def data() -> Data:
    return Data(split_of(200, 0), split_of(50, 1), split_of(60, 2), "fingerprint")
