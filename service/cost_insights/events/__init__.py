"""Events: storing many in one commit, reading one or a page of them, and pruning."""

from cost_insights.events.filter import EventFilter
from cost_insights.events.ingestor import Ingestor, IngestResult
from cost_insights.events.insertion import Outcome, Prepared, Submission
from cost_insights.events.prune import count_events_before, limit_boundary, prune_events
from cost_insights.events.reader import (
    EventName,
    EventQuestion,
    EventReader,
    StoredEvent,
    any_event,
)
from cost_insights.events.stream import Acknowledgement, EventStream
from cost_insights.events.writer import EventWriter

__all__ = [
    "Acknowledgement",
    "EventFilter",
    "EventName",
    "EventQuestion",
    "EventReader",
    "EventStream",
    "EventWriter",
    "IngestResult",
    "Ingestor",
    "Outcome",
    "Prepared",
    "StoredEvent",
    "Submission",
    "any_event",
    "count_events_before",
    "limit_boundary",
    "prune_events",
]
