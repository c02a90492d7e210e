"""States of subscriptions: written, and changed by what happens to them."""

from collections.abc import Mapping

import sqlalchemy as sa

from cost_insights.customers.numbering import number_records
from cost_insights.identity import Organization
from cost_insights.revenue.rows import Row, delete, insert
from cost_insights.store.schema import subscription


def replace_states(
    connection: sa.Connection, organization: Organization, latest: Mapping[str, Row]
) -> None:
    """Writes the states of subscriptions by id, in the place of those that are there."""
    if not latest:
        return
    delete(connection, organization, subscription, latest.keys())
    numbers = number_records(connection, organization.number, len(latest))
    rows = [
        {**row, "record_number": number}
        for row, number in zip(latest.values(), numbers, strict=True)
    ]
    insert(connection, subscription, rows)
