"""Statements about subscriptions make the same metrics in whatever order and requests they come."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from google.protobuf import json_format, struct_pb2, timestamp_pb2
from hypothesis import strategies as st

from cost_insights.v1 import event_pb2, event_service_pb2, revenue_pb2, revenue_service_pb2
from tests.support.revenue import money, new_subscription
from tests.support.service import Caller, Service, new_event

FIELD = Path(__file__).parents[2] / "vectors" / "field"
FIELD_CASES = [
    ["order_1_created", "order_2_cycled_late_ts", "order_3_canceled_earlier_ts"],
    ["sametime_1_created", "sametime_2_cycled", "sametime_3_canceled"],
]


def splits(events: Sequence[Any]) -> Iterator[list[Sequence[Any]]]:
    """All ways to send events in requests, in their order."""
    for cuts in itertools.product([False, True], repeat=len(events) - 1):
        places = [0, *(place for place, cut in enumerate(cuts, 1) if cut), len(events)]
        yield [events[first:last] for first, last in itertools.pairwise(places)]


@pytest.mark.parametrize("names", FIELD_CASES, ids=[names[0] for names in FIELD_CASES])
def test_the_field(service: Service, names: Sequence[str]) -> None:
    """A cancellation that comes after what happened later, or at its time, counts."""
    events = [
        event
        for name in names
        for event in json_format.Parse(
            (FIELD / f"{name}.json").read_text(), event_service_pb2.IngestEventsRequest()
        ).events
    ]
    for permutation in itertools.permutations(events):
        for requests in splits(permutation):
            caller = service.caller()
            for request in requests:
                answer = caller.ingest(*request)
                assert answer == event_service_pb2.IngestEventsResponse(inserted=len(request))
            assert caller.ingest(*events) == event_service_pb2.IngestEventsResponse(duplicates=3)
            metrics = caller.get_metrics(
                start_date="2026-09-01",
                end_date="2026-11-30",
                interval="INTERVAL_MONTH",
                metrics=[
                    "canceled_subscriptions",
                    "churned_subscriptions",
                    "monthly_recurring_revenue",
                ],
            )
            assert [
                (
                    period.canceled_subscriptions,
                    period.churned_subscriptions,
                    period.monthly_recurring_revenue,
                )
                for period in metrics.periods
            ] == [(0, 0, "1000"), (1, 0, "1000"), (0, 1, "0")]
            caller.channel.close()


# Any life

SPAN = {"start_date": "2001-01-01", "end_date": "2001-12-31", "interval": "INTERVAL_MONTH"}


def on_day(day: int) -> timestamp_pb2.Timestamp:
    """A time of the year 2001."""
    return timestamp_pb2.Timestamp(seconds=978_307_200 + day * 86_400)


RANKS = ["product_updated", "cycled", "uncanceled", "reinstated", "canceled", "revoked"]


@dataclass(frozen=True)
class Change:
    """A change, and what it makes of a subscription."""

    day: int
    kind: str
    ends_day: int
    product_id: str

    def event(self, subscription_id: str) -> event_pb2.NewEvent:
        """The event as it is sent."""
        said: dict[str, Any] = {"subscription_id": subscription_id}
        if self.kind == "canceled":
            said["ends_at"] = on_day(self.ends_day).ToJsonString()
            said["customer_cancellation_reason"] = "unused"
        if self.kind == "product_updated":
            said["new_product_id"] = self.product_id
        return system_event(f"subscription.{self.kind}", self.day, said)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of the state that the change sets."""
        goes_on: dict[str, Any] = {
            "uncanceled_time": on_day(self.day),
            "ends_time": None,
            "ended_time": None,
        }
        fields: dict[str, dict[str, Any]] = {
            "product_updated": {"product_id": self.product_id},
            "cycled": {},
            "uncanceled": goes_on,
            "reinstated": goes_on,
            "canceled": {
                "canceled_time": on_day(self.day),
                "cancel_reason": revenue_pb2.CANCEL_REASON_UNUSED,
                "ends_time": on_day(self.ends_day),
            },
            "revoked": {"ended_time": on_day(self.day)},
        }
        return fields[self.kind]


def system_event(name: str, day: int, said: Mapping[str, Any]) -> event_pb2.NewEvent:
    """A system event."""
    metadata = struct_pb2.Struct()
    metadata.update(said)
    return new_event(name=name, metadata=metadata, timestamp=on_day(day))


Said = event_pb2.NewEvent | revenue_pb2.NewSubscription


@dataclass(frozen=True)
class Life:
    """All that is said of a subscription, and what it is together on paper."""

    statements: Sequence[Said]
    state: revenue_pb2.NewSubscription


@st.composite
def lives(draw: st.DrawFn, subscription_id: str) -> Life:
    """A start, some states, and changes of any times, many of which are the same."""
    days = st.integers(0, 12).map(lambda number: 25 * number)
    lasting = {
        "amount": money("700"),
        "started_time": on_day(0),
        "recurring_interval": revenue_pb2.RECURRING_INTERVAL_MONTH,
    }
    start_day = draw(days)
    start = system_event(
        "subscription.created",
        start_day,
        {
            "subscription_id": subscription_id,
            "amount": 700,
            "currency": "usd",
            "recurring_interval": "month",
            "started_at": on_day(0).ToJsonString(),
            "product_id": "p",
        },
    )
    states = [
        new_subscription(
            subscription_id,
            product_id=draw(st.sampled_from("pqr")),
            trial_end_time=draw(st.none() | days.map(on_day)),
            ends_time=draw(st.none() | days.map(on_day)),
            update_time=on_day(day),
            **lasting,
        )
        for day in draw(st.lists(days, max_size=2, unique=True))
    ]
    changes = draw(
        st.lists(
            st.builds(Change, days, st.sampled_from(RANKS), days, st.sampled_from("pqr")),
            max_size=8,
            # Which of two changes of one kind and time counts is not said.
            unique_by=lambda change: (change.kind, change.day),
        )
    )
    fields: dict[str, Any] = {**lasting, "subscription_id": subscription_id, "product_id": "p"}
    base_day = start_day
    if states:
        latest = max(states, key=lambda state: state.update_time.seconds)
        base_day = (latest.update_time.seconds - on_day(0).seconds) // 86_400
        changes_after = [change for change in changes if change.day >= base_day]
        fields = {field.name: value for field, value in latest.ListFields()}
    else:
        changes_after = changes
    for change in sorted(changes_after, key=lambda one: (one.day, RANKS.index(one.kind))):
        fields |= change.fields
    update_day = max([base_day, *(change.day for change in changes_after)])
    state = new_subscription(**{**fields, "update_time": on_day(update_day)})
    return Life([start, *states, *(change.event(subscription_id) for change in changes)], state)


def send(caller: Caller, request: Sequence[Said]) -> None:
    """Sends what is said, states and events by their own calls."""
    events = [one for one in request if isinstance(one, event_pb2.NewEvent)]
    states = [one for one in request if isinstance(one, revenue_pb2.NewSubscription)]
    if events:
        assert not caller.ingest(*events).conflicts
    if states:
        caller.revenue.RecordSubscriptions(
            revenue_service_pb2.RecordSubscriptionsRequest(subscriptions=states),
            metadata=caller.metadata,
        )


def known(caller: Caller) -> tuple[Any, ...]:
    """The subscriptions, whose customers have no UUID here, and all metrics."""
    listed = caller.revenue.ListSubscriptions(
        revenue_service_pb2.ListSubscriptionsRequest(), metadata=caller.metadata
    ).subscriptions
    for subscription in listed:
        subscription.customer_id = ""
    return list(listed), caller.get_metrics(**SPAN)


@pytest.mark.slow
@hypothesis.given(st.tuples(lives("a"), lives("b")), st.randoms(use_true_random=False))
@hypothesis.settings(max_examples=40)
def test_any_order(service: Service, lived: Sequence[Life], rng: random.Random) -> None:
    """Subscriptions and metrics are those of the states on paper, however statements come."""
    paper = service.caller()
    send(paper, [life.state for life in lived])
    statements = [one for life in lived for one in life.statements]
    for _ in range(3):
        caller = service.caller()
        shuffled = rng.sample(statements, len(statements))
        while shuffled:
            size = rng.randint(1, len(shuffled))
            send(caller, shuffled[:size])
            send(caller, rng.choices(statements, k=1))
            shuffled = shuffled[size:]
            if rng.random() < 0.3:
                caller.get_metrics(**SPAN)  # what is remembered must follow
        assert known(caller) == known(paper)
        caller.channel.close()
    paper.channel.close()
