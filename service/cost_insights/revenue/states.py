"""States of checkouts and seats: the latest state of each counts.

Nothing but whole states is said of them, so that the latest one is all that is kept.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

import sqlalchemy as sa

from cost_insights.identity import Organization
from cost_insights.revenue.ids import state_id
from cost_insights.revenue.records import CHECKOUT_STATUSES, NewCheckout, NewSeat
from cost_insights.revenue.tables import (
    Row,
    id_column,
    replace_states,
    row_of,
    stored_by_id,
)
from cost_insights.store.schema import checkout, seat

_NOT_STATED = frozenset({"organization_number", "customer_number", "state_id"})
"""The columns of a row that are not part of its state."""

_NEVER_US = -(2**63)


class StateOutcome(Enum):
    """The outcome of one state of a request."""

    INSERTED = auto()
    """The state is the first of its id."""

    UPDATED = auto()
    """The state replaces an earlier one."""

    UNCHANGED = auto()
    """The state is stored already, as the latest."""

    OUTDATED = auto()
    """A later state is stored already."""


def state_row(
    table: sa.Table,
    organization: Organization,
    said: NewCheckout | NewSeat,
    customer_number: int,
    external_customer_id: str | None,
) -> Row:
    """The row of a state in the table of its kind."""
    row = row_of(table, said, organization, customer_number=customer_number, state_id="")
    stated = [value for name, value in row.items() if name not in _NOT_STATED]
    return {**row, "state_id": state_id(external_customer_id, stated)}


def record_checkouts(
    connection: sa.Connection, organization: Organization, states: Sequence[Row]
) -> list[StateOutcome]:
    """Records states of checkouts.

    The transaction must hold the row of the organization, here and below.
    """
    return _record(connection, organization, checkout, states, _checkout_place)


def record_seats(
    connection: sa.Connection, organization: Organization, states: Sequence[Row]
) -> list[StateOutcome]:
    """Records states of seats."""
    return _record(connection, organization, seat, states, _seat_place)


def _record(
    connection: sa.Connection,
    organization: Organization,
    table: sa.Table,
    states: Sequence[Row],
    place: Callable[[Row], tuple[Any, ...]],
) -> list[StateOutcome]:
    """Records states; the one with the greatest place counts for each id."""
    id_name = id_column(table).name
    stored = stored_by_id(connection, organization, table, {state[id_name] for state in states})
    latest = dict(stored)
    outcomes: list[StateOutcome] = []
    for state in states:
        known = latest.setdefault(state[id_name], state)
        if known is state:
            outcomes.append(StateOutcome.INSERTED)
        elif known["state_id"] == state["state_id"]:
            outcomes.append(StateOutcome.UNCHANGED)
        elif place(state) > place(known):
            latest[state[id_name]] = state
            outcomes.append(StateOutcome.UPDATED)
        else:
            outcomes.append(StateOutcome.OUTDATED)
    changed = [state for one, state in latest.items() if state is not stored.get(one)]
    replace_states(connection, organization, table, changed)
    return outcomes


def _checkout_place(state: Row) -> tuple[Any, ...]:
    return state["update_us"], CHECKOUT_STATUSES.index(state["status"]), state["state_id"]


def _seat_place(state: Row) -> tuple[Any, ...]:
    return (
        state["update_us"],
        *(
            _NEVER_US if state[name] is None else state[name]
            for name in ("revoked_us", "claimed_us")
        ),
        state["state_id"],
    )
