"""The JSON documents of customers and events in the compatible API."""

import json
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from cost_insights.amounts import format_amount
from cost_insights.api.times import rfc3339
from cost_insights.customers import StoredCustomer
from cost_insights.events import StoredEvent, event_label
from cost_insights.identity import Organization


def written(content: Any) -> str:
    """JSON without optional white space."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def listed(items: list[Any], *, total: int, limit: int, **pagination: Any) -> str:
    """A page of a list; `pagination` is added to the number of items and pages."""
    return written(
        {
            "items": items,
            "pagination": {"total_count": total, "max_page": -(-total // limit), **pagination},
        }
    )


def customer_document(customer: StoredCustomer, organization: Organization) -> dict[str, Any]:
    """A customer. SDKs need an e-mail address and a picture, which are made up under `.invalid`,
    a domain that never exists: nothing but the external id is kept of a customer."""
    one = str(customer.id)
    return {
        "id": one,
        "created_at": rfc3339(customer.created_us),
        "modified_at": None,
        "metadata": {},
        "external_id": customer.external_id,
        "email": f"{one}@customers.invalid",
        "email_verified": False,
        "type": "individual",
        "name": None,
        "billing_name": None,
        "billing_address": None,
        "tax_id": None,
        "locale": None,
        "organization_id": str(organization.id),
        "default_payment_method_id": None,
        "deleted_at": None,
        "first_user_event_at": None,
        "avatar_url": f"https://customers.invalid/{one}.png",
    }


def event_documents(
    events: Iterable[StoredEvent],
    sums: Mapping[uuid.UUID, Mapping[str, int | Decimal]],
    organization: Organization,
) -> list[dict[str, Any]]:
    """Events with the sums of those that have any. Amounts are texts, because SDKs read numbers as
    doubles."""
    # The events of a page are often of few customers.
    customers: dict[uuid.UUID, dict[str, Any]] = {}
    documents = []
    for event in events:
        if (customer := customers.get(event.customer_id)) is None:
            customer = customers[event.customer_id] = customer_document(
                StoredCustomer(
                    event.customer_id, event.external_customer_id, event.customer_created_us
                ),
                organization,
            )
        documents.append(_event_document(event, sums.get(event.id, {}), customer))
    return documents


def _event_document(
    event: StoredEvent, sums: Mapping[str, int | Decimal], customer: Mapping[str, Any]
) -> dict[str, Any]:
    metadata = event_metadata(event, sums)
    return {
        "id": str(event.id),
        "timestamp": rfc3339(event.timestamp_us),
        "organization_id": customer["organization_id"],
        "customer_id": customer["id"],
        "customer": customer,
        "external_customer_id": event.external_customer_id,
        "member_id": None,
        "external_member_id": event.external_member_id or None,
        "external_id": event.external_id or None,
        "product_id": event.product_id or None,
        "child_count": event.children,
        "parent_id": None if event.parent_id is None else str(event.parent_id),
        "label": event_label(event, metadata),
        "source": "user",
        "name": event.name,
        "metadata": metadata,
    }


def event_metadata(event: StoredEvent, sums: Mapping[str, int | Decimal]) -> dict[str, Any]:
    """The metadata of an event with `_cost` and `_llm`; sums take the place of its own values."""
    metadata = dict(event.metadata)
    cost_picocents = event.cost_picocents
    llm = event.llm and {"vendor": event.llm_vendor, "model": event.llm_model, **event.llm}
    for name, value in sums.items():
        if name == "_cost.amount":
            cost_picocents = int(value)
        elif name.startswith("_llm."):
            llm = dict(llm or _NO_LLM)
            llm[name.removeprefix("_llm.")] = _number(value)
        else:
            metadata[name] = _number(value)
    if cost_picocents is not None:
        metadata["_cost"] = {"amount": format_amount(cost_picocents), "currency": "usd"}
    if llm is not None:
        metadata["_llm"] = llm
    return metadata


_NO_LLM: Mapping[str, Any] = {
    "vendor": "",
    "model": "",
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
}
"""The LLM call of an event that has none, but whose descendants have some."""


def _number(value: int | Decimal) -> int | float:
    """A sum of metadata, rounded to 12 decimals."""
    if isinstance(value, int) or value == value.to_integral_value():
        return int(value)
    return float(round(value, 12))
