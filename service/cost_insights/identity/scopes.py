"""Scopes: what an access token allows. `api.operations` says which operation needs which."""

EVENTS_READ = "events:read"
EVENTS_WRITE = "events:write"
METRICS_READ = "metrics:read"
METRICS_WRITE = "metrics:write"
REVENUE_READ = "revenue:read"
REVENUE_WRITE = "revenue:write"

SCOPES = frozenset(
    {EVENTS_READ, EVENTS_WRITE, METRICS_READ, METRICS_WRITE, REVENUE_READ, REVENUE_WRITE}
)
"""Every scope that a token can have."""
