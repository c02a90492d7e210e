"""A service that is attacked, in a process of its own."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.attacked import AttackedService, StartAttacked, attacked


@pytest.fixture
def start_attacked(tmp_path: Path) -> StartAttacked:
    """Starts a service with given settings."""
    return partial(attacked, tmp_path)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedService]:
    """A service with the default settings, which the tests of a module attack in turn."""
    with attacked(tmp_path_factory.mktemp("attacked")) as service:
        yield service
