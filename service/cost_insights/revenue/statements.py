"""Statements of a subscription, and what they are together.

`RecordSubscriptions` states everything about a subscription at a time,
`subscription.created` how it started, and each other system event what it changed.
They come in any order, in any requests, and the subscription is always what the
statements so far say: the state of the latest time or, without one, the start, and
then the changes in the order of their times. A change that the state is later than
changes nothing, because the state knows it.
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
"""The columns of a subscription that statements say, beside the customer; what one does not
say is null in it."""

_GOES_ON = ("uncanceled_us", "ends_us", "ended_us")

_CHANGED: Mapping[str, tuple[str, ...]] = {
    "subscription.product_updated": ("product_id",),
    "subscription.cycled": (),
    "subscription.uncanceled": _GOES_ON,
    "subscription.reinstated": _GOES_ON,
    "subscription.canceled": ("canceled_us", "cancel_reason", "ends_us"),
    "subscription.revoked": ("ended_us",),
}
"""The columns that each change sets, in the order in which changes of one time count: a
cancellation is taken back only by what is later."""

_RANKS = {kind: rank for rank, kind in enumerate(_CHANGED)}

KINDS: Final = (STATE, CREATED, *_CHANGED)
"""What a statement is: a state, or the name of the event that it came by."""

_NEVER_US: Final = -(2**63)

_COLUMNS = subscription_statement.c

LATEST_FIRST: Final = (
    _COLUMNS.time_us.desc(),
    sa.func.coalesce(_COLUMNS.ended_us, _NEVER_US).desc(),
    sa.func.coalesce(_COLUMNS.ends_us, _NEVER_US).desc(),
    _COLUMNS.statement_id.desc(),
)
"""The order of statements of one kind: of one time the one that says an end counts, and then
always the same one, whichever came first."""

Latest = dict[str, Row]
"""The latest statement of each kind of one subscription. No others matter: those of a
kind set the same columns."""


def state_of(
    organization: Organization,
    kind: str,
    said: NewSubscription,
    customer_number: int,
    external_customer_id: str,
) -> Row:
    """The row of a statement that says everything: a state, or a start."""
    stated = {name: getattr(said, name) for name in _STATED}
    row = _row(
        organization, (said.subscription_id, kind, said.update_us), stated, external_customer_id
    )
    return {**row, "customer_number": customer_number}


def change_of(organization: Organization, said: SubscriptionChange) -> Row:
    """The row of a statement that says what an event changed."""
    return _row(organization, (said.subscription_id, said.kind, said.time_us), said.columns, None)


def is_later(statement: Row, other: Row) -> bool:
    """Whether a statement counts, of two of one kind; of one time always the same one does."""
    return _place(statement) > _place(other)


def keep_latest(latest: Latest, statement: Row) -> None:
    """Adds a statement to those of its subscription."""
    known = latest.setdefault(statement["kind"], statement)
    if is_later(statement, known):
        latest[statement["kind"]] = statement


def start_of(latest: Latest) -> Row | None:
    """The statement that changes start from, if there is one yet."""
    return latest.get(STATE) or latest.get(CREATED)


def says_the_same(statement: Row, other: Row) -> bool:
    """Whether two statements say the same of the same time, whatever they came by."""
    names = ("time_us", "customer_number", *_STATED)
    return all(statement[name] == other[name] for name in names)


def subscription_of(latest: Latest) -> Row | None:
    """The row of the subscription that these statements make; None until its start is known."""
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
    """Like `LATEST_FIRST`, turned round."""
    ends = (statement[name] for name in ("ended_us", "ends_us"))
    ended_us, ends_us = (_NEVER_US if time_us is None else time_us for time_us in ends)
    return statement["time_us"], ended_us, ends_us, statement["statement_id"]
