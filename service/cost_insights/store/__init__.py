"""The database, on SQLite or PostgreSQL: transactions, and the schema."""

from cost_insights.store.chunks import chunks
from cost_insights.store.deadline import Deadline
from cost_insights.store.dialect import PoolerError, ServedElsewhereError
from cost_insights.store.store import SchemaError, Store, parse_url

__all__ = [
    "Deadline",
    "PoolerError",
    "SchemaError",
    "ServedElsewhereError",
    "Store",
    "chunks",
    "parse_url",
]
