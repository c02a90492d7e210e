"""The time of the stored events of an organization."""

from typing import Final, NamedTuple

import sqlalchemy as sa

from cost_insights.cells.kinds import QUARTER_US
from cost_insights.store import Store
from cost_insights.store.schema import event, organization, series


class EventSpan(NamedTuple):
    """The time from the oldest event to the newest one."""

    oldest_us: int
    newest_us: int
    pruned_before_us: int | None
    """A time before which events were pruned, at the beginning of a quarter of an hour; those
    that came late are still there, but cells count the pruned ones too."""

    @property
    def first_quarter(self) -> int:
        """The first quarter of an hour since 1970 of which cells count what is stored."""
        first = self.oldest_us // QUARTER_US
        if self.pruned_before_us is None:
            return first
        return max(first, self.pruned_before_us // QUARTER_US)

    @property
    def end_quarter(self) -> int:
        """The quarter of an hour after that of the newest event."""
        return self.newest_us // QUARTER_US + 1


def event_span(connection: sa.Connection, organization_number: int) -> EventSpan | None:
    """The time of the stored events; None if there are none."""
    row = connection.execute(_SELECT_SPAN, {"organization": organization_number}).one()
    return None if row[0] is None else EventSpan(*row)


def any_event(store: Store) -> bool:
    """Whether the database holds or ever held an event of any organization."""
    with store.read() as connection:
        return connection.execute(sa.select(series.c.number).limit(1)).first() is not None


def _select_span() -> sa.Select[int, int, int | None]:
    number = sa.bindparam("organization", type_=sa.Integer)
    # Two look-ups in the index: of a minimum and a maximum at once, SQLite would read it all.
    oldest_us, newest_us = (
        sa.select(event.c.timestamp_us)
        .where(event.c.organization_number == number)
        .order_by(order)
        .limit(1)
        .scalar_subquery()
        for order in (event.c.timestamp_us, event.c.timestamp_us.desc())
    )
    return sa.select(oldest_us, newest_us, organization.c.events_from_us).where(
        organization.c.number == number
    )


_SELECT_SPAN: Final = _select_span()
