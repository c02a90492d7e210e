"""The database, on SQLite or PostgreSQL: transactions, and the schema."""

from cost_insights.store.chunks import chunks
from cost_insights.store.deadline import Deadline
from cost_insights.store.dialect import ServedElsewhereError
from cost_insights.store.store import SchemaError, Store, parse_url

__all__ = ["Deadline", "SchemaError", "ServedElsewhereError", "Store", "chunks", "parse_url"]
