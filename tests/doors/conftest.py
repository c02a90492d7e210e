"""Authorities for tests of TLS."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import Pki, new_authority


@pytest.fixture
def new_pki(tmp_path: Path) -> Callable[[str], Pki]:
    """Makes authorities."""
    return lambda name: new_authority(tmp_path / name)


@pytest.fixture
def pki(new_pki: Callable[[str], Pki]) -> Pki:
    """The authority of the service."""
    return new_pki("ours")
