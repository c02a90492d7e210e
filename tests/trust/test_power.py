"""Power losses: what was acknowledged survives them, on both databases."""

import pytest

from tests.trust.campaign import power


@pytest.mark.slow
def test_power_losses() -> None:
    """Files from which everything is gone that was not flushed hold every acknowledged event, once;
    where nothing is flushed, the same comparison finds a loss."""
    outcome = power.check(6)
    assert outcome.failures == []
    assert outcome.counts["power losses of SQLite"] > 0
    assert outcome.counts["power losses of PostgreSQL"] > 0
    assert outcome.counts["controls without flushes that show a loss"] > 0
