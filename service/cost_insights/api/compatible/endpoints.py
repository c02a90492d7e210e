"""The endpoints of the compatible API: one table of methods, paths and scopes."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from cost_insights.identity import Caller
from cost_insights.identity.scopes import (
    EVENTS_READ,
    EVENTS_WRITE,
    METRICS_READ,
    METRICS_WRITE,
    REVENUE_WRITE,
)


class CompatibleRequest(NamedTuple):
    """A request, taken apart but not checked."""

    path: Mapping[str, Any]
    """The variable parts of the path, by name."""

    query: Sequence[tuple[str, str]]
    """The parameters of the query, in order; a name may be repeated."""

    body: bytes
    """JSON, or nothing where the endpoint has no body."""


class CompatibleAnswer(NamedTuple):
    """An answer that is not an error."""

    content: str
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = MappingProxyType({})


CompatibleCall = Callable[[Caller, CompatibleRequest], Awaitable[CompatibleAnswer]]
"""Takes (caller, request) and returns an answer."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: a method, a path, and the scopes that allow it."""

    name: str
    """The name of the call, such as `events.ingest`."""

    method: str
    path: str
    """The path with `{…}` for its variable parts; collections end with a slash."""

    scopes: frozenset[str]
    """The scopes that allow the call; a caller needs one of them."""

    @property
    def path_parts(self) -> Sequence[str]:
        """The names of the variable parts of the path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def has_body(self) -> bool:
        """Whether requests have a body."""
        return self.method in {"POST", "PATCH", "PUT"}

    @property
    def ingests(self) -> bool:
        """Whether each call stores events."""
        return self.name == "events.ingest"


_READS_EVENTS = frozenset({EVENTS_READ, EVENTS_WRITE})
_WRITES_EVENTS = frozenset({EVENTS_WRITE})
_READS_METRICS = frozenset({METRICS_READ})
_WRITES_METRICS = frozenset({METRICS_WRITE})
_READS_CUSTOMERS = frozenset({EVENTS_READ, EVENTS_WRITE, METRICS_READ})

ENDPOINTS: Sequence[Endpoint] = (
    # The first scope is for events, the second for system events.
    Endpoint(
        "events.ingest", "POST", "/v1/events/ingest", frozenset({EVENTS_WRITE, REVENUE_WRITE})
    ),
    Endpoint("events.list", "GET", "/v1/events/", _READS_EVENTS),
    Endpoint("events.names", "GET", "/v1/events/names", _READS_EVENTS),
    Endpoint("events.get", "GET", "/v1/events/{id}", _READS_EVENTS),
    Endpoint("metrics.get", "GET", "/v1/metrics/", _READS_METRICS),
    Endpoint("metrics.limits", "GET", "/v1/metrics/limits", _READS_METRICS),
    Endpoint("metrics.export", "GET", "/v1/metrics/export", _READS_METRICS),
    Endpoint("event_types.list", "GET", "/v1/event-types/", _READS_EVENTS),
    Endpoint("event_types.change", "PATCH", "/v1/event-types/{id}", _WRITES_EVENTS),
    Endpoint("dashboards.list", "GET", "/v1/metrics/dashboards", _READS_METRICS),
    Endpoint("dashboards.create", "POST", "/v1/metrics/dashboards", _WRITES_METRICS),
    Endpoint("dashboards.get", "GET", "/v1/metrics/dashboards/{id}", _READS_METRICS),
    Endpoint("dashboards.change", "PATCH", "/v1/metrics/dashboards/{id}", _WRITES_METRICS),
    Endpoint("dashboards.delete", "DELETE", "/v1/metrics/dashboards/{id}", _WRITES_METRICS),
    # Events and metrics need only the customers that events name, so their scopes allow it.
    Endpoint("customers.list", "GET", "/v1/customers/", _READS_CUSTOMERS),
    Endpoint("customers.create", "POST", "/v1/customers/", _WRITES_EVENTS),
    Endpoint(
        "customers.get_external",
        "GET",
        "/v1/customers/external/{external_id}",
        _READS_CUSTOMERS,
    ),
    Endpoint("customers.get", "GET", "/v1/customers/{id}", _READS_CUSTOMERS),
)
"""Every endpoint. Where two paths take the same request, the first one answers."""
