"""Waiting for what comes about by itself."""

import asyncio
import time
from collections.abc import Callable

SECONDS_MAX = 60


def wait_until(true: Callable[[], bool], *, seconds_max: float = SECONDS_MAX) -> None:
    """Returns once that is so; fails where it does not come about in time."""
    give_up = time.monotonic() + seconds_max
    while not true():
        assert time.monotonic() < give_up, "it did not come about in time"
        time.sleep(0.01)


async def until(true: Callable[[], bool], *, seconds_max: float = SECONDS_MAX) -> None:
    """Lets other tasks run until that is so; fails where it does not come about in time."""
    give_up = time.monotonic() + seconds_max
    while not true():
        assert time.monotonic() < give_up, "it did not come about in time"
        await asyncio.sleep(0.001)
