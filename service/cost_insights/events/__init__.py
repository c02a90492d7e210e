"""Events as they are stored."""

from cost_insights.events.reader import EventName, EventQuestion, EventReader, StoredEvent

__all__ = ["EventName", "EventQuestion", "EventReader", "StoredEvent"]
