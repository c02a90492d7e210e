"""The export of costs keeps the rules of FOCUS 1.2 and holds every cost, to the last digit."""

import csv
import io
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.protobuf import timestamp_pb2

from cost_insights import cells, identity
from cost_insights.metrics.exports import cost_rows as details
from cost_insights.v1 import event_pb2, metrics_service_pb2
from tests.reference import costs as reference
from tests.support.service import Caller, Service, new_event, refused

Row = Mapping[str, str]

EXACT = Context(prec=60)

ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")

CHARGE_CATEGORIES = frozenset({"Usage", "Purchase", "Tax", "Credit", "Adjustment"})
CHARGE_FREQUENCIES = frozenset({"One-Time", "Recurring", "Usage-Based"})
SUBCATEGORIES = {
    "AI and Machine Learning": {
        "AI Platforms",
        "Bots",
        "Generative AI",
        "Machine Learning",
        "Natural Language Processing",
        "Other (AI and Machine Learning)",
    },
    "Other": {"Other (Other)"},
}
"""The categories that are used; the specification has more."""


@dataclass(frozen=True)
class Column:
    """The rules of the specification about one column."""

    name: str
    kind: str
    """string, decimal, datetime or json"""
    nullable: bool = False
    allowed: frozenset[str] | None = None


COLUMNS = (
    Column("BilledCost", "decimal"),
    Column("BillingAccountId", "string"),
    Column("BillingAccountName", "string", nullable=True),
    Column("BillingCurrency", "string", allowed=frozenset({"USD"})),
    Column("BillingPeriodEnd", "datetime"),
    Column("BillingPeriodStart", "datetime"),
    Column("ChargeCategory", "string", allowed=CHARGE_CATEGORIES),
    Column("ChargeClass", "string", nullable=True, allowed=frozenset({"Correction"})),
    Column("ChargeDescription", "string"),
    Column("ChargeFrequency", "string", allowed=CHARGE_FREQUENCIES),
    Column("ChargePeriodEnd", "datetime"),
    Column("ChargePeriodStart", "datetime"),
    Column("CommitmentDiscountStatus", "string", nullable=True, allowed=frozenset()),
    Column("ConsumedQuantity", "decimal", nullable=True),
    Column("ConsumedUnit", "string", nullable=True),
    Column("ContractedCost", "decimal"),
    Column("EffectiveCost", "decimal"),
    Column("InvoiceId", "string", nullable=True),
    Column("InvoiceIssuerName", "string"),
    Column("ListCost", "decimal"),
    Column("PricingQuantity", "decimal", nullable=True),
    Column("PricingUnit", "string", nullable=True),
    Column("ProviderName", "string"),
    Column("PublisherName", "string"),
    Column("ServiceCategory", "string", allowed=frozenset(SUBCATEGORIES)),
    Column("ServiceName", "string"),
    Column("ServiceSubcategory", "string", allowed=frozenset().union(*SUBCATEGORIES.values())),
    Column("SubAccountId", "string", nullable=True),
    Column("SubAccountName", "string", nullable=True),
    Column("Tags", "json", nullable=True),
    Column("x_EventCount", "decimal"),
    Column("x_ModelName", "string", nullable=True),
    Column("x_ModelVendor", "string", nullable=True),
    Column("x_ProductId", "string", nullable=True),
)

MANDATORY = frozenset(
    {
        "BilledCost",
        "BillingAccountId",
        "BillingAccountName",
        "BillingCurrency",
        "BillingPeriodEnd",
        "BillingPeriodStart",
        "ChargeCategory",
        "ChargeClass",
        "ChargeDescription",
        "ChargePeriodEnd",
        "ChargePeriodStart",
        "ContractedCost",
        "EffectiveCost",
        "InvoiceIssuerName",
        "ListCost",
        "PricingQuantity",
        "PricingUnit",
        "ProviderName",
        "PublisherName",
        "ServiceCategory",
        "ServiceName",
    }
)
"""The columns that every data set of FOCUS 1.2 has."""

RULES: Mapping[str, Callable[[Row], bool]] = {
    "the billing period is a span": lambda r: r["BillingPeriodStart"] < r["BillingPeriodEnd"],
    "the charge period is a span": lambda r: r["ChargePeriodStart"] < r["ChargePeriodEnd"],
    "the charge period lies in the billing period": lambda r: (
        r["BillingPeriodStart"] <= r["ChargePeriodStart"]
        and r["ChargePeriodEnd"] <= r["BillingPeriodEnd"]
    ),
    "nothing is known to be a correction": lambda r: r["ChargeClass"] == "",
    "usage is not negative here": lambda r: (
        (r["ChargeCategory"] == "Usage") == (not r["BilledCost"].startswith("-"))
    ),
    "only usage has a consumed quantity": lambda r: (
        (r["ChargeCategory"] == "Usage") == (r["ConsumedQuantity"] != "")
    ),
    "usage has a pricing quantity": lambda r: (
        r["ChargeCategory"] != "Usage" or r["PricingQuantity"] != ""
    ),
    "a quantity has a unit": lambda r: (
        (r["ConsumedQuantity"] == "") == (r["ConsumedUnit"] == "")
        and (r["PricingQuantity"] == "") == (r["PricingUnit"] == "")
    ),
    "the cost of a credit is its billed cost": lambda r: r["EffectiveCost"] == r["BilledCost"],
    "no price was negotiated": lambda r: r["ContractedCost"] == r["ListCost"] == r["BilledCost"],
    "a subcategory has one category": lambda r: (
        r["ServiceSubcategory"] in SUBCATEGORIES[r["ServiceCategory"]]
    ),
    "a sub account has a name": lambda r: (r["SubAccountId"] == "") == (r["SubAccountName"] == ""),
    "nothing is invoiced": lambda r: r["InvoiceId"] == "",
}
"""The rules of the specification about several columns of the export together."""

BERLIN = ZoneInfo("Europe/Berlin")


def event(time: datetime, cost: str | None, customer: str, **fields: Any) -> event_pb2.NewEvent:
    """An event at a time."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(time)
    return new_event(timestamp=stamp, cost=cost, external_customer_id=customer, **fields)


def rows_of(parts: Sequence[str]) -> list[Row]:
    """The rows of an export, whose header is the one there must be."""
    header, *rows = csv.reader(io.StringIO("".join(parts), newline=""))
    assert header == [column.name for column in COLUMNS]
    return [dict(zip(header, row, strict=True)) for row in rows]


def check(row: Row) -> None:
    """Holds a row to the rules."""
    for column in COLUMNS:
        value = row[column.name]
        if value == "":
            assert column.nullable, f"{column.name} is null"
            continue
        match column.kind:
            case "decimal":
                assert NUMBER.fullmatch(value), f"{column.name} is {value!r}"
                assert value != "-0.0"
            case "datetime":
                assert ISO_TIME.fullmatch(value), f"{column.name} is {value!r}"
            case "json":
                tags = json.loads(value)
                assert isinstance(tags, dict)
                assert all(isinstance(one, str) and one for one in tags.values())
            case _:
                assert value.strip(), f"{column.name} is blank"
        assert column.allowed is None or value in column.allowed, f"{column.name} is {value!r}"
    for words, rule in RULES.items():
        assert rule(row), f"{words}: {row}"


def sum_of(rows: Sequence[Row], column: str) -> Decimal:
    """The exact sum of a column."""
    total = Decimal(0)
    for row in rows:
        total = EXACT.add(total, Decimal(row[column]))
    return total


Key = tuple[str, str, str, str, str, str]
"""(start of the day, customer, event name, vendor, model, product)"""


def on_paper(
    events: Sequence[event_pb2.NewEvent], first: date, last: date, zone: ZoneInfo
) -> dict[Key, tuple[int, Decimal]]:
    """The number of events of each day, customer and series, and their cost in dollars."""
    sums: dict[Key, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    for one in events:
        time = one.timestamp.ToDatetime(tzinfo=UTC)
        day = time.astimezone(zone).date()
        if first <= day <= last:
            start = reference.start_of_day(day, zone).astimezone(UTC)
            key = (
                f"{start:%Y-%m-%dT%H:%M:%SZ}",
                one.external_customer_id,
                one.name,
                one.llm.vendor,
                one.llm.model,
                one.product_id,
            )
            count, cost = sums[key]
            dollars = EXACT.divide(Decimal(one.cost.amount or 0), 100)
            sums[key] = (count + 1, EXACT.add(cost, dollars))
    return dict(sums)


def as_sums(rows: Sequence[Row]) -> dict[Key, tuple[int, Decimal]]:
    """The rows, as `on_paper` writes them."""
    sums = {
        (
            row["ChargePeriodStart"],
            row["SubAccountName"],
            row["ServiceName"],
            row["x_ModelVendor"],
            row["x_ModelName"],
            row["x_ProductId"],
        ): (int(row["x_EventCount"]), Decimal(row["BilledCost"]))
        for row in rows
    }
    assert len(sums) == len(rows)
    return sums


FIRST, LAST = date(2025, 9, 30), date(2025, 11, 2)


def some_events() -> list[event_pb2.NewEvent]:
    """Around a month in which the clocks of Berlin are set back, by all kinds of callers."""
    chance = random.Random(7)
    customers = ["c1", "=HYPERLINK(1)", 'quo"te', "com,ma", "two\r\nlines", " blank ", "ü🙂"]
    llm = {"vendor": "openai", "model": "gpt-5"}
    series: list[dict[str, Any]] = [
        {"name": "llm.inference", "llm": llm},
        {"name": "llm.inference", "llm": {"vendor": "azure", "model": "gpt-5"}},
        {"name": "llm.inference"},
        {"name": "email", "product_id": "pro"},
        {"name": "+cmd|' /C calc'!A0", "product_id": "@free"},
        {"name": "llm.inference", "llm": llm, "product_id": "pro"},
    ]
    start = datetime(2025, 9, 28, 12, tzinfo=UTC)
    costs = ["0.000000000001", "9000000", "-89999.999999999999", "12.5", None, "-3", "0"]
    return [
        event(
            start + timedelta(seconds=chance.randrange(38 * 86_400)),
            chance.choice(costs),
            chance.choice(customers),
            **chance.choice(series),
        )
        for _ in range(600)
    ]


def test_every_column_is_documented() -> None:
    """The document has each column, in order, and says whether it may be null."""
    text = (Path(__file__).parents[2] / "docs/focus.md").read_text()
    table = text.partition("<!-- columns -->")[2].partition("<!-- /columns -->")[0]
    rows = [row.strip("|").split("|") for row in table.strip().splitlines()[2:]]
    assert [name.strip(" `") for name, _, _ in rows] == [column.name for column in COLUMNS]
    nullable = {name.strip(" `") for name, null, _ in rows if null.strip() != "no"}
    # These always have a value here, although they need not.
    filled = {"BillingAccountName", "SubAccountId", "SubAccountName"}
    assert nullable == {column.name for column in COLUMNS if column.nullable} - filled


@pytest.fixture
def events(caller: Caller, service: Service) -> list[event_pb2.NewEvent]:
    """Events that the caller has stored, half of them compacted."""
    events = some_events()
    caller.ingest(*events[:300])
    compact(service, caller)
    caller.ingest(*events[300:])
    return events


def compact(service: Service, caller: Caller) -> None:
    """Merges what is pending into segments."""
    with service.store.read() as connection:
        organization = identity.find_organization(connection, caller.organization)
    assert organization is not None
    while cells.compact(service.store, [organization.number]) is not None:
        pass


def asked(**options: Any) -> dict[str, Any]:
    """The question about these events."""
    return {
        "start_date": str(FIRST),
        "end_date": str(LAST),
        "timezone": "Europe/Berlin",
        **options,
    }


@pytest.mark.usefixtures("events")
def test_rows_follow_the_specification(caller: Caller) -> None:
    """Every column is there, in order, and every value and row keeps the rules."""
    names = [column.name for column in COLUMNS]
    assert set(names) >= MANDATORY
    ours = [name for name in names if name.startswith("x_")]
    assert names == sorted(set(names) - set(ours)) + sorted(ours)
    rows = rows_of(caller.export("focus", **asked()))
    assert len(rows) > 300
    for row in rows:
        check(row)
    assert {row["ChargeCategory"] for row in rows} == {"Usage", "Credit"}
    # A service has one category, whichever of its events are calls of an LLM.
    categories = {(row["ServiceName"], row["ServiceCategory"]) for row in rows}
    assert dict(categories) == {
        "llm.inference": "AI and Machine Learning",
        "email": "Other",
        "+cmd|' /C calc'!A0": "Other",
    }
    assert len(categories) == 3
    assert {row["BillingAccountName"] for row in rows} == {caller.organization}


def test_rows_hold_every_event(caller: Caller, events: list[event_pb2.NewEvent]) -> None:
    """Rows are what the events of each local day, customer and series add up to."""
    rows = rows_of(caller.export("focus", **asked()))
    assert as_sums(rows) == on_paper(events, FIRST, LAST, BERLIN)
    totals = caller.get_metrics(**asked(metrics=["costs"])).totals
    assert sum_of(rows, "BilledCost") == EXACT.divide(Decimal(totals.costs), 100)
    # The day on which clocks are set back has 25 hours.
    longest = [row for row in rows if row["ChargePeriodStart"] == "2025-10-25T22:00:00Z"]
    assert {row["ChargePeriodEnd"] for row in longest} == {"2025-10-26T23:00:00Z"}
    assert {(row["BillingPeriodStart"], row["BillingPeriodEnd"]) for row in rows} == {
        ("2025-08-31T22:00:00Z", "2025-09-30T22:00:00Z"),
        ("2025-09-30T22:00:00Z", "2025-10-31T23:00:00Z"),
        ("2025-10-31T23:00:00Z", "2025-11-30T23:00:00Z"),
    }


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"])
def test_rows_of_any_zone(caller: Caller, events: list[event_pb2.NewEvent], zone: str) -> None:
    """Days and months are those of the asked zone."""
    rows = rows_of(caller.export("focus", **asked(timezone=zone)))
    assert as_sums(rows) == on_paper(events, FIRST, LAST, ZoneInfo(zone))


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"event_names": ["email"]}, lambda e: e.name == "email"),
        ({"llm_vendors": ["openai"]}, lambda e: e.llm.vendor == "openai"),
        ({"llm_models": [""]}, lambda e: e.llm.model == ""),
        ({"product_ids": ["pro"]}, lambda e: e.product_id == "pro"),
        (
            {"product_ids": ["", "pro"], "event_names": ["llm.inference"]},
            lambda e: e.product_id in {"", "pro"} and e.name == "llm.inference",
        ),
        (
            {"external_customer_ids": ["c1", "ü🙂", "nobody"]},
            lambda e: e.external_customer_id in {"c1", "ü🙂"},
        ),
        ({"external_customer_ids": ["nobody"]}, lambda _: False),
    ],
)
def test_filters(
    caller: Caller,
    events: list[event_pb2.NewEvent],
    options: dict[str, Any],
    counts: Callable[[event_pb2.NewEvent], bool],
) -> None:
    """Only what the filters choose is exported."""
    rows = rows_of(caller.export("focus", **asked(**options)))
    chosen = [one for one in events if counts(one)]
    assert as_sums(rows) == on_paper(chosen, FIRST, LAST, BERLIN)


def test_nothing_at_all(caller: Caller) -> None:
    """Without events there is a header."""
    assert rows_of(caller.export("focus", start_date="2025-01-01", end_date="2026-01-01")) == []


def test_a_skipped_day(caller: Caller) -> None:
    """A month of which nothing but a day that its zone skipped is asked for has no rows."""
    caller.ingest(event(datetime(2011, 12, 30, 12, tzinfo=UTC), "1", "c1"))
    day = {"timezone": "Pacific/Apia", "start_date": "2011-12-30", "end_date": "2011-12-30"}
    assert rows_of(caller.export("focus", **day)) == []
    (row,) = rows_of(caller.export("focus", **day | {"end_date": "2011-12-31"}))
    assert row["ChargePeriodStart"] == "2011-12-30T10:00:00Z"


def test_what_else_a_row_says(caller: Caller) -> None:
    """Whole rows, as they are written."""
    noon = datetime(2026, 11, 3, 12, tzinfo=UTC)
    llm = {"vendor": "anthropic", "model": 'claude "4"'}
    caller.ingest(
        event(noon, "2.5", "=1+1", name="chat", llm=llm, product_id="pro"),
        event(noon, "2.5", "=1+1", name="chat", llm=llm, product_id="pro"),
        event(noon, "-100", "c,2", name="refund"),
    )
    account = caller.list_events()[0]
    first, second = "".join(
        caller.export("focus", start_date="2026-11-03", end_date="2026-11-03")
    ).splitlines()[1:]
    ids = {event.external_customer_id: event.customer_id for event in caller.list_events()}
    name = caller.organization
    organization_id = first.split(",")[1]
    assert account
    month = "2026-12-01T00:00:00Z,2026-11-01T00:00:00Z"
    day = "2026-11-04T00:00:00Z,2026-11-03T00:00:00Z"
    assert first == (
        f"0.05,{organization_id},{name},USD,{month},Usage,,"
        f'"chat (anthropic claude ""4"")",Usage-Based,{day},,2.0,Events,0.05,0.05,,{name},0.05,'
        f"2.0,Events,{name},anthropic,AI and Machine Learning,chat,Generative AI,"
        f'{ids["=1+1"]},=1+1,"{{""llm_model"": ""claude \\""4\\"""", '
        f'""llm_vendor"": ""anthropic"", ""product_id"": ""pro""}}",'
        '2,"claude ""4""",anthropic,pro'
    )
    assert second == (
        f"-1.0,{organization_id},{name},USD,{month},Credit,,refund,One-Time,{day},,,,"
        f"-1.0,-1.0,,{name},-1.0,,,{name},{name},Other,refund,Other (Other),"
        f'{ids["c,2"]},"c,2",,1,,,'
    )


# Large exports


CUSTOMERS = 3_000
EVENTS = 30_000


def many_events() -> Iterator[event_pb2.NewEvent]:
    """Enough that segments of customers are split."""
    for number in range(EVENTS):
        yield event(
            datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=number * 37 % 44_000),
            f"0.{number:012}",
            f"customer {number * 7919 % CUSTOMERS}",
            name=f"event {number % 3}",
        )


MARCH: dict[str, Any] = {"start_date": "2026-03-01", "end_date": "2026-03-31"}


@pytest.fixture
def large(
    start_server: Callable[..., AbstractContextManager[Service]], database_url: str
) -> Iterator[tuple[Service, Caller]]:
    """A server of few connections and little patience, and a caller with much to export."""
    with start_server(
        database_url, database_connections_max=4, query_seconds_max=2, compact=False
    ) as service:
        caller = service.caller()
        events = list(many_events())
        for at in range(0, EVENTS, 6_000):
            caller.ingest(*events[at : at + 6_000])
        compact(service, caller)
        yield service, caller


@pytest.mark.slow
def test_ranges_of_customers(
    large: tuple[Service, Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each customer appears once, in the same order, however many parts they are read in."""
    _, caller = large
    parts = caller.export("focus", **MARCH)
    rows = rows_of(parts)
    assert as_sums(rows) == on_paper(
        list(many_events()), date(2026, 3, 1), date(2026, 3, 31), ZoneInfo("UTC")
    )
    # Parts hold whole lines, and are of about one size.
    assert all(part.endswith("\r\n") for part in parts)
    assert all(65_536 <= len(part) < 70_000 for part in parts[:-1])
    monkeypatch.setattr(details, "_PART_BYTES_MAX", 1)
    assert caller.export("focus", **MARCH) == parts
    in_berlin = MARCH | {"timezone": "Europe/Berlin"}
    total = sum_of(rows_of(caller.export("focus", **in_berlin)), "BilledCost")
    costs = caller.get_metrics(**in_berlin, metrics=["costs"]).totals.costs
    assert total == EXACT.divide(Decimal(costs), 100)


@pytest.mark.slow
def test_one_snapshot(large: tuple[Service, Caller]) -> None:
    """Events that are stored during an export are not in it."""
    _, caller = large
    before = caller.get_metrics(**MARCH, metrics=["costs"]).totals.costs
    parts = begin_export(caller)
    first = next(parts).rows
    caller.ingest(event(datetime(2026, 3, 31, tzinfo=UTC), "5000", "customer 2999"))
    rows = rows_of([first, *(part.rows for part in parts)])
    assert sum_of(rows, "BilledCost") == EXACT.divide(Decimal(before), 100)


def begin_export(caller: Caller) -> Any:
    """An export that is read part by part."""
    request = metrics_service_pb2.ExportMetricsRequest(
        metrics=metrics_service_pb2.GetMetricsRequest(**MARCH),
        format=metrics_service_pb2.EXPORT_FORMAT_FOCUS,
    )
    return caller.metrics.ExportMetrics(request, metadata=caller.metadata, timeout=60)


@pytest.mark.slow
def test_a_caller_that_goes_away(large: tuple[Service, Caller]) -> None:
    """Another's turn comes as soon as a caller cancels."""
    service, caller = large
    for _ in range(5):
        parts = begin_export(service.caller(caller.organization))
        next(parts)
        parts.cancel()
    assert len(rows_of(caller.export("focus", **MARCH))) == EVENTS


@pytest.mark.slow
def test_a_caller_that_takes_no_more(large: tuple[Service, Caller]) -> None:
    """A slow reader is told so, and another's turn comes meanwhile."""
    service, caller = large
    parts = begin_export(service.caller(caller.organization))
    next(parts)
    assert len(rows_of(caller.export("focus", **MARCH))) == EVENTS
    with refused("QUERY_TOO_SLOW") as call:
        list(parts)
    assert call.refusal.message == (
        "the answer takes longer than 2 seconds; ask for a shorter span or for fewer customers"
    )
