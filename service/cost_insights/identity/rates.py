"""Rates: how many requests and events a second may come with a token, and from an organization.

Each limit is a generic cell rate algorithm (GCRA), a token bucket that is one number: the time at
which what was taken is paid for. A bucket that is not empty gives whatever is asked for, and what
that was too much is paid for before anything else is given: so a batch of any size can be sent
under any limit, and the average is exact.
"""

import time
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from cost_insights.errors import RateLimitedError
from cost_insights.identity.shared_times import SharedTimes

RATE_MAX: Final = 1_000_000_000
"""The greatest rate that a limit can have."""

_SECOND_NS: Final = 1_000_000_000

EVENTS: Final = "events_per_second"
REQUESTS: Final = "requests_per_second"


@dataclass(frozen=True)
class Owner:
    """The organization or the access token that a limit belongs to."""

    kind: str
    """`organization` or `access_token`."""

    id: bytes
    name: str
    """The name of the organization, or the id of the token."""

    organization: str
    """The name of the organization."""


@dataclass(frozen=True)
class RateLimits:
    """The rates of an organization or of a token; None and 0 are no limit."""

    events_per_second: int | None = None
    requests_per_second: int | None = None


NO_LIMITS: Final = RateLimits()


class Bucket:
    """One limit and what was taken of it."""

    __slots__ = ("__weakref__", "burst_ns", "limit", "owner", "paid_ns", "per_second", "place")

    def __init__(
        self,
        owner: Owner,
        limit: str,
        per_second: int,
        *,
        burst_ns: int,
        paid_ns: MutableSequence[int],
        place: int,
    ) -> None:
        self.owner = owner
        self.limit = limit
        self.per_second = per_second
        self.burst_ns = burst_ns
        self.paid_ns = paid_ns
        """At `place`, the time at which all that was taken will be paid for."""

        self.place = place

    def wait_ns(self, now_ns: int) -> int:
        """The time until something can be taken, not above 0 if it can be now."""
        return self.paid_ns[self.place] - self.burst_ns - now_ns + 1


@dataclass(frozen=True, slots=True)
class Rates:
    """The limits of a caller, those of its token and those of its organization."""

    requests: tuple[Bucket, ...] = ()
    events: tuple[Bucket, ...] = ()

    def take_request(self) -> None:
        """Counts a request; raises RateLimitedError if there were too many."""
        if self.requests:
            _take(self.requests, 1)

    def take_events(self, count: int) -> None:
        """Counts events, all of them or none; raises RateLimitedError if there were too many."""
        if self.events and count:
            _take(self.events, count)

    def check_events(self) -> None:
        """Raises RateLimitedError if no event can be taken at present."""
        if self.events:
            _check(self.events, time.monotonic_ns())


UNLIMITED: Final = Rates()
"""The rates of a caller without limits."""


def _check(buckets: tuple[Bucket, ...], now_ns: int) -> None:
    for bucket in buckets:
        if bucket.paid_ns[bucket.place] - now_ns >= bucket.burst_ns:
            raise _error(buckets, now_ns)


def _take(buckets: tuple[Bucket, ...], count: int) -> None:
    now_ns = time.monotonic_ns()
    _check(buckets, now_ns)
    cost = count * _SECOND_NS
    for bucket in buckets:
        paid_ns = bucket.paid_ns[bucket.place]
        since_ns = paid_ns if paid_ns > now_ns else now_ns  # noqa: FURB136 - max takes longer
        bucket.paid_ns[bucket.place] = since_ns + cost // bucket.per_second


def _error(buckets: tuple[Bucket, ...], now_ns: int) -> RateLimitedError:
    """The error for the limit that takes longest, so that nobody waits twice."""
    longest = max(buckets, key=lambda bucket: bucket.wait_ns(now_ns))
    return RateLimitedError(
        limit=longest.limit,
        per_second=longest.per_second,
        owner_kind=longest.owner.kind,
        owner=longest.owner.name,
        organization=longest.owner.organization,
        wait_ms=-(-longest.wait_ns(now_ns) // 1_000_000),
    )


class Buckets:
    """The buckets of a process; those of owners whom nobody remembers are forgotten."""

    def __init__(
        self, defaults: RateLimits, *, burst_seconds: float, shared: SharedTimes | None = None
    ) -> None:
        """`defaults` are for organizations without limits of their own; `shared` holds what other
        processes take of the same limits."""
        self._defaults = defaults
        self._burst_ns = round(burst_seconds * _SECOND_NS)
        self._shared = shared
        self._buckets: WeakValueDictionary[str, Bucket] = WeakValueDictionary()

    def rates(
        self,
        organization: Owner,
        of_organization: RateLimits,
        token: Owner | None = None,
        of_token: RateLimits | None = None,
    ) -> Rates:
        """The rates of a caller."""

        def buckets(limit: str, read: Callable[[RateLimits], int | None]) -> tuple[Bucket, ...]:
            own = read(of_organization)
            limits = [(organization, read(self._defaults) if own is None else own)]
            if token is not None and of_token is not None:
                limits.append((token, read(of_token)))
            return tuple(
                self._bucket(owner, limit, per_second) for owner, per_second in limits if per_second
            )

        requests = buckets(REQUESTS, lambda limits: limits.requests_per_second)
        events = buckets(EVENTS, lambda limits: limits.events_per_second)
        return Rates(requests, events) if requests or events else UNLIMITED

    def _bucket(self, owner: Owner, limit: str, per_second: int) -> Bucket:
        # A limit that changes begins with nothing taken: what was taken of the former one may be
        # more than the new one gives for long.
        key = f"{limit} {per_second} {owner.kind} {owner.id.hex()}"
        bucket = self._buckets.get(key)
        if bucket is None:
            paid_ns: MutableSequence[int] = [0]
            place = 0
            if self._shared is not None and (found := self._shared.place(key)) is not None:
                paid_ns, place = self._shared.times, found
            bucket = self._buckets[key] = Bucket(
                owner, limit, per_second, burst_ns=self._burst_ns, paid_ns=paid_ns, place=place
            )
        return bucket
