"""Clocks that step: nothing is lost, and tokens end when the clock says so."""

import pytest

from tests.trust.campaign import clocks


@pytest.mark.slow
@pytest.mark.skipif(clocks.library() is None, reason="libfaketime is not installed")
def test_the_clock_steps() -> None:
    """Hours, days and a month forward and back change no sum and stop no sender, and a token is
    refused exactly while the clock is past its end."""
    outcome = clocks.check(1)
    assert outcome.failures == []
