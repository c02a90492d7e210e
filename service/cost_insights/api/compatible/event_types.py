"""Names and types of events of the compatible API."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from cost_insights.api.compatible.bodies import Body
from cost_insights.api.compatible.documents import listed, written
from cost_insights.api.compatible.endpoints import (
    CompatibleAnswer,
    CompatibleCall,
    CompatibleRequest,
)
from cost_insights.api.compatible.reading import Query
from cost_insights.api.times import rfc3339
from cost_insights.api.work import Work
from cost_insights.events import (
    EventFilter,
    EventName,
    EventType,
    EventTypes,
    NameSearch,
    TypeChange,
    TypeSearch,
    id_of_event,
)
from cost_insights.identity import Caller, Organization
from cost_insights.store import Deadline

_LABEL_CHARS_MAX: Final = 128
_PROPERTY_CHARS_MAX: Final = 256
_KEYS: Final = ("name", "occurrences", "first_seen", "last_seen")
_SORTING: Final = (*_KEYS, *(f"-{key}" for key in _KEYS))


def event_type_calls(types: EventTypes, work: Work) -> Mapping[str, CompatibleCall]:
    """The calls of names and types of events."""

    async def names(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        asked = _Asked(caller.organization, Query(request.query), takes_parents=False)
        return CompatibleAnswer(
            await work.answer(
                caller.organization, lambda deadline: asked.answer(types, deadline, _name_document)
            )
        )

    async def list_types(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        asked = _Asked(caller.organization, Query(request.query), takes_parents=True)
        return CompatibleAnswer(
            await work.answer(
                caller.organization, lambda deadline: asked.answer(types, deadline, _type_document)
            )
        )

    async def change(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        owner = caller.organization
        body = Body(request.body)
        name = "label_property_selector"
        label_property = body.text(name, chars_min=1, chars_max=_PROPERTY_CHARS_MAX)
        changed = TypeChange(
            body.text("label", chars_min=1, chars_max=_LABEL_CHARS_MAX, stripped=True),
            "" if body.is_null(name) else label_property,
        )
        body.finish()
        made = await work.record(
            caller.organization, lambda: types.change(owner, request.path["id"], changed)
        )
        of_type = TypeSearch(NameSearch(EventFilter(event_names=(made.name,))))
        found, _ = await work.answer(
            caller.organization,
            lambda deadline: types.search(owner, of_type, deadline, skipped=0, count=1),
        )
        return CompatibleAnswer(written(_type_document(*found[0], owner)))

    return {"events.names": names, "event_types.list": list_types, "event_types.change": change}


_Document = Callable[[EventType, EventName, Organization], dict[str, Any]]


class _Asked:
    """A question for a page of names or types, read from a query."""

    def __init__(self, owner: Organization, query: Query, *, takes_parents: bool) -> None:
        self._owner = owner
        query.check_organization(owner)
        self._page, self._limit = query.page(), query.limit()
        self._finds_nothing = query.leaves_out_events()
        sorting = query.one_of("sorting", _SORTING, "-last_seen")
        names = NameSearch(
            filter=query.customers(),
            text=query.text("query"),
            key=sorting.removeprefix("-"),
            descending=sorting.startswith("-"),
        )
        parent: uuid.UUID | None = None
        roots_only = False
        if takes_parents:
            roots_only = query.flag("root_events")
            text = query.text("parent_id")
            parent = id_of_event(owner, text) if text else None
        self._search = TypeSearch(names, roots_only, parent)
        query.finish()

    def answer(
        self,
        types: EventTypes,
        deadline: Deadline,
        document: _Document,
    ) -> str:
        """The page."""
        if self._finds_nothing:
            return listed([], total=0, limit=self._limit, has_next_page=False)
        found, total = types.search(
            self._owner,
            self._search,
            deadline,
            skipped=(self._page - 1) * self._limit,
            count=self._limit,
        )
        return listed(
            [document(type_, name, self._owner) for type_, name in found],
            total=total,
            limit=self._limit,
            has_next_page=self._page * self._limit < total,
        )


def _name_document(type_: EventType, name: EventName, owner: Organization) -> dict[str, Any]:
    del owner  # a name is shown without it
    return {
        "name": name.name,
        "label": type_.label,
        "source": "user",
        "occurrences": name.occurrences,
        "first_seen": rfc3339(name.first_seen_us),
        "last_seen": rfc3339(name.last_seen_us),
    }


def _type_document(type_: EventType, name: EventName, owner: Organization) -> dict[str, Any]:
    """A type exists from its first event on."""
    return {
        "id": str(type_.id),
        "created_at": rfc3339(name.first_seen_us),
        "modified_at": None if type_.modified_us is None else rfc3339(type_.modified_us),
        "label_property_selector": type_.label_property or None,
        "organization_id": str(owner.id),
        **_name_document(type_, name, owner),
    }
