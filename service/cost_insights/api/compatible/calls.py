"""The calls of the compatible API, by the names of their endpoints."""

from collections.abc import Mapping
from dataclasses import dataclass

from cost_insights.api.compatible.customers import customer_calls
from cost_insights.api.compatible.dashboards import dashboard_calls
from cost_insights.api.compatible.endpoints import CompatibleCall
from cost_insights.api.compatible.event_types import event_type_calls
from cost_insights.api.compatible.events import event_calls
from cost_insights.api.compatible.metrics import metrics_calls
from cost_insights.api.operations import BytesCall
from cost_insights.api.work import Work
from cost_insights.customers import CustomerReader
from cost_insights.events import EventSearcher, EventTypes
from cost_insights.metrics import Dashboards, MetricsReader


@dataclass(frozen=True)
class CompatibleParts:
    """The parts of the service that the endpoints call."""

    events: EventSearcher
    types: EventTypes
    customers: CustomerReader
    metrics: MetricsReader
    dashboards: Dashboards


def compatible_calls(
    ingest_events: BytesCall, parts: CompatibleParts, work: Work
) -> Mapping[str, CompatibleCall]:
    """The implementation of every endpoint."""
    return {
        **event_calls(ingest_events, parts.events, parts.types, work),
        **event_type_calls(parts.types, work),
        **customer_calls(parts.customers, work),
        **metrics_calls(parts.metrics, work),
        **dashboard_calls(parts.dashboards, work),
    }
