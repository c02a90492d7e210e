"""Pruning: old events are deleted, their cells stay."""

from collections.abc import Callable

import sqlalchemy as sa

from cost_insights.store.schema import event, organization, pruned_event
from cost_insights.store.store import Store

_EVENTS_AT_ONCE = 20_000


def count_events_before(connection: sa.Connection, organization_number: int, before_us: int) -> int:
    """The number of an organization's events that are older."""
    return connection.execute(
        sa.select(sa.func.count()).where(*_older(organization_number, before_us))
    ).scalar_one()


def prune_events(
    store: Store,
    organization_number: int,
    before_us: int,
    *,
    on_pruned: Callable[[int], None] = lambda count: None,
) -> None:
    """Deletes the events of an organization that are older, in short transactions.

    `before_us` is the beginning of a quarter of an hour. Pruning may be interrupted and started
    again. `on_pruned` is called with the number of events that each transaction deleted.
    """
    # This comes first, so that writers know that an event which they do not find may be pruned.
    with store.write() as connection:
        connection.execute(
            sa.update(organization)
            .where(
                organization.c.number == organization_number,
                sa.func.coalesce(organization.c.events_from_us, before_us - 1) < before_us,
            )
            .values(events_from_us=before_us)
        )
    while pruned := _prune_some(store, organization_number, before_us):
        on_pruned(pruned)


def limit_boundary(store: Store, organization_number: int, latest_us: int) -> None:
    """Moves the boundary of pruning back to `latest_us` if it lies later."""
    with store.write() as connection:
        connection.execute(
            sa.update(organization)
            .where(
                organization.c.number == organization_number,
                organization.c.events_from_us > latest_us,
            )
            .values(events_from_us=latest_us)
        )


def _prune_some(store: Store, organization_number: int, before_us: int) -> int:
    # One snapshot: an event that comes late, between the two statements, is not deleted
    # without being kept in mind.
    with store.rewrite() as connection:
        last_us = connection.scalar(
            sa.select(event.c.timestamp_us)
            .where(*_older(organization_number, before_us))
            .order_by(event.c.timestamp_us)
            .offset(_EVENTS_AT_ONCE - 1)
            .limit(1)
        )
        older = _older(organization_number, before_us if last_us is None else last_us + 1)
        connection.execute(
            sa.insert(pruned_event).from_select(
                ["id", "content_digest"],
                # An event without a digest has an id that nobody can send again.
                sa.select(event.c.id, event.c.content_digest).where(
                    *older, event.c.content_digest != 0
                ),
            )
        )
        return connection.execute(sa.delete(event).where(*older)).rowcount


def _older(organization_number: int, before_us: int) -> tuple[sa.ColumnElement[bool], ...]:
    return event.c.organization_number == organization_number, event.c.timestamp_us < before_us
