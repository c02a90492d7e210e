"""The events that one transaction stores, in the forms that databases take in."""

from collections.abc import Sequence
from typing import Final, final

from cost_insights._native.events import EventBatch

__all__ = [
    "EVENT_COLUMNS",
    "EVENT_COLUMN_TYPES",
    "Commit",
    "NumberCache",
    "Receipt",
]

@final
class NumberCache:
    """Numbers of customers and series that never change, by organization.

    Its size is bounded whatever callers send: the least recently used numbers are forgotten.
    Several threads may use it.
    """

    def __new__(cls, bytes_max: int) -> NumberCache: ...
    def known(
        self, organization_number: int, batch: EventBatch
    ) -> tuple[list[int | None], list[int | None], list[int | None]]:
        """The numbers of the batch's `external_customer_ids`, of its `customer_ids`
        and of its `series`; None for each that is not known."""
    def commit_of(self, batches: Sequence[tuple[EventBatch, int]]) -> Commit | None:
        """A commit of these batches, each with the number of its organization; None if
        any other number is unknown, or if a batch has `uncertain_parents`."""
    def add(
        self,
        organization_number: int,
        external_customers: dict[str, int],
        customers: dict[bytes, int],
        series: dict[tuple[str, str, str, str], int],
    ) -> None:
        """Adds numbers; they must be committed already."""

@final
class Receipt:
    """The outcome of the events of one batch."""

    @property
    def inserted(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def conflicts(self) -> list[tuple[int, str, bytes]]:
        """The events whose external id is taken by other content, each as (index in the
        request, external id, id of the stored event)."""

@final
class Commit:
    """The batches that one transaction stores.

    If several events of a commit have one id, the first is kept; each later one is a
    duplicate if its content is the same, else a conflict.
    """

    def __new__(
        cls,
        members: Sequence[tuple[EventBatch, int, Sequence[int], Sequence[int]]],
        known_parents: Sequence[tuple[int, bytes]] = (),
    ) -> Commit:
        """Each member is (batch, organization number, customer numbers, series
        numbers), the numbers in the order of the batch's lists. `known_parents`
        are the `uncertain_parents` that are ids of events, each after the number of
        the organization that both belong to; the others are read as external ids."""
    def __len__(self) -> int:
        """The number of events that are left to insert."""
    def keyed_ids(self) -> list[bytes]:
        """The ids of the events left to insert that have an external id: only they
        can be stored already."""
    def set_aside(self, stored: Sequence[tuple[bytes, int]]) -> None:
        """Takes out the events that are stored already, given as (id, content
        digest): those with the same digest are duplicates, the others conflicts."""
    def copy_payload(self) -> bytes:
        """The events left to insert as a PostgreSQL binary COPY, header and trailer
        included, in the order of `EVENT_COLUMNS`."""
    def arrays(self) -> list[bytes]:
        """The events left to insert as PostgreSQL's binary arrays, one per column."""
    def rows(self) -> list[tuple[object, ...]]:
        """The events left to insert as rows for SQLite, in the order of `EVENT_COLUMNS`."""
    def cells(self) -> list[tuple[int, bytes, bytes | None]]:
        """The packed cells of the events left to insert, by organization number: the sums
        of each customer, quarter of an hour and series, and those of their tokens, or None
        where there are none."""
    def receipts(self) -> list[Receipt]:
        """The receipt of each member, provided that the events left to insert are inserted."""

EVENT_COLUMNS: Final[tuple[str, ...]]
"""The names of the columns of `copy_payload`, `arrays` and `rows`. `timestamp_us` counts
microseconds since 1970, `llm` is a JSON object of token counts, prompt and response. The
cost, the parent, the external ids and `llm` may be null."""

EVENT_COLUMN_TYPES: Final[tuple[str, ...]]
"""The types of `EVENT_COLUMNS` in PostgreSQL, such as `int4`."""
