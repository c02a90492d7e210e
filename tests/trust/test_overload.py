"""Overload: what is refused is told why, and what is acknowledged is stored."""

import pytest

from tests.trust.campaign import overload


@pytest.mark.slow
def test_ten_times_as_much_as_may_wait() -> None:
    """Ten times as many events as may wait lose no acknowledgement and take bounded memory; the
    service takes calls at once when it is over."""
    outcome = overload.check(4)
    assert outcome.failures == []
