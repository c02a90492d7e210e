"""What every channel and every retry of the client is set to."""

from typing import TypedDict

CHANNEL_OPTIONS = (
    # Answers with many faults or events may be larger than the default of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # A service that restarts is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Retries are counted in one place, not in two.
    ("grpc.enable_retries", 0),
)


class Retries(TypedDict):
    """How often and how long a call is tried."""

    attempts: None
    timeout: float
    wait_initial: float
    wait_max: float


def retries(retry_seconds: float) -> Retries:
    """Pauses from a tenth of a second to five, with jitter, until the time is over."""
    return Retries(attempts=None, timeout=retry_seconds, wait_initial=0.1, wait_max=5.0)
