"""Events and records of revenue as a program sends them, and the filters of lists, as types.

The keys are the fields of the messages in `proto/cost_insights/v1`, which say what each is for.
Times are aware `datetime`s. Messages are taken in the place of each of these mappings.
"""

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Required, TypedDict

from cost_insights.v1 import event_pb2, revenue_pb2

Interval = Literal["hour", "day", "week", "month", "year"]
GroupBy = Literal["event_name", "llm_vendor", "llm_model", "customer", "product"]
ExportFormat = Literal["csv", "json_lines", "focus"]
BillingType = Literal["one_time", "recurring"]
RefundKind = Literal["refund", "refund_reversal", "dispute", "dispute_reversal"]
RecurringInterval = Literal["day", "week", "month", "year"]
CancelReason = Literal[
    "customer_service",
    "low_quality",
    "missing_features",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
    "other",
]
CheckoutStatus = Literal["open", "confirmed", "expired", "failed", "succeeded"]
Outcome = Literal["inserted", "updated", "unchanged", "outdated"]
MetricType = Literal["scalar", "currency", "currency_sub_cent", "percentage"]

Amount = str | int | Decimal
"""An exact amount."""

Time = datetime.datetime | str
"""An aware `datetime`, or a text such as "2026-11-23T09:00:00Z"."""


class NewCost(TypedDict):
    """The cost of an event, in cents; a float counts as its shortest decimal form, rounded
    half-even to 12 decimals."""

    amount: Amount | float
    currency: str


class NewLlm(TypedDict, total=False):
    """The LLM call that an event stands for."""

    vendor: Required[str]
    model: Required[str]
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_input_tokens: int
    prompt: str
    response: str


class NewEvent(TypedDict, total=False):
    """An event. One of the two customers is needed."""

    name: Required[str]
    external_customer_id: str
    customer_id: str
    timestamp: Time
    external_id: str
    parent_id: str
    external_member_id: str
    cost: NewCost
    llm: NewLlm
    product_id: str
    metadata: Mapping[str, Any]


class NewMoney(TypedDict):
    """An amount in cents of any currency."""

    amount: Amount
    currency: str


class NewOrder(TypedDict, total=False):
    """A paid order. One of the two customers is needed."""

    order_id: Required[str]
    external_customer_id: str
    customer_id: str
    product_id: str
    billing_type: Required[BillingType]
    subscription_id: str
    net_amount: Required[NewMoney]
    exchange_rate: Amount
    applied_balance: Amount
    fee: Amount
    created_time: Required[Time]
    paid_time: Time


class NewRefund(TypedDict, total=False):
    """A refund, a dispute, or the reversal of one."""

    refund_id: Required[str]
    kind: Required[RefundKind]
    order_id: Required[str]
    amount: Required[NewMoney]
    exchange_rate: Amount
    fee: Amount
    created_time: Required[Time]


class NewSubscription(TypedDict, total=False):
    """The state of a subscription at a time. One of the two customers is needed."""

    subscription_id: Required[str]
    external_customer_id: str
    customer_id: str
    product_id: str
    amount: Required[NewMoney]
    recurring_interval: Required[RecurringInterval]
    recurring_interval_count: int
    started_time: Required[Time]
    trial_end_time: Time
    canceled_time: Time
    cancel_reason: CancelReason
    uncanceled_time: Time
    ends_time: Time
    ended_time: Time
    update_time: Required[Time]


class NewCheckout(TypedDict, total=False):
    """The state of a checkout at a time."""

    checkout_id: Required[str]
    external_customer_id: str
    customer_id: str
    product_id: str
    billing_type: BillingType
    status: Required[CheckoutStatus]
    created_time: Required[Time]
    opened_time: Time
    update_time: Required[Time]


class NewSeat(TypedDict, total=False):
    """The state of a seat at a time. One of the two customers and one of the two purchases are
    needed."""

    seat_id: Required[str]
    external_customer_id: str
    customer_id: str
    subscription_id: str
    order_id: str
    product_id: str
    created_time: Required[Time]
    claimed_time: Time
    revoked_time: Time
    update_time: Required[Time]


EventLike = NewEvent | event_pb2.NewEvent
OrderLike = NewOrder | revenue_pb2.NewOrder
RefundLike = NewRefund | revenue_pb2.Refund
SubscriptionLike = NewSubscription | revenue_pb2.NewSubscription
CheckoutLike = NewCheckout | revenue_pb2.NewCheckout
SeatLike = NewSeat | revenue_pb2.NewSeat


class Question(TypedDict, total=False):
    """The arguments of `metrics` and `export` of a client.

    `start` and `end` are days, both included: a `date`, or a text such as "2026-11-23". `interval`
    is by default a day; `timezone` is a name of the IANA database, by default UTC. Lists restrict
    the customers and events that count; empty lists restrict nothing. `metrics` are slugs, by
    default all. With `group_by`, the groups with the greatest costs come first, or those with the
    greatest total of `order_by`, at most `groups_max` (10 by default), and a last one for all
    others.
    """

    start: Required[datetime.date | str]
    end: Required[datetime.date | str]
    interval: Interval | None
    timezone: str
    customer_ids: Sequence[str]
    external_customer_ids: Sequence[str]
    event_names: Sequence[str]
    llm_vendors: Sequence[str]
    llm_models: Sequence[str]
    product_ids: Sequence[str]
    billing_types: Sequence[BillingType]
    metrics: Sequence[str]
    group_by: GroupBy | None
    groups_max: int | None
    order_by: str


class CostFilter(TypedDict, total=False):
    """The arguments of `list_costs`, which mean the same as those of `Question`."""

    start: Required[datetime.date | str]
    end: Required[datetime.date | str]
    timezone: str
    customer_ids: Sequence[str]
    external_customer_ids: Sequence[str]
    event_names: Sequence[str]
    llm_vendors: Sequence[str]
    llm_models: Sequence[str]
    product_ids: Sequence[str]
    billing_types: Sequence[BillingType]


class _Filter(TypedDict, total=False):
    start_time: Time
    """Only what happened at this time or later."""
    end_time: Time
    """Only what happened before this time."""
    customer_ids: Sequence[str]
    external_customer_ids: Sequence[str]
    page_size: int
    """The number of records that one call takes, up to 1000."""


class MetadataFilter(TypedDict):
    """A key of the metadata and the values looked for; see `MetadataFilter` in the proto."""

    key: str
    values: Sequence[str]


class EventFilter(_Filter, total=False):
    """The arguments of `list_events`, of which each restricts what is listed."""

    event_names: Sequence[str]
    product_ids: Sequence[str]
    llm_vendors: Sequence[str]
    llm_models: Sequence[str]
    metadata: Sequence[MetadataFilter]


class RevenueFilter(_Filter, total=False):
    """The arguments of the lists of revenue, of which each restricts what is listed."""

    product_ids: Sequence[str]


class SubscriptionFilter(RevenueFilter, total=False):
    """The arguments of `list_subscriptions`."""

    active: bool
    """Only subscriptions that are active now, or only the others."""
