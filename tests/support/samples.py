"""One valid request for each RPC, for tests about all of them."""

from collections.abc import Mapping

from google.protobuf.message import Message

from cost_insights.v1 import event_service_pb2, metrics_service_pb2, revenue_service_pb2
from tests.support.revenue import (
    new_checkout,
    new_order,
    new_refund,
    new_seat,
    new_subscription,
)
from tests.support.service import METHODS, new_event

EVENTS = "/cost_insights.v1.EventService"
METRICS = "/cost_insights.v1.MetricsService"
REVENUE = "/cost_insights.v1.RevenueService"

SAMPLES: Mapping[str, Message] = {
    f"{EVENTS}/IngestEvents": event_service_pb2.IngestEventsRequest(
        events=[new_event(cost="0.025")]
    ),
    f"{EVENTS}/StreamEvents": event_service_pb2.StreamEventsRequest(
        stream_id="stream-1",
        sequence=1,
        batch=event_service_pb2.IngestEventsRequest(events=[new_event(cost="0.025")]),
    ),
    f"{EVENTS}/ListEvents": event_service_pb2.ListEventsRequest(page_size=10),
    f"{EVENTS}/GetEvent": event_service_pb2.GetEventRequest(
        id="1dbfc517-0bbf-4301-9ba8-555ca42b9737"
    ),
    f"{EVENTS}/ListEventNames": event_service_pb2.ListEventNamesRequest(query="llm"),
    f"{METRICS}/GetMetrics": metrics_service_pb2.GetMetricsRequest(
        start_date="2026-11-01", end_date="2026-11-23"
    ),
    f"{METRICS}/ExportMetrics": metrics_service_pb2.ExportMetricsRequest(
        metrics=metrics_service_pb2.GetMetricsRequest(
            start_date="2026-11-01", end_date="2026-11-23"
        ),
        format=metrics_service_pb2.EXPORT_FORMAT_FOCUS,
    ),
    f"{METRICS}/GetMetricsLimits": metrics_service_pb2.GetMetricsLimitsRequest(),
    f"{REVENUE}/RecordOrders": revenue_service_pb2.RecordOrdersRequest(orders=[new_order()]),
    f"{REVENUE}/RecordRefunds": revenue_service_pb2.RecordRefundsRequest(refunds=[new_refund()]),
    f"{REVENUE}/RecordSubscriptions": revenue_service_pb2.RecordSubscriptionsRequest(
        subscriptions=[new_subscription()]
    ),
    f"{REVENUE}/RecordCheckouts": revenue_service_pb2.RecordCheckoutsRequest(
        checkouts=[new_checkout()]
    ),
    f"{REVENUE}/RecordSeats": revenue_service_pb2.RecordSeatsRequest(seats=[new_seat()]),
    f"{REVENUE}/ListOrders": revenue_service_pb2.ListOrdersRequest(page_size=10),
    f"{REVENUE}/ListRefunds": revenue_service_pb2.ListRefundsRequest(page_size=10),
    f"{REVENUE}/ListSubscriptions": revenue_service_pb2.ListSubscriptionsRequest(active=True),
    f"{REVENUE}/ListCheckouts": revenue_service_pb2.ListCheckoutsRequest(page_size=10),
    f"{REVENUE}/ListSeats": revenue_service_pb2.ListSeatsRequest(page_size=10),
}

assert SAMPLES.keys() == METHODS.keys()
