"""Statements about subscriptions, and the subscription that follows from them.

`RecordSubscriptions` states everything about a subscription at a time, `subscription.created`
states how it started, and each other system event states what it changed. Statements arrive in any
order, in any requests. The subscription always follows from the statements so far: it is the state
of the latest time or, without a state, the start, and then the changes in the order of their times.
A change that is older than the state has no effect, because the state already includes it.
"""

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from cost_insights.identity import Organization
from cost_insights.revenue.ids import statement_id
from cost_insights.revenue.records import NewSubscription, SubscriptionChange
from cost_insights.revenue.tables import Row
from cost_insights.store.schema import subscription_statement

STATE: Final = "state"
CREATED: Final = "subscription.created"

_STATED = (
    "product_id",
    "currency",
    "amount_picocents",
    "recurring_interval",
    "recurring_interval_count",
    "started_us",
    "trial_end_us",
    "canceled_us",
    "cancel_reason",
    "uncanceled_us",
    "ends_us",
    "ended_us",
)
"""The columns of a subscription that a statement may set, beside the customer; a column that it
does not set is null."""

_GOES_ON = ("uncanceled_us", "ends_us", "ended_us")

_CHANGED: Mapping[str, tuple[str, ...]] = {
    "subscription.product_updated": ("product_id",),
    "subscription.cycled": (),
    "subscription.uncanceled": _GOES_ON,
    "subscription.reinstated": _GOES_ON,
    "subscription.canceled": ("canceled_us", "cancel_reason", "ends_us"),
    "subscription.revoked": ("ended_us",),
}
"""The columns that each kind of change sets. The kinds are in the order in which changes of the
same time apply, so that a cancellation is only taken back by a later change."""

_RANKS = {kind: rank for rank, kind in enumerate(_CHANGED)}

KINDS: Final = (STATE, CREATED, *_CHANGED)
"""The kinds of statements: a state, or the name of the event that made the statement."""

_NEVER_US: Final = -(2**63)

_COLUMNS = subscription_statement.c

LATEST_FIRST: Final = (
    _COLUMNS.time_us.desc(),
    sa.func.coalesce(_COLUMNS.ended_us, _NEVER_US).desc(),
    sa.func.coalesce(_COLUMNS.ends_us, _NEVER_US).desc(),
    _COLUMNS.statement_id.desc(),
)
"""The order of statements of one kind. Of two with the same time the one with an end comes first,
and the ids decide between the rest, so that the order does not depend on which arrived first."""

Latest = dict[str, Row]
"""The latest statement of each kind of one subscription. Earlier ones have no effect, because
statements of one kind set the same columns."""


def state_of(
    organization: Organization,
    kind: str,
    said: NewSubscription,
    customer_number: int,
    external_customer_id: str,
) -> Row:
    """The row of a complete statement: a state, or a start."""
    stated = {name: getattr(said, name) for name in _STATED}
    row = _row(
        organization, (said.subscription_id, kind, said.update_us), stated, external_customer_id
    )
    return {**row, "customer_number": customer_number}


def change_of(organization: Organization, said: SubscriptionChange) -> Row:
    """The row of a statement about what an event changed."""
    return _row(organization, (said.subscription_id, said.kind, said.time_us), said.columns, None)


def is_later(statement: Row, other: Row) -> bool:
    """Whether a statement replaces another one of its kind; see `LATEST_FIRST`."""
    return _place(statement) > _place(other)


def keep_latest(latest: Latest, statement: Row) -> None:
    """Adds a statement to those of its subscription, unless a later one of its kind is known."""
    known = latest.setdefault(statement["kind"], statement)
    if is_later(statement, known):
        latest[statement["kind"]] = statement


def start_of(latest: Latest) -> Row | None:
    """The statement that changes apply to, if there is one yet."""
    return latest.get(STATE) or latest.get(CREATED)


def says_the_same(statement: Row, other: Row) -> bool:
    """Whether two statements have the same time, customer and columns, whatever their kind."""
    names = ("time_us", "customer_number", *_STATED)
    return all(statement[name] == other[name] for name in names)


def subscription_of(latest: Latest) -> Row | None:
    """The row of the subscription that follows from its statements; None without a start."""
    start = start_of(latest)
    if start is None:
        return None
    changes = [
        latest[kind]
        for kind in _CHANGED
        # A start knows nothing but the start, whatever time its event has.
        if kind in latest
        and (start["kind"] == CREATED or latest[kind]["time_us"] >= start["time_us"])
    ]
    changes.sort(key=lambda change: (change["time_us"], _RANKS[change["kind"]]))
    stated = {name: start[name] for name in ("customer_number", *_STATED)}
    for change in changes:
        stated |= {name: change[name] for name in _CHANGED[change["kind"]]}
    return {
        "organization_number": start["organization_number"],
        "subscription_id": start["subscription_id"],
        **stated,
        "update_us": max(one["time_us"] for one in (start, *changes)),
    }


def _row(
    organization: Organization,
    what: tuple[str, str, int],
    columns: Mapping[str, str | int | None],
    external_customer_id: str | None,
) -> Row:
    """The row of a statement; `what` is the subscription, the kind and the time."""
    stated = {name: columns.get(name) for name in _STATED}
    subscription_id, kind, time_us = what
    return {
        "organization_number": organization.number,
        "statement_id": statement_id(
            subscription_id=subscription_id,
            kind=kind,
            time_us=time_us,
            external_customer_id=external_customer_id,
            stated=stated.values(),
        ),
        "subscription_id": subscription_id,
        "kind": kind,
        "time_us": time_us,
        "customer_number": None,
        **stated,
    }


def _place(statement: Row) -> tuple[int, int, int, str]:
    """The sort key of a statement; the greatest comes first in `LATEST_FIRST`."""
    ends = (statement[name] for name in ("ended_us", "ends_us"))
    ended_us, ends_us = (_NEVER_US if time_us is None else time_us for time_us in ends)
    return statement["time_us"], ended_us, ends_us, statement["statement_id"]
