"""The files that a page saves: tables, charts, and costs in full detail."""

import csv
import io
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Download, Locator, Page, Route, expect

from cost_insights.v1 import revenue_service_pb2
from tests.support.pages import at, sign_in
from tests.support.revenue import money, new_order
from tests.support.service import Caller, Service, new_event

pytestmark = pytest.mark.slow

NAMES = (
    '=HYPERLINK("http://evil.example")',
    "+1",
    "-1",
    "@sum",
    "a,b",
    "two\nlines",
    "\u540d\u524d \u202e\u05e9",
    " spaces ",
)
PNG_SIZE = struct.Struct(">8x8xII")


def saved(page: Page, button: Locator) -> tuple[str, bytes]:
    """The name and the content of the file that a button saves."""
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def written(rows: Iterable[Sequence[object]]) -> bytes:
    """The rows as CSV of the service has them."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def dollars(cents: str) -> str:
    """An exact amount in dollars, without zeros at the end."""
    return f"{(Decimal(cents) / 100).normalize():f}"


@pytest.fixture
def spender(service: Service) -> Caller:
    """A caller with costs of two days, whose names mean something to spreadsheets."""
    caller = service.caller()
    now = datetime.now(UTC)
    caller.ingest(
        *(
            new_event(
                name=name,
                external_customer_id=name,
                cost=f"-{place}.000000000001" if place % 2 else f"{place}000.5",
                timestamp=at(now - timedelta(days=place % 2)),
            )
            for place, name in enumerate(NAMES, 1)
        )
    )
    return caller


def test_files_say_what_the_page_shows(
    service: Service, spender: Caller, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """Tables are saved with exact amounts and texts as they were sent, charts as pictures, and
    costs in full detail as the RPC exports them, byte for byte."""
    now = datetime.now(UTC).date()
    span = {"start_date": f"{now - timedelta(days=6)}", "end_date": f"{now}"}
    days = f"{now - timedelta(days=6)}-to-{now}"
    page = open_page(f"{service.url}/?span=7d", viewport={"width": 1280, "height": 900})
    sign_in(page, spender)
    chart = page.get_by_role("group", name="Download: Revenue and costs")
    name, content = saved(page, chart.get_by_role("button", name="CSV"))
    assert name == f"cost-insights-revenue-and-costs-{days}.csv"
    answer = spender.get_metrics(metrics=["revenue", "costs", "cashflow"], interval=2, **span)
    assert content == written(
        [
            ("Period", "Revenue (USD)", "Costs (USD)", "Margin (USD)"),
            *(
                (
                    one.timestamp[:10],
                    dollars(one.revenue),
                    dollars(one.costs),
                    dollars(one.cashflow),
                )
                for one in answer.periods
            ),
        ]
    )
    name, content = saved(page, chart.get_by_role("button", name="SVG"))
    assert name == f"cost-insights-revenue-and-costs-{days}.svg"
    texts = [text.text for text in ET.fromstring(content).iter("{http://www.w3.org/2000/svg}text")]
    assert {"Revenue", "Costs", f"{now}"} <= set(texts)
    name, content = saved(page, chart.get_by_role("button", name="PNG"))
    assert name == f"cost-insights-revenue-and-costs-{days}.png"
    assert PNG_SIZE.unpack_from(content) == (1920, 928)
    name, content = saved(page, chart.get_by_role("button", name="FOCUS"))
    assert name == f"cost-insights-revenue-and-costs-{days}.focus.csv"
    assert content == "".join(spender.export("focus", **span)).encode()

    # The filter is a part of what is exported.
    page.goto(
        f"{service.url}/?{urlencode({'page': 'customers', 'span': '7d', 'customer': NAMES[0]})}"
    )
    table = page.get_by_role("group", name="Download: Customer ranking")
    name, content = saved(page, table.get_by_role("button", name="FOCUS"))
    assert name == f"cost-insights-customer-ranking-{days}-filtered.focus.csv"
    focus = spender.export("focus", external_customer_ids=[NAMES[0]], **span)
    assert content == "".join(focus).encode()
    page.goto(f"{service.url}/?page=customers&span=7d")
    expect(page.locator(".framed tbody tr")).to_have_count(len(NAMES))
    _, content = saved(page, table.get_by_role("button", name="CSV"))
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert content == written(rows)
    ranked = spender.get_metrics(metrics=["costs"], group_by="GROUP_BY_CUSTOMER", **span)
    assert rows[0][:2] == ["Customer", "Costs (USD)"]
    assert [row[:2] for row in rows[1:]] == [
        *([group.value, dollars(group.totals.costs)] for group in ranked.groups),
        ["Total", dollars(ranked.totals.costs)],
    ]

    # An export that the service refuses, or that cannot begin, is told in words.
    long_ago = now - timedelta(days=1_000)
    page.goto(f"{service.url}/?page=breakdown&span=custom&from={long_ago}&to={now}")
    table = page.get_by_role("group", name="Download: Event name ranking")
    table.get_by_role("button", name="FOCUS").click()
    too_long = re.compile("days apart; the interval day allows 366")
    expect(table.get_by_role("alert")).to_have_text(too_long)
    page.context.set_offline(True)
    table.get_by_role("button", name="FOCUS").click()
    expect(table.get_by_role("alert")).to_have_text("The service cannot be reached.")
    complaints[:] = [text for text in complaints if "ERR_INTERNET_DISCONNECTED" not in text]
    assert complaints == []


def test_amounts_of_several_currencies_say_their_own(
    service: Service, spender: Caller, open_page: Callable[..., Page]
) -> None:
    """They share a column, so it has no currency; the name of a list says the day it is saved."""
    page = open_page(service.url)
    sign_in(page, spender)
    spender.revenue.RecordOrders(
        revenue_service_pb2.RecordOrdersRequest(
            orders=[
                new_order("in dollars", external_customer_id=NAMES[0]),
                new_order(
                    "in euros",
                    external_customer_id=NAMES[0],
                    net_amount=money("1990", "eur"),
                    exchange_rate="1.1",
                ),
            ]
        ),
        metadata=spender.metadata,
    )
    page.goto(f"{service.url}/?{urlencode({'page': 'customer', 'id': NAMES[0]})}")
    orders = page.get_by_role("group", name="Download: Latest payments")
    name, content = saved(page, orders.get_by_role("button", name="CSV"))
    assert name == f"cost-insights-latest-payments-the-latest-first-{datetime.now(UTC).date()}.csv"
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert rows[0][2] == "Amount"
    assert {(row[1], row[2]) for row in rows[1:]} == {
        ("in dollars", "29 USD"),
        ("in euros", "19.9 EUR"),
    }


def test_exports_in_many_parts(
    service: Service, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """A large export is put together from its parts; one that is cancelled or breaks off saves
    nothing and can be begun again."""
    caller = service.caller()
    caller.ingest(
        *(new_event(external_customer_id=f"名 {number}", cost="100") for number in range(2_000))
    )
    page = open_page(f"{service.url}/?page=customers&span=7d")
    assert caller.token is not None
    page.get_by_label("Access token").fill(caller.token)
    page.get_by_role("button", name="Sign in").click()
    now = datetime.now(UTC).date()
    parts = caller.export("focus", start_date=f"{now - timedelta(days=6)}", end_date=f"{now}")
    assert len(parts) > 5
    focus = page.get_by_role("button", name="FOCUS")
    _, content = saved(page, focus)
    assert content == "".join(parts).encode()

    # The table shows a hundred customers; its file has all of them, and the same total.
    expect(page.locator(".framed tbody tr")).to_have_count(101)
    table = page.get_by_role("group", name="Download: Customer ranking")
    every = table.get_by_role("button", name="CSV")
    _, content = saved(page, every)
    lines = list(csv.reader(io.StringIO(content.decode(), newline="")))
    shown = page.locator(".framed thead tr, .framed tbody tr, .framed tfoot tr").evaluate_all(
        """rows => rows.map((row) => [...row.cells].map((cell) => {
            const { plain } = (cell.querySelector("[data-plain]") ?? cell).dataset;
            return plain ?? cell.textContent.trim();
        }))"""
    )
    assert [name.removesuffix(" (USD)") for name in lines[0]] == shown[0]
    assert lines[1:101] == shown[1:101]
    assert lines[-1] == shown[-1]
    names = [name for name, *_ in lines[1:-1]]
    assert names == sorted(names) == sorted(f"名 {number}" for number in range(2_000))
    assert sum(Decimal(row[1]) for row in lines[1:-1]) == Decimal(lines[-1][1]) == 2_000

    downloads: list[Download] = []

    def note(download: Download) -> None:
        downloads.append(download)

    page.on("download", note)
    exports = "**/cost_insights.v1.MetricsService/ExportMetrics"
    page.route(exports, lambda _: None)  # it is never answered
    for button in (focus, every):
        button.click()
        expect(page.get_by_text("Exporting … 0.0 MB")).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        expect(button).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)

    page.unroute(exports)
    rows = b'{"rows": "BilledCost"}'
    whole = b"\0" + len(rows).to_bytes(4, "big") + rows
    for cut in (b"", whole[:3], whole[:-1], whole):
        page.route(exports, partial(Route.fulfill, body=cut), times=1)
        focus.click()
        expect(page.get_by_role("alert")).to_have_text("The answer of the service broke off.")
        expect(focus).to_be_visible()
    assert downloads == []
    _, content = saved(page, focus)
    assert content == "".join(parts).encode()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert complaints == []
