"""Full disks under load: what was acknowledged is there when there is room again."""

import os

import pytest

from tests.trust.campaign import full_disk


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a file system can only be mounted by root")
def test_a_disk_is_full_for_a_while() -> None:
    """On both databases a full disk loses nothing that was acknowledged, and the service goes on
    by itself."""
    outcome = full_disk.check(1)
    assert outcome.failures == []
    assert outcome.counts["times that a disk was full"] == 2
