"""Rows of the FinOps Open Cost and Usage Specification (FOCUS) 1.2.

docs/focus.md says which column says what, and why. In its terms the organization is
the provider, its customers are sub accounts, and event names are services.
"""

import datetime
import functools
import json
from collections.abc import Iterable, Iterator, Mapping

from cost_insights.identity import Organization
from cost_insights.metrics.exports.cost_rows import CostRow, Series

_PICOCENTS_DIGITS = 14
"""A dollar is 10¹⁴ picocents."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountStatus",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_EventCount",
    "x_ModelName",
    "x_ModelVendor",
    "x_ProductId",
)
"""The columns in the order of the rows: those of the specification by the alphabet, then the
service's own."""

Row = tuple[str | int | None, ...]
"""One value per column; None for no value."""


def focus_rows(organization: Organization, details: Iterable[CostRow]) -> Iterator[Row]:
    """A row for each of the details."""
    account, name = str(organization.id), organization.name
    for one in details:
        bounds_us = one.month.days.bounds_us
        cost = dollars(one.cost_picocents)
        of = one.series
        is_usage = one.cost_picocents >= 0
        quantity, unit = (f"{one.events}.0", "Events") if is_usage else (None, None)
        yield (
            cost,
            account,
            name,
            "USD",
            _time(one.month.end_us),
            _time(one.month.start_us),
            "Usage" if is_usage else "Credit",
            None,  # whether a credit corrects what was invoiced before is not known
            _description(of),
            "Usage-Based" if is_usage else "One-Time",
            _time(bounds_us[one.day + 1]),
            _time(bounds_us[one.day]),
            None,  # there are no commitments; rules of the quantity name it all the same
            quantity,
            unit,
            cost,
            cost,
            None,  # nothing is invoiced
            name,
            cost,
            quantity,
            unit,
            name,
            of.llm_vendor or name,
            "AI and Machine Learning" if of.is_of_llm else "Other",
            of.event_name,
            "Generative AI" if of.is_of_llm else "Other (Other)",
            str(one.customer.id),
            one.customer.external_id,
            _tags(of),
            one.events,
            of.llm_model or None,
            of.llm_vendor or None,
            of.product_id or None,
        )


def dollars(picocents: int) -> str:
    """An amount in dollars, all of its digits, without zeros at the end but for one: a
    column is told to be of decimals by the point."""
    whole, rest = divmod(abs(picocents), 10**_PICOCENTS_DIGITS)
    text = f"{whole}.{f'{rest:0{_PICOCENTS_DIGITS}}'.rstrip('0') or '0'}"
    return f"-{text}" if picocents < 0 else text


@functools.lru_cache(maxsize=1024)
def _time(time_us: int) -> str:
    # Bounds of days are whole seconds.
    moment = _EPOCH + datetime.timedelta(microseconds=time_us)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _description(of: Series) -> str:
    model = " ".join(text for text in (of.llm_vendor, of.llm_model) if text)
    return f"{of.event_name} ({model})" if model else of.event_name


def _tags(of: Series) -> str | None:
    tags: Mapping[str, str] = {
        key: value
        for key, value in (
            ("llm_model", of.llm_model),
            ("llm_vendor", of.llm_vendor),
            ("product_id", of.product_id),
        )
        if value
    }
    return json.dumps(tags, ensure_ascii=False) if tags else None
