"""What is kept, on SQLite or PostgreSQL."""

from cost_insights.store.filters import EventFilter, customer_numbers, parse_uuid
from cost_insights.store.store import Store
from cost_insights.store.writer import Outcome, Submission

__all__ = ["EventFilter", "Outcome", "Store", "Submission", "customer_numbers", "parse_uuid"]
