"""The demo's events are what they are said to be."""

import datetime as dt
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from google.protobuf import json_format

from cost_insights.cli.demo_events import (
    EXAMPLE_CUSTOMERS,
    EXAMPLES,
    EXAMPLES_COST,
    PRICED_CALLS,
    generate,
    priced_call,
)
from cost_insights.v1.event_service_pb2 import IngestEventsRequest

LAST_DAY = dt.date(2026, 11, 22)


@pytest.mark.slow
def test_a_month_is_a_function_of_its_seed() -> None:
    """The same seed makes the same month; another seed another one."""
    month = list(generate(seed=1, last_day=LAST_DAY))
    assert month == list(generate(seed=1, last_day=LAST_DAY))
    assert month != list(generate(seed=2, last_day=LAST_DAY))


@pytest.mark.parametrize("seed", [0, 1, 4_294_967_295])
def test_a_month_has_what_a_business_has(seed: int) -> None:
    """Thirty days, two hundred customers of very different size, three kinds of events."""
    month = list(generate(seed=seed, last_day=LAST_DAY))
    assert len(month) == 20_000
    assert len({event.external_id for event in month}) == 20_000
    assert [event.time for event in month] == sorted(event.time for event in month)
    days = {event.time.date() for event in month}
    assert days == {LAST_DAY - dt.timedelta(days=back) for back in range(30)}
    customers = Counter(event.customer for event in month).most_common()
    assert len(customers) == 200
    assert customers[0][1] > 50 * customers[-1][1]
    assert {event.name for event in month} == {"llm.completion", "email.sent", "video.processing"}
    assert len({(event.llm.vendor, event.llm.model) for event in month if event.llm}) == 6
    assert {event.cost for event in month if event.name == "email.sent"} == {Decimal("0.0001")}


@pytest.mark.parametrize("events", [1, 7, 1_000])
def test_a_month_has_as_many_events_as_asked_for(events: int) -> None:
    """No event gets lost between the days."""
    assert len(list(generate(seed=1, last_day=LAST_DAY, events=events))) == events


def test_amounts_are_sent_as_they_are_summed() -> None:
    """The text of each amount is the decimal that the sum on paper has."""
    for event in generate(seed=1, last_day=LAST_DAY, events=500):
        message = event.message()
        assert Decimal(message.cost.amount) == event.cost
        assert "E" not in message.cost.amount
        assert message.timestamp.ToDatetime(dt.UTC) == event.time


def test_the_examples_are_the_documented_ones() -> None:
    """The demo sends the folder of examples, no more and no less."""
    folder = Path(__file__).parents[2] / "proto" / "examples"
    documented = [file.read_text() for file in folder.glob("*.json")]
    priced = [json.dumps(priced_call(read, written)) for read, written, _ in PRICED_CALLS]
    sent = [json.loads(text) for text in (*EXAMPLES, *priced)]
    assert sorted(map(json.dumps, sent)) == sorted(json.dumps(json.loads(t)) for t in documented)


def test_the_examples_are_worth_what_is_summed() -> None:
    """The amounts of the documented requests add up to the constants."""
    requests = [json_format.Parse(text, IngestEventsRequest()) for text in EXAMPLES]
    amounts = [
        json.loads(text, parse_float=Decimal)["events"][0]["metadata"]["_cost"]["amount"]
        for text in EXAMPLES
    ]
    assert sum(amounts) == EXAMPLES_COST
    customers = {request.events[0].external_customer_id for request in requests}
    assert customers | {"cus_abc123"} == EXAMPLE_CUSTOMERS


def test_calls_priced_in_code_carry_noise() -> None:
    """The costs of priced calls include a number that binary floats blur, as the documents warn."""
    [exact, blurred] = [
        priced_call(read, written)["events"][0]["metadata"]["_cost"]["amount"]
        for read, written, _ in PRICED_CALLS
    ]
    assert [repr(exact), repr(blurred)] == ["0.909", "0.045000000000000005"]
    assert [cost for *_, cost in PRICED_CALLS] == [Decimal("0.909"), Decimal("0.045")]
