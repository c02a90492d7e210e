"""Saved dashboards: named lists of metrics."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cost_insights.clock import now_us
from cost_insights.customers import parse_uuid
from cost_insights.errors import NotFoundError
from cost_insights.identity import Organization
from cost_insights.store import Store
from cost_insights.store.schema import metric_dashboard


@dataclass(frozen=True)
class Dashboard:
    """A saved dashboard."""

    id: uuid.UUID
    name: str
    metrics: Sequence[str]
    """Slugs, as the caller gave them: a dashboard may name metrics that are yet to come."""

    created_us: int
    modified_us: int | None
    """None where nobody changed it."""


@dataclass(frozen=True)
class DashboardChange:
    """What changes of a dashboard; None leaves it as it is."""

    name: str | None
    metrics: Sequence[str] | None


class Dashboards:
    """Reads and changes the dashboards of one organization at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, owner: Organization) -> list[Dashboard]:
        """Every dashboard, in the order in which they were created."""
        with self._store.read() as connection:
            rows = connection.execute(
                _SELECT.where(metric_dashboard.c.organization_number == owner.number).order_by(
                    metric_dashboard.c.created_us, metric_dashboard.c.id
                )
            ).all()
        return [Dashboard(*row) for row in rows]

    def dashboard(self, owner: Organization, dashboard_id: str) -> Dashboard:
        """The dashboard with this id; raises NotFoundError if the organization has none."""
        with self._store.read() as connection:
            row = connection.execute(_SELECT.where(*_of(owner, dashboard_id))).one_or_none()
        if row is None:
            raise _not_found(dashboard_id)
        return Dashboard(*row)

    def create(self, owner: Organization, name: str, metrics: Sequence[str]) -> Dashboard:
        """A new dashboard."""
        created = Dashboard(uuid.uuid4(), name, list(metrics), now_us(), None)
        # Where a commit's answer was lost, the id tells that it is there.
        row = {
            "organization_number": owner.number,
            "id": created.id,
            "name": name,
            "metrics": list(metrics),
            "created_us": created.created_us,
        }

        def work(connection: sa.Connection) -> None:
            there = connection.execute(_SELECT.where(*_of(owner, str(created.id)))).first()
            if there is None:
                connection.execute(sa.insert(metric_dashboard).values(row))

        self._store.write_retrying(work)
        return created

    def change(self, owner: Organization, dashboard_id: str, change: DashboardChange) -> Dashboard:
        """The dashboard as it is afterwards; raises NotFoundError if there is none."""
        values: dict[str, Any] = {"modified_us": now_us()}
        if change.name is not None:
            values["name"] = change.name
        if change.metrics is not None:
            values["metrics"] = list(change.metrics)
        self._store.write_retrying(
            lambda connection: connection.execute(
                sa.update(metric_dashboard).where(*_of(owner, dashboard_id)).values(values)
            )
        )
        return self.dashboard(owner, dashboard_id)

    def delete(self, owner: Organization, dashboard_id: str) -> None:
        """Deletes a dashboard; raises NotFoundError if there is none."""
        self.dashboard(owner, dashboard_id)
        self._store.write_retrying(
            lambda connection: connection.execute(
                sa.delete(metric_dashboard).where(*_of(owner, dashboard_id))
            )
        )


_SELECT = sa.select(
    metric_dashboard.c.id,
    metric_dashboard.c.name,
    metric_dashboard.c.metrics,
    metric_dashboard.c.created_us,
    metric_dashboard.c.modified_us,
)


def _of(owner: Organization, dashboard_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    parsed = parse_uuid(dashboard_id)
    return (
        metric_dashboard.c.organization_number == owner.number,
        sa.false() if parsed is None else metric_dashboard.c.id == parsed,
    )


def _not_found(dashboard_id: str) -> NotFoundError:
    return NotFoundError(
        f"there is no dashboard {dashboard_id[:64]!r}",
        reason="RESOURCE_NOT_FOUND",
        facts={"kind": "dashboard", "id": dashboard_id[:64]},
    )
