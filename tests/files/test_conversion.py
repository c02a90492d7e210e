"""Options say how a file differs from the documented form, and change values exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_insights.files import csv_records, ndjson
from cost_insights.files.conversion import Conversion, Timestamps, Unit
from cost_insights.files.ndjson import LineFault
from cost_insights.v1.event_pb2 import NewEvent

NAMES = {"amount": "cost", "user": "external_customer_id", "where": "metadata.region"}


def read(line: str, conversion: Conversion) -> NewEvent:
    """The event of a line of JSON that is one."""
    event = ndjson.read_event(line.encode(), conversion.document)
    assert isinstance(event, NewEvent), event
    return event


def read_csv(text: str, conversion: Conversion) -> NewEvent | LineFault:
    """The event or fault of the only record of CSV."""
    (record,) = csv_records.read_records(
        [text.encode()], names=conversion.names, convert=conversion.values
    )
    return record.event


def test_names_are_those_of_the_file() -> None:
    """A column or field fills the field that it is mapped to, in JSON as in CSV."""
    conversion = Conversion(names=NAMES)
    expected = read(
        '{"name": "x", "external_customer_id": "u", "cost": {"amount": "0.5", "currency": "usd"}, '
        '"metadata": {"region": "eu"}}',
        Conversion(),
    )
    line = '{"name": "x", "user": "u", "amount": %s, "where": "eu"}'
    for amount in ("0.5", '"0.5"', '{"amount": 0.5, "currency": "usd"}'):
        assert read(line % amount, conversion) == expected
    assert read_csv("name,user,amount,where\nx,u,0.5,eu\n", conversion) == expected
    assert read('{"name": "x", "amount": null}', conversion) == NewEvent(name="x")


def test_a_name_that_is_mapped_to_what_is_there_is_refused() -> None:
    """No value takes the place of another one."""
    found = ndjson.read_event(
        b'{"amount": 1, "cost": {"amount": 2}}', Conversion(names=NAMES).document
    )
    assert found == LineFault("amount", "FIELDS_CONFLICT", "is mapped to cost, which is also given")
    with pytest.raises(csv_records.HeaderError, match="'cost' occurs more than once"):
        read_csv("amount,cost\n1,2\n", Conversion(names=NAMES))


@pytest.mark.parametrize(
    ("number", "timestamps", "expected"),
    [
        ("1764547200", Timestamps.SECONDS, "2025-12-01T00:00:00Z"),
        ("1.7645472E9", Timestamps.SECONDS, "2025-12-01T00:00:00Z"),
        ("1764547200.123456789", Timestamps.SECONDS, "2025-12-01T00:00:00.123456789Z"),
        ("1764547200.10", Timestamps.SECONDS, "2025-12-01T00:00:00.100Z"),
        ("0", Timestamps.SECONDS, "1970-01-01T00:00:00Z"),
        ("1764547200001", Timestamps.MILLISECONDS, "2025-12-01T00:00:00.001Z"),
        ("1764547200000.5", Timestamps.MILLISECONDS, "2025-12-01T00:00:00.000500Z"),
    ],
)
def test_times_are_numbers_where_an_option_says_so(
    number: str, timestamps: Timestamps, expected: str
) -> None:
    """Numbers are read exactly, as numbers and as text; times as text still are."""
    conversion = Conversion(timestamps=timestamps)
    for written in (number, f'"{number}"', f'"{expected}"'):
        event = read(f'{{"timestamp": {written}}}', conversion)
        assert event.timestamp.ToJsonString() == expected
    found = read_csv(f"name,timestamp\nx,{number}\n", conversion)
    assert isinstance(found, NewEvent)
    assert found.timestamp.ToJsonString() == expected


@pytest.mark.parametrize(
    ("number", "timestamps", "why"),
    [
        ("1764547200000", Timestamps.SECONDS, "looks like milliseconds and not seconds since 1970"),
        ("1764547200", Timestamps.MILLISECONDS, "looks like seconds and not milliseconds since"),
        ("-1", Timestamps.SECONDS, "is not a number of seconds since 1970"),
        ("NaN", Timestamps.SECONDS, "is not a number of seconds since 1970"),
        ("1e99", Timestamps.MILLISECONDS, "is not a number of milliseconds since 1970"),
        ("1e18", Timestamps.MILLISECONDS, "is later than the year 9999"),
        ("1764547200.1234567891", Timestamps.SECONDS, "has parts of a nanosecond"),
        ("yesterday", Timestamps.SECONDS, "is not a time with an offset"),
    ],
)
def test_numbers_that_are_no_times_are_refused(
    number: str, timestamps: Timestamps, why: str
) -> None:
    """Seconds are never taken for milliseconds, and no time is rounded."""
    found = read_csv(f"name,timestamp\nx,{number}\n", Conversion(timestamps=timestamps))
    assert isinstance(found, LineFault)
    assert found.message.startswith(f"{number} {why}")


@given(st.decimals("-90000", "90000", places=10), st.booleans())
def test_dollars_are_cents_exactly(dollars: Decimal, as_text: bool) -> None:
    """An amount in dollars is multiplied by 100, to the last digit, wherever it stands."""
    conversion = Conversion(unit=Unit.DOLLARS)
    written = f'"{dollars:f}"' if as_text else f"{dollars:f}"
    cost = f'{{"amount": {written}, "currency": "usd"}}'
    event = read(f'{{"cost": {cost}, "metadata": {{"_cost": {cost}}}}}', conversion)
    assert Decimal(event.cost.amount) == dollars * 100
    special = event.metadata.fields["_cost"].struct_value.fields["amount"]
    assert Decimal(special.string_value) == dollars * 100
    found = read_csv(f"name,cost\nx,{dollars:f}\n", conversion)
    assert isinstance(found, NewEvent)
    assert Decimal(found.cost.amount) == dollars * 100


@pytest.mark.parametrize(
    ("dollars", "cents"),
    [("0.30000000000000004", "30"), ("1e-14", "1E-12"), ("many", "many"), ("Infinity", "Infinity")],
)
def test_computed_dollars(dollars: str, cents: str) -> None:
    """Noise is rounded once, in cents; what is no number is left to the service."""
    found = read_csv(f"name,cost\nx,{dollars}\n", Conversion(unit=Unit.DOLLARS))
    assert isinstance(found, NewEvent)
    assert found.cost.amount == cents
