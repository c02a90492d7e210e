"""What is kept, on SQLite or PostgreSQL."""

from cost_insights.store.deadline import Deadline
from cost_insights.store.filters import EventFilter, parse_uuid
from cost_insights.store.store import Store
from cost_insights.store.writer import Outcome, Submission

__all__ = ["Deadline", "EventFilter", "Outcome", "Store", "Submission", "parse_uuid"]
