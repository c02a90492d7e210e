"""The dashboard, as it is seen and used in Chromium."""

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, expect

from cost_insights.v1 import cost_pb2, event_pb2, revenue_pb2, revenue_service_pb2
from tests.support.databases import Databases
from tests.support.pages import at, sign_in, violations
from tests.support.revenue import money, new_order, new_refund, new_subscription
from tests.support.service import Caller, LoopThread, Service, new_event, running

pytestmark = pytest.mark.slow

METRICS = (
    "revenue",
    "costs",
    "cashflow",
    "gross_margin",
    "gross_margin_percentage",
    "cost_per_user",
    "active_user_by_event",
    "monthly_recurring_revenue",
)
EVENTS = re.compile("^Events, ")

HOSTILE = (
    "<img src=x onerror=\"document.title='taken'\">",
    "</script><script>document.title='taken'</script>",
    "javascript:document.title='taken'",
    "{{constructor.constructor('document.title=1')()}}",
    "quote\"' `back` ${tick} & < >",
    "名前 שם اسم 🧾 e\u0301",
)


@pytest.fixture
def earner(service: Service) -> Caller:
    """A caller with some weeks of events, orders and a subscription, and hostile names."""
    caller = service.caller()
    now = datetime.now(UTC)
    caller.ingest(
        *(
            new_event(
                external_customer_id=f"user {day % 7}",
                cost=f"{1234.000000000001 + day:.12f}",
                timestamp=at(now - timedelta(days=day, minutes=5)),
            )
            for day in range(45)
        ),
        *(
            new_event(name=name, external_customer_id=name, cost="0.025", timestamp=at(now))
            for name in HOSTILE
        ),
    )
    caller.revenue.RecordOrders(
        revenue_service_pb2.RecordOrdersRequest(
            orders=[
                new_order(
                    f"order {day}",
                    external_customer_id=f"user {day % 7}",
                    net_amount=money("490000"),
                    created_time=at(now - timedelta(days=day, minutes=5)),
                )
                for day in range(1, 45, 6)
            ]
        ),
        metadata=caller.metadata,
    )
    caller.revenue.RecordSubscriptions(
        revenue_service_pb2.RecordSubscriptionsRequest(
            subscriptions=[
                new_subscription(
                    started_time=at(now - timedelta(days=3)),
                    update_time=at(now - timedelta(days=3)),
                )
            ]
        ),
        metadata=caller.metadata,
    )
    return caller


def shown_exactly(page: Page, metrics: Sequence[str] = METRICS) -> dict[str, Decimal | str]:
    """The totals that a page shows, amounts as the exact ones that are copied."""
    shown: dict[str, Decimal | str] = {}
    for name in metrics:
        value = page.locator(f'[data-metric="{name}"]')
        amount = value.locator(".amount")
        if amount.count():
            shown[name] = Decimal(amount.get_attribute("data-plain") or "")
        else:
            shown[name] = value.inner_text()
    return shown


def answered(
    caller: Caller, metrics: Sequence[str] = METRICS, **request: Any
) -> dict[str, Decimal | str]:
    """The same totals, as `GetMetrics` answers them."""
    totals = caller.get_metrics(metrics=metrics, **request).totals
    expected: dict[str, Decimal | str] = {}
    for name in metrics:
        value = getattr(totals, name)
        if isinstance(value, int):
            expected[name] = f"{value:,}"
        elif name.endswith(("percentage", "rate")):
            expected[name] = f"{Decimal(value) * 100:,.1f}%".replace("-", "\u2212")
        else:
            expected[name] = Decimal(value) / 100
    return expected


def days(count: int) -> dict[str, str]:
    """The last days, as a request has them."""
    today = datetime.now(UTC).date()
    return {
        "start_date": f"{today - timedelta(days=count - 1)}",
        "end_date": f"{today}",
    }


def test_the_numbers_are_those_of_get_metrics(
    service: Service, earner: Caller, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """After signing in the totals are exact, for each span and filter; the address says the view,
    new events appear by themselves, and nothing is wrong for anybody who cannot see."""
    page = open_page(service.url)
    assert violations(page) == []
    sign_in(page, earner)
    assert shown_exactly(page) == answered(earner, **days(30))
    page.get_by_role("button", name="90 days").click()
    expect(page).to_have_url(re.compile("span=90d"))
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
    assert shown_exactly(page) == answered(earner, **days(90))
    page.get_by_placeholder("Value").fill("user 3")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("list", name="Filters")).to_contain_text("Customer: user 3")
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
    filtered = answered(earner, **days(90), external_customer_ids=["user 3"])
    assert shown_exactly(page) == filtered
    assert parse_qs(urlsplit(page.url).query) == {
        "span": ["90d"],
        "zone": ["UTC"],
        "customer": ["user 3"],
    }
    # Another page at the same address shows the same; going back undoes the filter.
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_role("list", name="Totals")).to_be_visible()
    assert shown_exactly(other) == filtered
    other.close()
    page.go_back()
    expect(page.get_by_role("list", name="Filters")).to_have_count(0)
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
    assert shown_exactly(page) == answered(earner, **days(90))
    # The table says what the chart shows.
    page.get_by_text("Table", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(90)
    before = shown_exactly(page)["costs"]
    earner.ingest(new_event(cost="0.000000000001"))
    expect(page.locator('[data-metric="costs"] .amount')).not_to_have_attribute(
        "data-plain", f"{before}"
    )
    assert shown_exactly(page) == answered(earner, **days(90))
    assert violations(page) == []
    page.get_by_label("Theme").select_option("dark")
    assert violations(page) == []
    assert complaints == []


def test_a_copy_is_exact(service: Service, earner: Caller, open_page: Callable[..., Page]) -> None:
    """An amount is rounded to be read, and whole where it is copied."""
    page = open_page(service.url, permissions=["clipboard-read", "clipboard-write"])
    sign_in(page, earner)
    amount = page.locator('[data-metric="costs"] .amount')
    plain = amount.get_attribute("data-plain")
    assert re.fullmatch(r"\$[\d,]+\.\d\d", amount.inner_text())
    amount.click(click_count=3)
    page.keyboard.press("Control+C")
    assert page.evaluate("navigator.clipboard.readText()") == plain


def test_texts_of_callers_are_text(
    service: Service, earner: Caller, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """Names are shown as they are, whatever they hold, and run nothing."""
    page = open_page(f"{service.url}/?{urlencode([('event', name) for name in HOSTILE])}")
    sign_in(page, earner)
    assert page.locator(".chips bdi").all_text_contents() == list(HOSTILE)
    assert shown_exactly(page)["costs"] == Decimal("0.00025") * len(HOSTILE)
    page.locator(".filter select").select_option("event")
    page.get_by_placeholder("Value").focus()
    options = page.locator("#suggestions option")
    expect(options).to_have_count(len(HOSTILE) + 1)
    suggested = options.evaluate_all("list => list.map((option) => option.value)")
    assert set(suggested) == {*HOSTILE, "llm.inference"}
    assert violations(page) == []
    assert page.title() == "Cost Insights"
    assert complaints == []


def rows(page: Page) -> dict[str, list[str]]:
    """The rows of the table of a page by their names, with amounts as they are copied."""
    found: list[list[str]] = page.locator(".framed tbody tr, .framed tfoot tr").evaluate_all(
        """list => list.map((row) => [...row.cells].map(
            (cell) => cell.querySelector(".amount")?.dataset.plain ?? cell.textContent.trim()
        ))"""
    )
    return {name: cells for name, *cells in found}


def ranked(caller: Caller, group_by: str, fields: Sequence[str], **request: Any) -> Any:
    """The same rows in their order, of the amounts alone, as `GetMetrics` answers them."""
    answer = caller.get_metrics(metrics=fields, group_by=group_by, groups_max=100, **request)
    found = [(group.value, group.totals) for group in answer.groups]
    return [
        (name, [Decimal(getattr(totals, field)) / 100 for field in fields])
        for name, totals in [*found, ("Total", answer.totals)]
    ]


def test_breakdown_and_customers(
    service: Service, earner: Caller, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """Tables rank groups as the RPC does, with exact amounts; a customer is found by
    either identifier."""
    page = open_page(service.url)
    sign_in(page, earner)
    page.get_by_role("link", name="Breakdown").click()
    table = page.locator(".framed")
    expect(table).to_be_visible()
    shown = [(name, [Decimal(cells[0])]) for name, cells in rows(page).items()]
    assert shown == ranked(earner, "GROUP_BY_EVENT_NAME", ["costs"], **days(30))
    start = f"{days(30)['start_date']}T"
    amounts = [
        Decimal(event.cost.amount)
        for event in earner.list_events(event_names=["llm.inference"])
        if event.timestamp.ToJsonString() >= start
    ]
    average = sum(amounts, Decimal()) / len(amounts)
    average = average.quantize(Decimal("0.000000000001"), ROUND_HALF_EVEN) / 100
    assert rows(page)["llm.inference"][3:5] == [f"{len(amounts)}", f"{average.normalize():f}"]
    expect(page.get_by_role("heading", name="Largest changes of costs")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Product").click()
    expect(table.get_by_role("row", name="(no product)")).to_be_visible()
    page.get_by_role("link", name="Customers").click()
    expect(page.get_by_role("button", name="Highest costs")).to_be_visible()
    page.get_by_role("button", name="Losses first").click()
    expect(page).to_have_url(re.compile("page=customers.*order=losses"))
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
    cells = {name: [cells[0], cells[3], cells[4]] for name, cells in rows(page).items()}
    shown = [(name, [Decimal(one) for one in amounts]) for name, amounts in cells.items()]
    metrics = ["costs", "revenue", "cashflow"]
    losses = {**days(30), "order_by": "cashflow asc"}
    assert shown == ranked(earner, "GROUP_BY_CUSTOMER", metrics, **losses)
    assert violations(page) == []
    (stored, *_) = earner.list_page(external_customer_ids=["user 3"]).events
    page.goto(f"{service.url}/?customer={stored.customer_id}")
    expect(page.get_by_role("list", name="Totals")).to_be_visible()
    assert shown_exactly(page) == answered(earner, **days(30), external_customer_ids=["user 3"])
    assert complaints == []


def test_a_token_that_is_revoked_while_the_page_is_open(
    service: Service, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """The page says so, asks for another token and goes on with the same view."""
    caller = service.caller()
    page = open_page(f"{service.url}/?span=7d&zone=Asia/Kathmandu")
    page.get_by_label("Access token").fill("x" * 40)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("unknown access token")
    sign_in(page, caller)
    # An organization without events is told how to send one, to this very address.
    command = page.get_by_text(f"curl --fail-with-body {service.url}/v1/events/ingest")
    expect(command).to_be_visible()
    for name in ("Breakdown", "Customers", "Events"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
        expect(command).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("list", name="Totals")).to_be_visible()
    service.revoke(caller)
    expect(page.get_by_role("alert")).to_contain_text("The access token was revoked at")
    sign_in(page, service.caller(caller.organization))
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Kathmandu")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Access token")).to_be_visible()
    assert page.context.cookies() == []
    assert complaints == []


def test_a_reader_of_nothing_is_told_why(service: Service, open_page: Callable[..., Page]) -> None:
    """An error is shown in words, with a way to try again."""
    caller = service.caller(scopes=frozenset({"events:write"}))
    page = open_page(service.url)
    assert caller.token is not None
    page.get_by_label("Access token").fill(caller.token)
    page.get_by_role("button", name="Sign in").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("needs the scope metrics:read")
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()


def test_a_service_that_restarts_while_the_page_is_open(
    loop_thread: LoopThread, databases: Databases, open_page: Callable[..., Page]
) -> None:
    """What is shown stays, with a message, and goes on by itself; a phone needs no scrolling
    sideways. No token is needed where there is none."""
    with databases.fresh("sqlite") as url:
        with running(loop_thread, url, http_address="127.0.0.1:0") as service:
            address = service.server.http_address
            page = open_page(service.url, viewport={"width": 360, "height": 740})
            totals = page.get_by_role("list", name="Totals")
            expect(totals).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            assert violations(page) == []
        expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
        expect(totals).to_be_visible()
        with running(loop_thread, url, http_address=address) as service:
            service.stranger().ingest(new_event(cost="12.5"))
            expect(page.locator('[data-metric="costs"]')).to_have_text("$0.125")
            expect(page.get_by_role("alert")).to_have_count(0)


def test_amounts_are_never_floats(service: Service, open_page: Callable[..., Page]) -> None:
    """Amounts of any size are formatted from their digits."""
    page = open_page(service.url)
    cases = {
        "0": ["$0", "$0", "0"],
        "1": ["$0.01", "$0.01", "0.01"],
        "0.025": ["$0.00025", "$0.00025", "0.00025"],
        "-0.000000000001": ["\u2212$0.00000000000001"] * 2 + ["-0.00000000000001"],
        "123456789012345678901.234567890123": [
            "$1,234,567,890,123,456,789.01",
            "$1,234,567,890,123,456,789.01234567890123",
            "1234567890123456789.01234567890123",
        ],
        "99.9999": ["$1.00", "$0.999999", "0.999999"],
        "250.5": ["$2.50", "$2.505", "2.505"],
        "251.5": ["$2.52", "$2.515", "2.515"],
        "12.34567": ["$0.123", "$0.1234567", "0.1234567"],
    }
    formatted = page.evaluate(
        """async (cases) => {
            const { dollars, exactDollars, plainDollars } = await import("/dashboard/money.js");
            return cases.map((one) => [dollars(one), exactDollars(one), plainDollars(one)]);
        }""",
        list(cases),
    )
    assert dict(zip(cases, formatted, strict=True)) == cases
    changes = {
        ("150", "100"): "+50.0%",
        ("100", "300"): "\u221266.7%",
        ("100", "100.0"): "no change",
        ("1", "0"): "from 0",
        ("-50", "-100"): "+50.0%",
        ("100.001", "100"): "up slightly",
        ("9", "0.001"): "+899,900%",
    }
    words = page.evaluate(
        """async (cases) => {
            const { change } = await import("/dashboard/money.js");
            return cases.map(([now, before]) => change(now, before).words);
        }""",
        list(changes),
    )
    assert dict(zip(changes, words, strict=True)) == changes


def cells_of(page: Page, region: str | re.Pattern[str]) -> list[list[str]]:
    """The rows of a table, with amounts as they are copied."""
    found: list[list[str]] = page.get_by_role("region", name=region, exact=True).evaluate(
        """region => [...region.querySelectorAll("tbody tr")].map((row) => [...row.cells].map(
            (cell) => cell.querySelector(".amount")?.dataset.plain ?? cell.textContent.trim()
        ))"""
    )
    return found


def listed(caller: Caller, **request: Any) -> list[list[str]]:
    """The rows of a table of events, as `ListEvents` answers them."""
    return [
        [
            f"{event.timestamp.ToDatetime():%Y-%m-%d %H:%M:%S}",
            event.name.strip(),
            event.external_customer_id.strip(),
            f"{Decimal(event.cost.amount) / 100:f}" if event.HasField("cost") else "",
            event.llm.model,
            event.product_id,
        ]
        for event in caller.list_page(page_size=50, **request).events
    ]


def test_events(
    service: Service, earner: Caller, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """The list has the events of the RPC in its order, page by page, and new ones by themselves;
    one event is shown with its exact amount, whatever its texts hold."""
    page = open_page(service.url, permissions=["clipboard-read", "clipboard-write"])
    sign_in(page, earner)
    page.get_by_role("button", name="90 days").click()
    page.get_by_role("link", name="Events").click()
    expect(page.get_by_text("The latest events")).to_be_visible()
    assert cells_of(page, EVENTS) == listed(earner)
    assert violations(page) == []
    (first,) = earner.list_page(page_size=1).events
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_text("Earlier events.")).to_be_visible()
    token = earner.list_page(page_size=50).next_page_token
    assert cells_of(page, EVENTS) == listed(earner, page_token=token)
    # The address says the place in the list, and going on from the latest forgets it.
    page.reload()
    expect(page.get_by_text("Earlier events.")).to_be_visible()
    assert cells_of(page, EVENTS) == listed(earner, page_token=token)
    page.get_by_role("link", name="Latest").click()
    expect(page.get_by_text("The latest events")).to_be_visible()
    page.get_by_placeholder("Value").fill("user 3")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
    assert cells_of(page, EVENTS) == listed(earner, external_customer_ids=["user 3"])
    earner.ingest(
        new_event(
            name=HOSTILE[0],
            external_customer_id="user 3",
            external_id=HOSTILE[1],
            cost="12345.000000000001",
            product_id=HOSTILE[4],
            metadata={HOSTILE[0]: HOSTILE[1], "count": 7},
            llm=cost_pb2.Llm(
                vendor=HOSTILE[2], model=HOSTILE[3], input_tokens=1_234_567, prompt=HOSTILE[0]
            ),
        )
    )
    expect(page.get_by_role("cell", name=HOSTILE[0])).to_be_visible()
    page.get_by_role("row", name=HOSTILE[0]).get_by_role("link").first.click()
    expect(page.locator("dl .amount")).to_have_text("$123.45000000000001")
    (newest,) = earner.list_page(page_size=1).events
    assert parse_qs(urlsplit(page.url).query)["id"] == [newest.id] != [first.id]
    page.get_by_role("button", name="Copy the cost").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "123.45000000000001"
    names, values = (page.locator(tag).all_inner_texts() for tag in ("dt", "dd"))
    facts = dict(zip(names, values, strict=True))
    assert facts[HOSTILE[0]] == HOSTILE[1] == facts["Idempotency key"]
    assert (facts["Model"], facts["Input tokens"]) == (HOSTILE[3], "1,234,567")
    assert violations(page) == []
    page.get_by_text("JSON", exact=True).click()
    assert json.loads(page.locator("pre code").inner_text())["cost"]["amount"] == (
        "12345.000000000001"
    )
    page.get_by_role("link", name="All events").click()
    expect(page.get_by_role("list", name="Filters")).to_contain_text("Customer: user 3")
    page.goto(f"{service.url}/?page=event&id=nothing")
    expect(page.get_by_role("alert")).to_contain_text("nothing")
    assert page.title() == "Cost Insights"
    assert complaints == []


def test_filters_of_events(
    service: Service, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """Each filter narrows the list as the RPC does, stands in the address, and stays on pages where
    it means something."""
    caller = service.caller()
    now = datetime.now(UTC)
    caller.ingest(
        *(
            new_event(
                name=f"name {place % 2}",
                timestamp=at(now - timedelta(minutes=place)),
                product_id=f"product {place % 3}" if place % 5 else "",
                metadata={"plan=": ("pro", "free", HOSTILE[0])[place % 3], "n": place % 4},
                llm=cost_pb2.Llm(vendor=f"vendor {place % 2}", model=f"model {place % 5}")
                if place % 7
                else None,
            )
            for place in range(60)
        )
    )
    page = open_page(f"{service.url}/?span=7d")
    sign_in(page, caller)
    page.get_by_role("link", name="Events").click()
    added: list[tuple[str, str, str]] = [
        ("Vendor", "", "vendor 1"),
        ("Model", "", "model 2"),
        ("Model", "", "model 3"),
        ("Product", "", "product 1"),
        ("Metadata", "plan=", HOSTILE[0]),
        ("Metadata", "plan=", "free"),
        ("Metadata", "n", "1.0"),
    ]
    for subject, key, value in added:
        page.locator(".filter select").select_option(label=subject)
        if key:
            page.get_by_placeholder("Key").fill(key)
        page.get_by_placeholder("Value").fill(value)
        page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("list", name="Filters").get_by_role("listitem")).to_have_count(7)
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
    request: dict[str, Any] = {
        "llm_vendors": ["vendor 1"],
        "llm_models": ["model 2", "model 3"],
        "product_ids": ["product 1"],
        "metadata": [
            {"key": "plan=", "values": [HOSTILE[0], "free"]},
            {"key": "n", "values": ["1"]},
        ],
    }
    expected = listed(caller, **request)
    assert cells_of(page, EVENTS) == expected != []
    assert violations(page) == []
    query = parse_qs(urlsplit(page.url).query)
    assert query == {
        "page": ["events"],
        "span": ["7d"],
        "zone": ["UTC"],
        "vendor": ["vendor 1"],
        "model": ["model 2", "model 3"],
        "product": ["product 1"],
        "metadata[plan=]": [HOSTILE[0], "free"],
        "metadata[n]": ["1.0"],
    }
    page.reload()
    expect(page.locator(".framed tbody tr")).to_have_count(len(expected))
    page.get_by_role("button", name="Remove the filter Metadata: n = 1.0").click()
    del request["metadata"][1]
    expected = listed(caller, **request)
    expect(page.locator(".framed tbody tr")).to_have_count(len(expected))
    # The overview has the same filters, but for those by metadata, and says so.
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("(not on this page)")).to_have_count(2)
    page.goto(f"{service.url}/?{urlencode({'page': 'events', 'span': '7d', 'product': ''})}")
    expect(page.get_by_role("list", name="Filters")).to_contain_text("Product: (no product)")
    assert cells_of(page, EVENTS) == listed(caller, product_ids=[""])
    # A member of an event's metadata leads to the events that have it.
    page.locator(".framed tbody a").first.click()
    page.get_by_role("link", name="pro", exact=True).click()
    expect(page.get_by_role("list", name="Filters")).to_contain_text("Metadata: plan= = pro")
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
    members = [{"key": "plan=", "values": ["pro"]}]
    assert cells_of(page, EVENTS) == listed(caller, product_ids=[""], metadata=members) != []
    page.goto(f"{service.url}/?page=events&span=7d&metadata[none]=x")
    expect(page.get_by_text("Nothing in this span passes the filters.")).to_be_visible()
    assert page.title() == "Cost Insights"
    assert complaints == []


def test_a_customer(
    service: Service, earner: Caller, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """The page of a customer has the totals of the RPC and of an independent sum, its products and
    the latest of what is stored; it is found by either identifier, whatever these hold."""
    name = HOSTILE[0]
    now = datetime.now(UTC)
    orders = [
        new_order(
            f"{HOSTILE[1]} {number}",
            external_customer_id=name,
            product_id=HOSTILE[4],
            net_amount=money(f"{12_345 + number}"),
            created_time=at(now - timedelta(minutes=number)),
        )
        for number in range(12)
    ]
    earner.revenue.RecordOrders(
        revenue_service_pb2.RecordOrdersRequest(orders=orders), metadata=earner.metadata
    )
    earner.revenue.RecordRefunds(
        revenue_service_pb2.RecordRefundsRequest(
            refunds=[new_refund(order_id=orders[0].order_id, created_time=at(now))]
        ),
        metadata=earner.metadata,
    )
    page = open_page(service.url)
    sign_in(page, earner)
    page.get_by_role("link", name="Customers").click()
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name="Customer")).to_contain_text(name)
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
    metrics = ("revenue", "costs", "cumulative_revenue", "gross_margin", "ltv")
    shown = shown_exactly(page, metrics)
    assert shown == answered(earner, metrics, **days(30), external_customer_ids=[name])
    earned = sum((Decimal(order.net_amount.amount) for order in orders), Decimal()) / 100
    assert (shown["revenue"], shown["gross_margin"]) == (earned, earned - Decimal("0.00025"))
    assert rows(page)[HOSTILE[4]][5] == f"{earned:f}"
    assert cells_of(page, "Latest events") == listed(earner, external_customer_ids=[name])
    payments = [[row[1], row[2]] for row in cells_of(page, "Latest payments")]
    assert payments == [
        [order.order_id, f"{Decimal(order.net_amount.amount) / 100:f}"] for order in orders[:10]
    ]
    refunds = [row[1:] for row in cells_of(page, "Latest refunds and disputes")]
    assert refunds == [["Refund", orders[0].order_id, "9"]]
    expect(page.get_by_role("region", name="Subscriptions")).to_contain_text("None.")
    assert violations(page) == []
    (stored,) = earner.list_page(external_customer_ids=[name]).events
    page.get_by_role("link", name="Customers").click()
    search = page.get_by_role("search")
    search.get_by_label("Customer").fill(stored.customer_id)
    search.get_by_role("button", name="Open").click()
    expect(page.get_by_role("heading", name="Customer")).to_contain_text(stored.customer_id)
    expect(page.get_by_role("list", name="Totals")).to_be_visible()
    assert shown_exactly(page, metrics) == shown
    page.get_by_role("link", name="All events").click()
    expect(page.get_by_role("list", name="Filters")).to_contain_text(stored.customer_id)
    assert page.title() == "Cost Insights"
    assert complaints == []
    page.goto(f"{service.url}/?page=customer&id=nobody")
    expect(page.get_by_text("Nothing is stored of a customer")).to_be_visible()
    # What the token may not read is left out, and the page says so.
    reader = service.caller(earner.organization, scopes=frozenset({"metrics:read"}))
    page = open_page(f"{service.url}/")
    sign_in(page, reader)
    page.goto(f"{service.url}/?page=customer&id=user+3&span=30d&zone=UTC")
    expect(page.get_by_role("region", name="Latest payments", exact=True)).to_contain_text(
        "revenue:read"
    )
    assert shown_exactly(page, ("costs",)) == answered(
        earner, ("costs",), **days(30), external_customer_ids=["user 3"]
    )


def test_subscriptions_and_revenue(
    service: Service, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """The page says how to record the first order; then its numbers are those of the RPC and of an
    independent sum, also in its tables of charts, and it lists subscriptions and refunds."""
    caller = service.caller()
    now = datetime.now(UTC)
    page = open_page(service.url)
    sign_in(page, caller)
    page.get_by_role("link", name="Revenue").click()
    expect(page.get_by_text("There is no revenue in this span yet.")).to_be_visible()
    assert caller.token is not None
    command = page.locator("pre code").inner_text()
    subprocess.run(
        command, shell=True, check=True, env={**os.environ, "TOKEN": caller.token}, timeout=60
    )
    expect(page.locator('[data-metric="revenue"]')).to_have_text("$29.00")
    caller.revenue.RecordSubscriptions(
        revenue_service_pb2.RecordSubscriptionsRequest(
            subscriptions=[
                new_subscription(
                    f"subscription {number}",
                    external_customer_id=HOSTILE[0],
                    product_id=HOSTILE[4],
                    amount=money(f"{1_000 + number}"),
                    started_time=at(now - timedelta(days=number + 1)),
                    update_time=at(now),
                    **(
                        {
                            "canceled_time": at(now - timedelta(days=1)),
                            "cancel_reason": revenue_pb2.CANCEL_REASON_UNUSED,
                            "ended_time": at(now - timedelta(hours=1)),
                        }
                        if number == 3
                        else {}
                    ),
                )
                for number in range(4)
            ]
        ),
        metadata=caller.metadata,
    )
    caller.revenue.RecordRefunds(
        revenue_service_pb2.RecordRefundsRequest(
            refunds=[new_refund(amount=money("900.5"), created_time=at(now))]
        ),
        metadata=caller.metadata,
    )
    expect(page.locator('[data-metric="deductions"]')).to_have_text("$9.00")
    expect(page.locator('[data-metric="monthly_recurring_revenue"]')).to_have_text("$30.03")
    metrics = (
        "monthly_recurring_revenue",
        "annual_recurring_revenue",
        "active_subscriptions",
        "average_revenue_per_user",
        "new_subscriptions",
        "renewed_subscriptions",
        "canceled_subscriptions",
        "churned_subscriptions",
        "churn_rate",
        "ltv",
        "revenue",
        "net_revenue",
        "orders",
        "average_order_value",
    )
    shown = shown_exactly(page, metrics)
    assert shown == answered(caller, metrics, **days(30))
    assert (shown["net_revenue"], shown["churned_subscriptions"]) == (Decimal("19.995"), "1")
    page.get_by_text("Table", exact=True).last.click()
    table = page.get_by_role("region", name=re.compile("^Table: Subscriptions, "))
    columns = table.locator("tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].slice(1).map((cell) => cell.textContent))"
    )
    new, _, churned, active = zip(*(map(int, row) for row in columns), strict=True)
    assert (sum(new), sum(churned), active[-1]) == (4, 1, 3)
    reasons = page.get_by_role("region", name="Cancellations", exact=True)
    assert reasons.locator("tbody tr").all_inner_texts() == ["Not used\t1\t0"]
    listed = cells_of(page, "Subscriptions started in this span")
    assert [row[1:5] for row in listed] == [
        [f"subscription {number}", HOSTILE[0], f"{Decimal(1_000 + number) / 100:f}", "month"]
        for number in range(4)
    ]
    (refund,) = cells_of(page, "Refunds and disputes in this span")
    assert refund[1:] == ["Refund", "order_1", "9.005"]
    assert violations(page) == []
    assert page.title() == "Cost Insights"
    assert complaints == []


def test_llm_calls(service: Service, open_page: Callable[..., Page], complaints: list[str]) -> None:
    """Costs of models are those of the RPC without what is no LLM call; tokens, cached shares,
    costs per 1,000 tokens and the changes of both are those of an independent sum."""
    caller = service.caller()
    now = datetime.now(UTC)
    page = open_page(service.url)
    sign_in(page, caller)
    page.get_by_role("link", name="LLM").click()
    expect(page.get_by_text("There is no LLM call in this span yet.")).to_be_visible()
    models = [HOSTILE[0], HOSTILE[5], *(f"model {number}" for number in range(7))]
    calls = [
        new_event(
            cost=f"{number}.000000000001",
            timestamp=at(now - timedelta(hours=9 * number)),
            external_customer_id=f"user {number % 4}",
            llm=cost_pb2.Llm(
                vendor="vendor",
                model=models[number % len(models)],
                input_tokens=1_000 * number + 7,
                output_tokens=100 * number,
                cached_input_tokens=250 * number,
                total_tokens=1_100 * number + 9 if number % 2 else 0,
            ),
        )
        for number in range(60)
    ]
    earlier = new_event(
        cost="5",
        timestamp=at(now - timedelta(days=40)),
        llm=cost_pb2.Llm(
            vendor="vendor", model="model 3", input_tokens=30_000, output_tokens=1_234
        ),
    )
    caller.ingest(*calls, earlier, new_event(cost="77", timestamp=at(now - timedelta(minutes=1))))
    expect(page.get_by_role("row", name="Total").first).to_be_visible()
    answer = caller.get_metrics(metrics=["costs"], group_by="GROUP_BY_LLM_MODEL", **days(30))
    costs = cells_of(page, re.compile("^Costs of models, "))
    assert [(name, Decimal(cost)) for name, cost, *_ in costs] == [
        (group.value, Decimal(group.totals.costs) / 100)
        for group in answer.groups
        if group.value != ""
    ]
    whole = sum((Decimal(call.cost.amount) for call in calls), Decimal()) / 100
    assert sum((Decimal(cost) for _, cost, *_ in costs), Decimal()) == whole
    counted = Counter(call.llm.model for call in calls)
    assert {name: int(cells[3]) for name, *cells in costs} == counted
    # The stack of the chart comes to the same.
    page.get_by_text("Table", exact=True).click()
    totals = page.get_by_role("region", name=re.compile("^Table: ")).locator("td:last-child")
    amounts = totals.evaluate_all("cells => cells.map((cell) => cell.dataset.plain)")
    assert sum(map(Decimal, amounts), Decimal()) == whole
    expected = {
        name: used(
            [call for call in calls if name in {call.llm.model, "Total"}],
            earlier if name in {"model 3", "Total"} else None,
        )
        for name in [*models, "Total"]
    }
    table = page.get_by_role("region", name=re.compile("^Tokens of models, "))
    shown = table.locator("tbody tr, tfoot tr").evaluate_all(
        """rows => rows.map((row) => [...row.cells].map(
            (cell) => cell.querySelector(".amount")?.dataset.plain ?? cell.textContent
        ))"""
    )
    assert {name: cells for name, *cells in shown} == expected
    assert violations(page) == []
    # A filter counts for tokens too.
    page.goto(f"{service.url}/?page=llm&customer=user%201")
    of_one = used([call for call in calls if call.external_customer_id == "user 1"], None)
    expect(table.locator("tfoot td").nth(3)).to_have_text(of_one[3])
    page.get_by_role("link", name="model 3").click()
    expect(page.get_by_role("list", name="Filters")).to_contain_text("Model: model 3")
    assert page.title() == "Cost Insights"
    assert complaints == []


def used(calls: Sequence[event_pb2.NewEvent], earlier: event_pb2.NewEvent | None) -> list[str]:
    """The row of some calls in the table of tokens, where there was at most one call before."""
    inputs, cached, outputs = (
        sum(getattr(call.llm, field) for call in calls)
        for field in ("input_tokens", "cached_input_tokens", "output_tokens")
    )
    share = Decimal(cached * 10**6 // inputs) / 10**4
    tokens, price = priced(calls)
    changes = ["from 0", ""]
    if earlier is not None:
        tokens_were, price_was = priced([earlier])
        changes = [changed(Decimal(tokens), Decimal(tokens_were)), changed(price, price_was)]
    return [
        f"{inputs:,}",
        f"{share:.1f}%",
        f"{outputs:,}",
        f"{tokens:,}",
        changes[0],
        f"{price / 100:f}".rstrip("0").rstrip("."),
        changes[1],
    ]


def priced(calls: Sequence[event_pb2.NewEvent]) -> tuple[int, Decimal]:
    """All tokens of some calls, and the cents that 1,000 of them cost."""
    tokens = sum(
        call.llm.total_tokens or call.llm.input_tokens + call.llm.output_tokens for call in calls
    )
    cost = sum((Decimal(call.cost.amount) for call in calls), Decimal())
    return tokens, (1_000 * cost / tokens).quantize(Decimal("1e-12"), ROUND_HALF_EVEN)


def changed(now: Decimal, before: Decimal) -> str:
    """The change in words, where it is one."""
    percent = 100 * (now - before) / before
    words = f"{abs(percent):,.0f}%" if abs(percent) >= 100 else f"{abs(percent):,.1f}%"
    return f"{'+' if percent > 0 else chr(0x2212)}{words}"
