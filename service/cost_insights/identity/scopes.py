"""Scopes: what an access token allows, and the one table of which call needs which."""

from collections.abc import Mapping

EVENTS_READ = "events:read"
EVENTS_WRITE = "events:write"
METRICS_READ = "metrics:read"
REVENUE_READ = "revenue:read"
REVENUE_WRITE = "revenue:write"

SCOPES = frozenset({EVENTS_READ, EVENTS_WRITE, METRICS_READ, REVENUE_READ, REVENUE_WRITE})
"""Every scope that a token can have."""

NEEDED: Mapping[str, frozenset[str]] = {
    # The first for events, the second for system events.
    "/cost_insights.v1.EventService/IngestEvents": frozenset({EVENTS_WRITE, REVENUE_WRITE}),
    "/cost_insights.v1.EventService/StreamEvents": frozenset({EVENTS_WRITE}),
    "/cost_insights.v1.EventService/ListEvents": frozenset({EVENTS_READ, EVENTS_WRITE}),
    "/cost_insights.v1.EventService/GetEvent": frozenset({EVENTS_READ, EVENTS_WRITE}),
    "/cost_insights.v1.EventService/ListEventNames": frozenset({EVENTS_READ, EVENTS_WRITE}),
    "/cost_insights.v1.MetricsService/GetMetrics": frozenset({METRICS_READ}),
    "/cost_insights.v1.MetricsService/ExportMetrics": frozenset({METRICS_READ}),
    "/cost_insights.v1.MetricsService/GetMetricsLimits": frozenset({METRICS_READ}),
    "/cost_insights.v1.RevenueService/RecordOrders": frozenset({REVENUE_WRITE}),
    "/cost_insights.v1.RevenueService/RecordRefunds": frozenset({REVENUE_WRITE}),
    "/cost_insights.v1.RevenueService/RecordSubscriptions": frozenset({REVENUE_WRITE}),
    "/cost_insights.v1.RevenueService/ListOrders": frozenset({REVENUE_READ}),
    "/cost_insights.v1.RevenueService/ListRefunds": frozenset({REVENUE_READ}),
    "/cost_insights.v1.RevenueService/ListSubscriptions": frozenset({REVENUE_READ}),
}
"""For each method the scopes of which a caller needs one. A method that is not
in it cannot be served. Health and reflection tell nothing of any organization
and need no token."""
