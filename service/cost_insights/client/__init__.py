"""A client for Python programs that cause costs.

>>> from cost_insights.client import Client
>>> with Client("127.0.0.1:50051") as client:
...     client.ingest(
...         [
...             {
...                 "name": "llm.inference",
...                 "external_customer_id": "user_123",
...                 "cost": {"amount": "0.025", "currency": "usd"},
...             }
...         ]
...     )
Ingested(inserted=1, duplicates=0, refused=0, conflicts=(), faults=(), faults_total=0)

`Client` blocks, `AsyncClient` does not, `BackgroundClient` sends batches from a
thread of its own. All give each event an `external_id` if it has none, so every
retry is safe, and answer amounts as `Decimal`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cost_insights.client.aio import AsyncClient
    from cost_insights.client.answers import (
        Conflict,
        Fault,
        Ingested,
        Metric,
        MetricsAnswer,
        MetricsGroup,
        MetricsPeriod,
        UnattributedCosts,
    )
    from cost_insights.client.background import BackgroundClient, Refusal
    from cost_insights.client.errors import (
        CallError,
        InvalidEventError,
        InvalidRecordError,
        RefusedError,
        UnavailableError,
    )
    from cost_insights.client.inputs import (
        Amount,
        BillingType,
        CancelReason,
        CheckoutLike,
        CheckoutStatus,
        CostFilter,
        EventFilter,
        EventLike,
        ExportFormat,
        GroupBy,
        Interval,
        MetadataFilter,
        MetricType,
        NewCheckout,
        NewCost,
        NewEvent,
        NewLlm,
        NewMoney,
        NewOrder,
        NewRefund,
        NewSeat,
        NewSubscription,
        OrderLike,
        Outcome,
        Question,
        RecurringInterval,
        RefundKind,
        RefundLike,
        RevenueFilter,
        SeatLike,
        SubscriptionFilter,
        SubscriptionLike,
        Time,
    )
    from cost_insights.client.llm import LlmPrice, LlmPrices, LlmUsage, llm_usage
    from cost_insights.client.records import (
        Checkout,
        CostRow,
        Event,
        EventName,
        IntervalLimits,
        Llm,
        MetricsLimits,
        Money,
        Order,
        RecordConflict,
        Recorded,
        Refund,
        Seat,
        StatesRecorded,
        Subscription,
    )
    from cost_insights.client.sync import Client
    from cost_insights.client.tables import AsyncRecords, Records
    from cost_insights.client.tracking import Track, TrackedEvent, TrackedFields, current_event

__all__ = [
    "Amount",
    "AsyncClient",
    "AsyncRecords",
    "BackgroundClient",
    "BillingType",
    "CallError",
    "CancelReason",
    "Checkout",
    "CheckoutLike",
    "CheckoutStatus",
    "Client",
    "Conflict",
    "CostFilter",
    "CostRow",
    "Event",
    "EventFilter",
    "EventLike",
    "EventName",
    "ExportFormat",
    "Fault",
    "GroupBy",
    "Ingested",
    "Interval",
    "IntervalLimits",
    "InvalidEventError",
    "InvalidRecordError",
    "Llm",
    "LlmPrice",
    "LlmPrices",
    "LlmUsage",
    "MetadataFilter",
    "Metric",
    "MetricType",
    "MetricsAnswer",
    "MetricsGroup",
    "MetricsLimits",
    "MetricsPeriod",
    "Money",
    "NewCheckout",
    "NewCost",
    "NewEvent",
    "NewLlm",
    "NewMoney",
    "NewOrder",
    "NewRefund",
    "NewSeat",
    "NewSubscription",
    "Order",
    "OrderLike",
    "Outcome",
    "Question",
    "RecordConflict",
    "Recorded",
    "Records",
    "RecurringInterval",
    "Refund",
    "RefundKind",
    "RefundLike",
    "Refusal",
    "RefusedError",
    "RevenueFilter",
    "Seat",
    "SeatLike",
    "StatesRecorded",
    "Subscription",
    "SubscriptionFilter",
    "SubscriptionLike",
    "Time",
    "Track",
    "TrackedEvent",
    "TrackedFields",
    "UnattributedCosts",
    "UnavailableError",
    "current_event",
    "llm_usage",
]

_NAMES = {
    "aio": "AsyncClient",
    "answers": (
        "Conflict Fault Ingested Metric MetricsAnswer MetricsGroup MetricsPeriod UnattributedCosts"
    ),
    "background": "BackgroundClient Refusal",
    "errors": "CallError InvalidEventError InvalidRecordError RefusedError UnavailableError",
    "llm": "LlmPrice LlmPrices LlmUsage llm_usage",
    "records": (
        "Checkout CostRow Event EventName IntervalLimits Llm MetricsLimits Money Order "
        "RecordConflict Recorded Refund Seat StatesRecorded Subscription"
    ),
    "sync": "Client",
    "tables": "AsyncRecords Records",
    "tracking": "Track TrackedEvent TrackedFields current_event",
}
"""The modules of these names; those of all others are in `inputs`."""

_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Loads a module with the first of its names that is asked for: a program waits for none
    that it does not use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF.get(name, 'inputs')}")
    return globals().setdefault(name, getattr(module, name))


def __dir__() -> list[str]:
    return __all__
