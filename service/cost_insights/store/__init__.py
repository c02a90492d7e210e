"""What is kept, on SQLite or PostgreSQL."""

from cost_insights.store.filters import EventFilter, parse_uuid
from cost_insights.store.store import Store
from cost_insights.store.writer import Outcome, Prepared, Submission

__all__ = ["EventFilter", "Outcome", "Prepared", "Store", "Submission", "parse_uuid"]
