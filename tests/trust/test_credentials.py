"""Bad credentials: they open nothing, through any door, and are refused for a stated reason."""

import pytest

from cost_insights.api.compatible import ENDPOINTS
from cost_insights.api.operations import OPERATIONS
from tests.support.service import Service
from tests.trust.campaign import credentials


@pytest.mark.slow
def test_every_operation_with_every_bad_credential(web: Service) -> None:
    """No operation takes a bad credential, whatever the door: it is refused with the code and the
    reason that say why, nothing is written, and no other organization sees anything."""
    outcome = credentials.check(web)
    assert outcome.failures == []
    # Each operation by gRPC, Connect and gRPC-Web, and each endpoint of the compatible API.
    ways = 3 * len(OPERATIONS) + len(ENDPOINTS)
    assert outcome.counts["calls of another organization"] == ways
