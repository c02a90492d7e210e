"""Organizations: the tenants that everything belongs to."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from cost_insights import clock
from cost_insights.errors import FieldFault, InvalidRequestError
from cost_insights.identity.rates import RateLimits
from cost_insights.store.schema import organization

NAME_CHARS_MAX = 128


@dataclass(frozen=True)
class OrganizationLimits:
    """The limits of an organization; 0 is none, and None the default of the service."""

    events_per_second: int | None
    requests_per_second: int | None
    customers_max: int | None
    series_max: int | None

    @property
    def rates(self) -> RateLimits:
        """The rates among them."""
        return RateLimits(self.events_per_second, self.requests_per_second)


@dataclass(frozen=True)
class Organization:
    """A tenant."""

    number: int
    id: uuid.UUID
    name: str
    created_us: int


def create_organization(connection: sa.Connection, name: str) -> Organization:
    """Creates an organization; raises InvalidRequestError if the name is taken or malformed."""
    check_organization_name(name)
    try:
        with connection.begin_nested():
            return _insert(connection, name)
    except sa.exc.IntegrityError:
        raise InvalidRequestError(
            [FieldFault("name", "VALUE_UNKNOWN", f"the organization {name!r} exists already", name)]
        ) from None


def check_organization_name(name: str) -> None:
    """Raises InvalidRequestError if no organization can have the name."""
    if not 1 <= len(name) <= NAME_CHARS_MAX or name != name.strip() or not name.isprintable():
        raise InvalidRequestError(
            [
                FieldFault(
                    "name",
                    "VALUE_UNKNOWN",
                    f"{name[:64]!r} is not a name for an organization; allowed are 1 to "
                    f"{NAME_CHARS_MAX} printable characters without blanks around them",
                    name[:64],
                )
            ]
        )


def ensure_organization(connection: sa.Connection, name: str) -> Organization:
    """The organization of that name, created if there is none; raises InvalidRequestError if
    the name is malformed."""
    if (found := find_organization(connection, name)) is not None:
        return found
    check_organization_name(name)
    try:
        with connection.begin_nested():
            return _insert(connection, name)
    except sa.exc.IntegrityError:
        # Another process was faster.
        found = find_organization(connection, name)
        if found is None:
            raise
        return found


def find_organization(connection: sa.Connection, name: str) -> Organization | None:
    """The organization of that name, if there is one."""
    row = connection.execute(_SELECT.where(organization.c.name == name)).one_or_none()
    return None if row is None else Organization(*row)


def list_organizations(connection: sa.Connection) -> list[Organization]:
    """All organizations, in the order in which they were created."""
    return [Organization(*row) for row in connection.execute(_SELECT.order_by("number"))]


def find_limits(connection: sa.Connection, owner: Organization) -> OrganizationLimits:
    """The limits of an organization."""
    row = connection.execute(_LIMITS.where(organization.c.number == owner.number)).one()
    return OrganizationLimits(*row)


def set_limits(
    connection: sa.Connection, owner: Organization, limits: Mapping[str, int | None]
) -> None:
    """Changes some of the limits of an organization; 0 is no limit, and None the default of the
    service."""
    connection.execute(
        sa.update(organization).where(organization.c.number == owner.number).values(dict(limits))
    )


_LIMITS = sa.select(
    organization.c.events_per_second,
    organization.c.requests_per_second,
    organization.c.customers_max,
    organization.c.series_max,
)

_SELECT = sa.select(
    organization.c.number, organization.c.id, organization.c.name, organization.c.created_us
)


def _insert(connection: sa.Connection, name: str) -> Organization:
    one = {"id": uuid.uuid4(), "name": name, "created_us": clock.now_us()}
    number = connection.execute(
        sa.insert(organization).values(**one, tokens_counted=True).returning(organization.c.number)
    ).scalar_one()
    return Organization(number=number, id=one["id"], name=name, created_us=one["created_us"])  # type: ignore[arg-type]
