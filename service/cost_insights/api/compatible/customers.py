"""Customers of the compatible API, as far as events and metrics need them."""

from collections.abc import Mapping
from typing import Final

from cost_insights.api.compatible.bodies import Body
from cost_insights.api.compatible.documents import customer_document, listed, written
from cost_insights.api.compatible.endpoints import (
    CompatibleAnswer,
    CompatibleCall,
    CompatibleRequest,
)
from cost_insights.api.compatible.reading import Query
from cost_insights.api.reading import CUSTOMER_CHARS_MAX
from cost_insights.api.work import Work
from cost_insights.customers import CustomerReader
from cost_insights.identity import Caller

_EXTERNAL_IDS_MAX: Final = 100


def customer_calls(customers: CustomerReader, work: Work) -> Mapping[str, CompatibleCall]:
    """The calls of customers."""

    async def list_customers(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        owner = caller.organization
        query = Query(request.query)
        query.check_organization(owner)
        page, limit = query.page(), query.limit()
        external_ids = query.texts("external_id", values_max=_EXTERNAL_IDS_MAX)
        query.finish()
        found, total = await work.read(
            caller.organization,
            lambda: customers.page(owner, external_ids, skipped=(page - 1) * limit, count=limit),
        )
        items = [customer_document(one, owner) for one in found]
        has_next_page = page * limit < total
        return CompatibleAnswer(
            listed(items, total=total, limit=limit, has_next_page=has_next_page)
        )

    async def get(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        owner = caller.organization
        found = await work.read(
            caller.organization, lambda: customers.customer(owner, request.path["id"])
        )
        return CompatibleAnswer(written(customer_document(found, owner)))

    async def get_external(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        owner = caller.organization
        external_id = request.path["external_id"]
        found = await work.read(
            caller.organization, lambda: customers.customer_called(owner, external_id)
        )
        return CompatibleAnswer(written(customer_document(found, owner)))

    async def create(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        # Events register customers too, at any time, so that a customer who exists already is
        # no fault. All other fields are dropped.
        owner = caller.organization
        body = Body(request.body)
        external_id = body.required("external_id", chars_min=1, chars_max=CUSTOMER_CHARS_MAX)
        body.finish()
        made = await work.record(
            caller.organization, lambda: customers.register(owner, external_id)
        )
        return CompatibleAnswer(written(customer_document(made, owner)), status=201)

    return {
        "customers.list": list_customers,
        "customers.get": get,
        "customers.get_external": get_external,
        "customers.create": create,
    }
