"""Events: storing many in one commit, reading one or a page of them, and pruning."""

from cost_insights.events.conditions import (
    ALWAYS,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Operator,
    member_is_any_of,
)
from cost_insights.events.filter import EventFilter
from cost_insights.events.ingestor import Ingestor, IngestResult
from cost_insights.events.insertion import Outcome, Prepared, Submission
from cost_insights.events.names import EventName, EventNameReader, NameSearch
from cost_insights.events.prune import count_events_before, limit_boundary, prune_events
from cost_insights.events.rows import StoredEvent
from cost_insights.events.search import (
    EventPage,
    EventSearch,
    EventSearcher,
    PageCursor,
    PageNumber,
    id_of_event,
)
from cost_insights.events.span import any_event
from cost_insights.events.stream import EventStream
from cost_insights.events.types import (
    EventType,
    EventTypes,
    TypeChange,
    TypeSearch,
    event_label,
    event_type_id,
)
from cost_insights.events.writer import EventWriter

__all__ = [
    "ALWAYS",
    "AllOf",
    "AnyOf",
    "Comparison",
    "Condition",
    "EventFilter",
    "EventName",
    "EventNameReader",
    "EventPage",
    "EventSearch",
    "EventSearcher",
    "EventStream",
    "EventType",
    "EventTypes",
    "EventWriter",
    "IngestResult",
    "Ingestor",
    "NameSearch",
    "Operator",
    "Outcome",
    "PageCursor",
    "PageNumber",
    "Prepared",
    "StoredEvent",
    "Submission",
    "TypeChange",
    "TypeSearch",
    "any_event",
    "count_events_before",
    "event_label",
    "event_type_id",
    "id_of_event",
    "limit_boundary",
    "member_is_any_of",
    "prune_events",
]
