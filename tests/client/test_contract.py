"""The types of the client against the contract: what the protos gain is not forgotten here."""

import dataclasses
import typing
from typing import Any

import pytest

from cost_insights.client import answers, inputs, records
from cost_insights.client.requests import words
from cost_insights.v1 import (
    cost_pb2,
    event_pb2,
    event_service_pb2,
    metrics_service_pb2,
    revenue_pb2,
    revenue_service_pb2,
)

ENUMS = {
    "Interval": metrics_service_pb2.Interval,
    "GroupBy": metrics_service_pb2.GroupBy,
    "MetricType": metrics_service_pb2.MetricType,
    "ExportFormat": metrics_service_pb2.ExportFormat,
    "BillingType": revenue_pb2.BillingType,
    "RefundKind": revenue_pb2.RefundKind,
    "RecurringInterval": revenue_pb2.RecurringInterval,
    "CancelReason": revenue_pb2.CancelReason,
    "CheckoutStatus": revenue_pb2.CheckoutStatus,
    "Outcome": revenue_service_pb2.StateOutcome,
}

INPUTS = {
    "NewCost": cost_pb2.Cost,
    "NewLlm": cost_pb2.Llm,
    "NewEvent": event_pb2.NewEvent,
    "NewMoney": revenue_pb2.Money,
    "NewOrder": revenue_pb2.NewOrder,
    "NewRefund": revenue_pb2.Refund,
    "NewSubscription": revenue_pb2.NewSubscription,
    "NewCheckout": revenue_pb2.NewCheckout,
    "NewSeat": revenue_pb2.NewSeat,
    "MetadataFilter": event_service_pb2.MetadataFilter,
    "EventFilter": event_service_pb2.ListEventsRequest,
    "RevenueFilter": revenue_service_pb2.ListOrdersRequest,
    "SubscriptionFilter": revenue_service_pb2.ListSubscriptionsRequest,
    "Question": metrics_service_pb2.GetMetricsRequest,
}

RECORDS = {
    "Llm": cost_pb2.Llm,
    "Event": event_pb2.Event,
    "EventName": event_service_pb2.EventName,
    "Money": revenue_pb2.Money,
    "Order": revenue_pb2.Order,
    "Refund": revenue_pb2.Refund,
    "Subscription": revenue_pb2.Subscription,
    "Checkout": revenue_pb2.Checkout,
    "Seat": revenue_pb2.Seat,
}

ANSWERS = {
    "Conflict": event_service_pb2.EventConflict,
    "Fault": event_service_pb2.EventFault,
    "Ingested": event_service_pb2.IngestEventsResponse,
    "Metric": metrics_service_pb2.Metric,
    "MetricsGroup": metrics_service_pb2.MetricsGroup,
    "UnattributedCosts": metrics_service_pb2.UnattributedCosts,
}

OTHER_NAMES = {"start_date": "start", "end_date": "end"}
"""Fields that the client calls otherwise."""


def fields(message: Any) -> set[str]:
    """The fields of a message, by their names in the client; lists hide their pages."""
    names = {field.name for field in message.DESCRIPTOR.fields} - {"page_token"}
    return {OTHER_NAMES.get(name, name) for name in names}


@pytest.mark.parametrize("name", ENUMS)
def test_words(name: str) -> None:
    """The words of an enum are those of the proto, in its order."""
    expected = list(words(ENUMS[name].DESCRIPTOR))
    assert list(typing.get_args(getattr(inputs, name))) == expected


@pytest.mark.parametrize("name", INPUTS)
def test_inputs(name: str) -> None:
    """The keys of what is sent are the fields of its message."""
    assert set(typing.get_type_hints(getattr(inputs, name))) == fields(INPUTS[name])


@pytest.mark.parametrize("name", [*RECORDS, *ANSWERS])
def test_answers(name: str) -> None:
    """Each record and answer has the fields of its message."""
    module, messages = (records, RECORDS) if name in RECORDS else (answers, ANSWERS)
    kind = getattr(module, name)
    assert {field.name for field in dataclasses.fields(kind)} == fields(messages[name])


def test_costs_are_asked_for_like_metrics() -> None:
    """The filters of `list_costs` are those of metrics without what an export refuses."""
    question = set(typing.get_type_hints(inputs.Question))
    refused = {"interval", "metrics", "group_by", "groups_max", "order_by"}
    assert set(typing.get_type_hints(inputs.CostFilter)) == question - refused
