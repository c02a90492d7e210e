"""Reading and registering customers."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cost_insights.clock import now_us
from cost_insights.customers.lookup import parse_uuid
from cost_insights.customers.numbering import (
    NO_LIMITS,
    DefaultLimits,
    number_customers,
    too_many_customers,
)
from cost_insights.errors import InvalidRequestError, NotFoundError
from cost_insights.identity import Organization
from cost_insights.store import Store
from cost_insights.store.schema import customer, organization

_NUMBER_MAX = (1 << 31) - 1
"""The greatest number of a customer inside an organization."""


@dataclass(frozen=True)
class StoredCustomer:
    """A customer."""

    id: uuid.UUID
    external_id: str
    created_us: int


class CustomerReader:
    """Reads and registers the customers of one organization at a time."""

    def __init__(self, store: Store, defaults: DefaultLimits = NO_LIMITS) -> None:
        self._store = store
        self._defaults = defaults

    def customer(self, owner: Organization, customer_id: str) -> StoredCustomer:
        """The customer with this id; raises NotFoundError if the organization has none."""
        parsed = parse_uuid(customer_id)
        found = None if parsed is None else self._find(owner, customer.c.id == parsed)
        if found is None:
            raise _not_found("id", customer_id)
        return found

    def customer_called(self, owner: Organization, external_id: str) -> StoredCustomer:
        """The customer with this external id; raises NotFoundError if the organization has none."""
        found = self._find(owner, customer.c.external_id == external_id)
        if found is None:
            raise _not_found("external_id", external_id)
        return found

    def page(
        self, owner: Organization, external_ids: Sequence[str], *, skipped: int, count: int
    ) -> tuple[list[StoredCustomer], int]:
        """Some customers, the latest first, and how many there are; of these external ids, or of
        all where there are none."""
        conditions = [customer.c.organization_number == owner.number]
        # No organization has more customers than that, and the database takes no greater number.
        skipped = min(skipped, _NUMBER_MAX)
        if external_ids:
            conditions.append(customer.c.external_id.in_(external_ids))
            total = sa.select(sa.func.count()).select_from(customer).where(*conditions)
        else:
            # Numbers are dense, so the next one is the number of customers.
            total = sa.select(organization.c.customers_count).where(
                organization.c.number == owner.number
            )
        if not external_ids and skipped:
            # Instead of passing over them.
            first = total.scalar_subquery() - skipped
            conditions.append(customer.c.number < first)
            skipped = 0
        statement = (
            _SELECT.where(*conditions)
            .order_by(customer.c.number.desc())
            .offset(skipped)
            .limit(count)
        )
        with self._store.read() as connection:
            rows = connection.execute(statement).all()
            return [_stored(row) for row in rows], connection.scalars(total).one()

    def register(self, owner: Organization, external_id: str) -> StoredCustomer:
        """The customer with this external id, new unless there is one; raises InvalidRequestError
        if the organization has as many as it may."""

        def work(connection: sa.Connection) -> None:
            numbers, limit = number_customers(
                connection,
                owner.number,
                owner.id,
                [external_id],
                now_us=now_us(),
                defaults=self._defaults,
            )
            if external_id not in numbers:
                raise InvalidRequestError([too_many_customers("external_id", external_id, limit)])

        self._store.write_retrying(work)
        return self.customer_called(owner, external_id)

    def _find(
        self, owner: Organization, condition: sa.ColumnElement[bool]
    ) -> StoredCustomer | None:
        with self._store.read() as connection:
            row = connection.execute(
                _SELECT.where(customer.c.organization_number == owner.number, condition)
            ).one_or_none()
        return None if row is None else _stored(row)


_SELECT = sa.select(customer.c.id, customer.c.external_id, customer.c.created_us)


def _stored(row: sa.Row[*tuple[Any, ...]]) -> StoredCustomer:
    return StoredCustomer(*row)


def _not_found(name: str, value: str) -> NotFoundError:
    return NotFoundError(
        f"there is no customer with the {name} {value[:64]!r}",
        reason="CUSTOMER_NOT_FOUND",
        facts={name: value[:64]},
    )
