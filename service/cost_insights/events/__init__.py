"""Events as they are stored."""

from cost_insights.events.reader import (
    EventName,
    EventQuestion,
    EventReader,
    StoredEvent,
    any_event,
)

__all__ = ["EventName", "EventQuestion", "EventReader", "StoredEvent", "any_event"]
