"""The clock of this machine."""

import time


def now_us() -> int:
    """The time in microseconds since 1970."""
    return time.time_ns() // 1_000
