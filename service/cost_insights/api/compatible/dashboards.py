"""Saved dashboards of the compatible API."""

from collections.abc import Mapping
from typing import Any, Final

from cost_insights.api.compatible.bodies import Body
from cost_insights.api.compatible.documents import written
from cost_insights.api.compatible.endpoints import (
    CompatibleAnswer,
    CompatibleCall,
    CompatibleRequest,
)
from cost_insights.api.compatible.reading import Query
from cost_insights.api.times import rfc3339
from cost_insights.api.work import Work
from cost_insights.identity import Caller, Organization
from cost_insights.metrics import Dashboard, DashboardChange, Dashboards

_NAME_CHARS_MAX: Final = 256
_METRICS_MAX: Final = 10
_SLUG_CHARS_MAX: Final = 128


def dashboard_calls(dashboards: Dashboards, work: Work) -> Mapping[str, CompatibleCall]:
    """The calls of dashboards."""

    async def list_dashboards(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        owner = caller.organization
        query = Query(request.query)
        query.check_organization(owner)
        query.finish()
        found = await work.read(owner, lambda: dashboards.all(owner))
        return CompatibleAnswer(written([_document(one, owner) for one in found]))

    async def create(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        owner = caller.organization
        body = Body(request.body)
        name = body.required("name", chars_min=1, chars_max=_NAME_CHARS_MAX)
        metrics = _metrics(body) or ()
        body.finish()
        made = await work.record(owner, lambda: dashboards.create(owner, name, metrics))
        return CompatibleAnswer(written(_document(made, owner)), status=201)

    async def get(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        owner = caller.organization
        found = await work.read(owner, lambda: dashboards.dashboard(owner, request.path["id"]))
        return CompatibleAnswer(written(_document(found, owner)))

    async def change(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        owner = caller.organization
        body = Body(request.body)
        changed = DashboardChange(
            body.text("name", chars_min=1, chars_max=_NAME_CHARS_MAX), _metrics(body)
        )
        body.finish()
        made = await work.record(
            owner, lambda: dashboards.change(owner, request.path["id"], changed)
        )
        return CompatibleAnswer(written(_document(made, owner)))

    async def delete(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        await work.record(
            caller.organization, lambda: dashboards.delete(caller.organization, request.path["id"])
        )
        return CompatibleAnswer("", status=204)

    return {
        "dashboards.list": list_dashboards,
        "dashboards.create": create,
        "dashboards.get": get,
        "dashboards.change": change,
        "dashboards.delete": delete,
    }


def _metrics(body: Body) -> tuple[str, ...] | None:
    return body.texts("metrics", values_max=_METRICS_MAX, chars_max=_SLUG_CHARS_MAX)


def _document(dashboard: Dashboard, owner: Organization) -> dict[str, Any]:
    modified_us = dashboard.modified_us
    return {
        "id": str(dashboard.id),
        "created_at": rfc3339(dashboard.created_us),
        "modified_at": None if modified_us is None else rfc3339(modified_us),
        "name": dashboard.name,
        "metrics": list(dashboard.metrics),
        "organization_id": str(owner.id),
    }
