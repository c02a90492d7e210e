"""Cells: exact sums beside the events, in batches and in segments."""

from cost_insights.cells.batches import Pending, pending_batches
from cost_insights.cells.cache import CellCache
from cost_insights.cells.compaction import compact
from cost_insights.cells.kinds import Kind, Needed
from cost_insights.cells.reading import (
    CellReader,
    CellsTooLargeError,
    CustomerRange,
    StoredCells,
    customer_ranges,
)

__all__ = [
    "CellCache",
    "CellReader",
    "CellsTooLargeError",
    "CustomerRange",
    "Kind",
    "Needed",
    "Pending",
    "StoredCells",
    "compact",
    "customer_ranges",
    "pending_batches",
]
