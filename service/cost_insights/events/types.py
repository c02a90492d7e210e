"""Event types: names of events with the labels that callers give them.

Every name of an event is a type; a row is stored only of those that were changed.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from cost_insights.clock import now_us
from cost_insights.customers import parse_uuid
from cost_insights.errors import NotFoundError
from cost_insights.events.joins import OF_SERIES
from cost_insights.events.names import EventName, EventNameReader, NameSearch
from cost_insights.events.rows import StoredEvent
from cost_insights.identity import Organization
from cost_insights.store import Deadline, Store, chunks
from cost_insights.store.schema import event, event_type, series


@dataclass(frozen=True)
class EventType:
    """A name of events with its label."""

    id: uuid.UUID
    name: str
    label: str
    """The name, unless a caller gave it another label."""

    label_property: str
    """The property of an event's metadata that is the label of the event instead, if it is a
    text; empty for none."""

    modified_us: int | None
    """None where nobody changed it."""


@dataclass(frozen=True)
class TypeSearch:
    """The event types that a caller looks for."""

    names: NameSearch = field(default_factory=NameSearch)
    roots_only: bool = False
    """Only events without a parent count."""

    parent: uuid.UUID | None = None
    """Only children of this event count."""


@dataclass(frozen=True)
class TypeChange:
    """The changes to make to an event type; a field that is None stays as it is."""

    label: str | None
    label_property: str | None


class EventTypes:
    """Reads and changes the event types of one organization at a time."""

    def __init__(self, store: Store, names: EventNameReader) -> None:
        self._store = store
        self._names = names

    def of_names(self, owner: Organization, names: Iterable[str]) -> Mapping[str, EventType]:
        """The types of these names."""
        names = list(dict.fromkeys(names))
        types = {
            name: EventType(event_type_id(owner, name), name, name, "", None) for name in names
        }
        with self._store.read() as connection:
            for chunk in chunks(names):
                rows = connection.execute(
                    sa.select(
                        event_type.c.event_name,
                        event_type.c.label,
                        event_type.c.label_property,
                        event_type.c.modified_us,
                    ).where(
                        event_type.c.organization_number == owner.number,
                        event_type.c.event_name.in_(chunk),
                    )
                )
                for name, *changed in rows:
                    types[name] = EventType(types[name].id, name, *changed)
        return types

    def search(
        self,
        owner: Organization,
        asked: TypeSearch,
        deadline: Deadline,
        *,
        skipped: int,
        count: int,
    ) -> tuple[list[tuple[EventType, EventName]], int]:
        """Some types in order, each with how often it occurs, and how many there are."""
        if asked.roots_only or asked.parent is not None:
            names, total = self._by_events(owner, asked, deadline, skipped, count)
        else:
            names, total = self._names.search(
                owner, asked.names, deadline, skipped=skipped, count=count
            )
        types = self.of_names(owner, [one.name for one in names])
        return [(types[one.name], one) for one in names], total

    def name_of(self, owner: Organization, type_id: str) -> str | None:
        """The name of the events of a type; None if the organization has no such type."""
        parsed = parse_uuid(type_id)
        if parsed is None:
            return None
        # Ids follow from names, which are few beside events.
        with self._store.read() as connection:
            names = connection.scalars(
                sa.select(series.c.event_name)
                .where(series.c.organization_number == owner.number)
                .distinct()
            ).all()
        return next((name for name in names if event_type_id(owner, name) == parsed), None)

    def change(self, owner: Organization, type_id: str, change: TypeChange) -> EventType:
        """The type of that id as it is afterwards.

        Raises NotFoundError if the organization has no such type.
        """
        name = self.name_of(owner, type_id)
        if name is None:
            raise NotFoundError(
                f"there is no event type {type_id[:64]!r}",
                reason="RESOURCE_NOT_FOUND",
                facts={"kind": "event type", "id": type_id[:64]},
            )
        changed = {
            column: value
            for column, value in (
                ("label", change.label),
                ("label_property", change.label_property),
            )
            if value is not None
        }
        of_type = (event_type.c.organization_number == owner.number) & (
            event_type.c.event_name == name
        )

        def work(connection: sa.Connection) -> None:
            values = {**changed, "modified_us": now_us()}
            updated = connection.execute(sa.update(event_type).where(of_type).values(values))
            if not updated.rowcount:
                row = {"label": name, "label_property": "", **values}
                connection.execute(
                    sa.insert(event_type).values(
                        organization_number=owner.number, event_name=name, **row
                    )
                )

        try:
            self._store.write_retrying(work)
        except sa.exc.IntegrityError:
            # Another caller changed it first for the first time; now there is a row.
            self._store.write_retrying(work)
        return self.of_names(owner, [name])[name]

    def _by_events(
        self,
        owner: Organization,
        asked: TypeSearch,
        deadline: Deadline,
        skipped: int,
        count: int,
    ) -> tuple[list[EventName], int]:
        """Names counted event by event, since cells do not tell which events have a parent."""
        occurrences, first, last = (
            sa.func.count(),
            sa.func.min(event.c.timestamp_us),
            sa.func.max(event.c.timestamp_us),
        )
        key = {
            "name": series.c.event_name,
            "occurrences": occurrences,
            "first_seen": first,
            "last_seen": last,
        }[asked.names.key]
        with self._store.read(deadline) as connection:
            conditions = asked.names.filter.conditions(connection, owner.number)
            if asked.roots_only:
                conditions.append(event.c.parent_id.is_(None))
            if asked.parent is not None:
                conditions.append(event.c.parent_id == asked.parent)
            rows = connection.execute(
                sa.select(series.c.event_name, occurrences, first, last)
                .select_from(event)
                .join(series, OF_SERIES)
                .where(*conditions)
                .group_by(series.c.event_name)
                .order_by(key.desc() if asked.names.descending else key, series.c.event_name)
            ).all()
        wanted = asked.names.text.casefold()
        names = [EventName(*row) for row in rows if wanted in row[0].casefold()]
        return names[skipped : skipped + count], len(names)


def event_type_id(owner: Organization, name: str) -> uuid.UUID:
    """The id of the type of a name. Callers keep it: it may never be computed in another way."""
    return uuid.uuid5(owner.id, f"event_type {name}")


def event_label(event: StoredEvent, metadata: Mapping[str, Any]) -> str:
    """The label of an event with this metadata, `_cost` and `_llm` included."""
    if event.label_property:
        value: Any = metadata.get(event.label_property)
        special, _, key = event.label_property.partition(".")
        if special in {"_cost", "_llm"}:
            value = metadata.get(special, {}).get(key)
        if isinstance(value, str) and value:
            return value
    return event.type_label
