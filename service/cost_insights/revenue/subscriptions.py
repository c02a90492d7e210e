"""Recording statements of subscriptions, and writing the subscriptions that follow from them.

A request reads only the latest statement of each kind, however many statements a subscription has.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from cost_insights.identity import Organization
from cost_insights.revenue.statements import (
    CREATED,
    KINDS,
    LATEST_FIRST,
    STATE,
    Latest,
    is_later,
    keep_latest,
    says_the_same,
    start_of,
    subscription_of,
)
from cost_insights.revenue.states import StateOutcome
from cost_insights.revenue.tables import (
    RecordOutcome,
    Row,
    column_of,
    insert_new,
    replace_states,
    stored_by_id,
)
from cost_insights.store.schema import subscription, subscription_statement


def record_states(
    connection: sa.Connection, organization: Organization, states: Sequence[Row]
) -> list[StateOutcome]:
    """Records states that are not recorded yet.

    The transaction must hold the row of the organization, here and below.
    """
    latest = latest_statements(
        connection, organization, [state["subscription_id"] for state in states]
    )
    outcomes: list[StateOutcome] = []
    for state in states:
        of_subscription = latest[state["subscription_id"]]
        outcomes.append(_outcome(state, start_of(of_subscription)))
        keep_latest(of_subscription, state)
    insert_new(connection, organization, subscription_statement, states)
    _write_states(connection, organization, latest)
    return outcomes


def record_events(
    connection: sa.Connection, organization: Organization, statements: Sequence[Row]
) -> list[RecordOutcome]:
    """Records the statements of events; a second, different start is a conflict."""
    latest = latest_statements(
        connection, organization, [one["subscription_id"] for one in statements]
    )
    agreeing: list[Row] = []
    for statement in statements:
        of_subscription = latest[statement["subscription_id"]]
        started = of_subscription.get(CREATED, statement)
        if statement["kind"] != CREATED or statement == started:
            keep_latest(of_subscription, statement)
            agreeing.append(statement)
    recorded, _ = insert_new(connection, organization, subscription_statement, agreeing)
    _write_states(connection, organization, latest)
    outcomes = dict(zip(map(id, agreeing), recorded, strict=True))
    return [outcomes.get(id(statement), RecordOutcome.CONFLICT) for statement in statements]


def _outcome(state: Row, start: Row | None) -> StateOutcome:
    if start is None:
        return StateOutcome.INSERTED
    if says_the_same(state, start):
        return StateOutcome.UNCHANGED
    if start["kind"] != STATE or is_later(state, start):
        return StateOutcome.UPDATED
    return StateOutcome.OUTDATED


def latest_statements(
    connection: sa.Connection, organization: Organization, ids: Sequence[str]
) -> dict[str, Latest]:
    """The latest statements of subscriptions by id, in the order of the ids."""
    latest: dict[str, Latest] = {one: {} for one in ids}
    if not ids:
        return latest
    columns = subscription_statement.c
    asked, kinds = (
        column_of(connection, latest.keys(), "asked"),
        column_of(connection, KINDS, "kinds"),
    )
    # One look into an index for each, so that the others need not be read.
    latest_id = (
        sa.select(columns.statement_id)
        .where(
            columns.organization_number == organization.number,
            columns.subscription_id == asked.c.value,
            columns.kind == kinds.c.value,
        )
        .order_by(*LATEST_FIRST)
        .limit(1)
        .scalar_subquery()
    )
    found = connection.scalars(sa.select(latest_id).select_from(asked.join(kinds, sa.true())))
    statement_ids = [one for one in found if one is not None]
    rows = stored_by_id(connection, organization, subscription_statement, statement_ids)
    for row in rows.values():
        latest[row["subscription_id"]][row["kind"]] = row
    return latest


def _write_states(
    connection: sa.Connection, organization: Organization, latest: Mapping[str, Latest]
) -> None:
    """Writes the subscriptions that differ from the stored ones, in place of these."""
    before = stored_by_id(connection, organization, subscription, latest.keys())
    states = [state for one in latest.values() if (state := subscription_of(one)) is not None]
    changed = [state for state in states if state != before.get(state["subscription_id"])]
    replace_states(connection, organization, subscription, changed)
