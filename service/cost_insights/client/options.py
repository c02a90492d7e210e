"""The target of a client's channel, and the settings of its channels and retries."""

import ipaddress
import logging
import random
import re
from typing import Any, Final, TypedDict

import grpc
import tenacity

from cost_insights.client.errors import call_error, is_retryable
from cost_insights.client.statuses import details_of, status_of

_log = logging.getLogger(__name__)

PORT: Final = 50051
"""The port of an address that names none."""

IDLE_MS: Final = 30_000
"""The time after which a client closes an idle connection: the service does so after a minute, and
then the gRPC runtime of the client writes a line about it to stderr."""

CHANNEL_OPTIONS = (
    ("grpc.client_idle_timeout_ms", IDLE_MS),
    # Answers with many faults or events may be larger than the default of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # A service that restarts is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Retries are counted in one place, not in two.
    ("grpc.enable_retries", 0),
)

_HAS_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:/|(?:dns|ipv4|ipv6|unix|unix-abstract|vsock):")


class Retries(TypedDict):
    """The arguments of `tenacity` that say when a call is tried again."""

    retry: Any
    stop: Any
    wait: Any
    before_sleep: Any
    reraise: bool


def target_of(address: str) -> str:
    """The target of a channel: the address, with a port if it has none."""
    if _HAS_SCHEME.match(address):
        return address
    try:
        is_ipv6 = ipaddress.ip_address(address).version == 6
    except ValueError:
        is_ipv6 = False
    if is_ipv6:
        return f"[{address}]:{PORT}"
    return address if re.search(r":\d*$", address) else f"{address}:{PORT}"


def retries(retry_seconds: float) -> Retries:
    """Pauses from a tenth of a second to five, with jitter, or as long as the service asks to wait,
    until the time is over."""
    return Retries(
        retry=tenacity.retry_if_exception(is_retryable),
        stop=lambda state: (state.seconds_since_start or 0) + _asked(state) >= retry_seconds,
        wait=_pause,
        before_sleep=_log_retry,
        reraise=True,
    )


_backoff: Final = tenacity.wait_exponential(multiplier=0.1, max=4) + tenacity.wait_random(0, 1)


def _pause(state: tenacity.RetryCallState) -> float:
    # Those who are asked to wait together should not come back together.
    return max(_backoff(state), _asked(state) * random.uniform(1, 1.1))  # noqa: S311


def _asked(state: tenacity.RetryCallState) -> float:
    """The time that the service asks to wait; 0 if it does not say."""
    error = state.outcome.exception() if state.outcome is not None else None
    return details_of(status_of(error)).retry_seconds if isinstance(error, grpc.RpcError) else 0


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, grpc.RpcError):
        _log.warning(
            "try %d failed, the next one follows in %.1f seconds: %s",
            state.attempt_number,
            state.upcoming_sleep,
            call_error(error),
        )
