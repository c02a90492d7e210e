"""The calls of the compatible API, by the names of their endpoints."""

from collections.abc import Mapping

from cost_insights.api.compatible.endpoints import CompatibleCall
from cost_insights.api.compatible.events import event_calls
from cost_insights.api.compatible.metrics import metrics_calls
from cost_insights.api.operations import BytesCall
from cost_insights.api.work import Work
from cost_insights.events import EventReader
from cost_insights.metrics import MetricsReader


def compatible_calls(
    ingest_events: BytesCall, events: EventReader, metrics: MetricsReader, work: Work
) -> Mapping[str, CompatibleCall]:
    """The implementation of every endpoint."""
    return {
        **event_calls(ingest_events, events, work),
        **metrics_calls(metrics, work),
    }
