"""Pages of a caller with 50,000 customers, whose names hold everything that a text can."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from cost_insights.v1 import cost_pb2, event_service_pb2
from tests.support.pages import sign_in, violations
from tests.support.service import Caller, Service, new_event

pytestmark = pytest.mark.slow

CUSTOMERS = 50_000
REQUEST_EVENTS = 10_000
SHOWN = 100

NAMES = (
    "<img src=x onerror=\"document.title='taken'\">",
    "</script><script>document.title='taken'</script>",
    "</title><svg onload=\"document.title='taken'\">",
    "\"'><b onmouseover=alert(1)>",
    "javascript:document.title='taken'",
    "{{constructor.constructor('document.title=1')()}} ${1+1} <%= 1 %>",
    "&lt;b&gt; &amp; &#x3c;",
    "--><!-- ]]> <![CDATA[",
    "../../../etc/passwd?a=b&c=d#e%00%0a",
    "'; DROP TABLE event; --",
    "__proto__",
    "constructor",
    "العربية مع أرقام ١٢٣",
    "עברית (עם סוגריים)",
    "\u202egnirts desrever\u202c",
    "\u2066left\u2069 and \u2067right\u2069",
    "\u6c49\u5b57\u3001\u304b\u306a\u3001\ud55c\uad6d\uc5b4",
    "हिन्दी ไทย தமிழ் ქართული",
    "e\u0301 n\u0303 u\u0308",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334" * 12,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f4\U000e0067\U000e0062",
    "zero\u200bwidth\u200d\ufeffjoined",
    " spaces \u00a0\u3000around ",
    "line\nbreak\ttab",
    "\U00020000\U0010ffff",
    "x" * 128,
    "\u6f22" * 128,
)


@pytest.fixture
def namer(service: Service) -> Caller:
    """A caller with an event of each customer, and with each name wherever a text can be, at costs
    that put it before all others."""
    caller = service.caller()
    named = [
        new_event(
            name=name,
            external_customer_id=name,
            product_id=name,
            cost=f"{1_000 - place}.000000000001",
            llm=cost_pb2.Llm(vendor=name, model=name, input_tokens=1, output_tokens=1),
        )
        for place, name in enumerate(NAMES)
    ]
    others = [
        new_event(external_customer_id=f"{NAMES[number % len(NAMES)][:200]} {number}", cost="0.01")
        for number in range(CUSTOMERS - len(NAMES))
    ]
    events = [*named, *others]
    for begin in range(0, CUSTOMERS, REQUEST_EVENTS):
        part = events[begin : begin + REQUEST_EVENTS]
        answer = caller.ingest_request(event_service_pb2.IngestEventsRequest(events=part))
        assert answer.inserted == REQUEST_EVENTS
    return caller


def texts(names: Locator) -> list[str]:
    """The texts of elements as the browser has them."""
    found: list[str] = names.evaluate_all("list => list.map((one) => one.textContent)")
    return found


def answered(page: Page) -> None:
    """Waits until the page shows what its address says."""
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")


def test_any_text_is_text_and_a_page_stays_small(
    service: Service, namer: Caller, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """However many customers there are, a page holds the first hundred; every name is shown as it
    is, leads to what is its own, and neither runs anything nor makes a page wider."""
    page = open_page(f"{service.url}/?span=7d", viewport={"width": 1_280, "height": 900})
    sign_in(page, namer)
    page.goto(f"{service.url}/?page=customers&span=7d")
    rows = page.locator(".framed tbody tr")
    expect(rows).to_have_count(SHOWN + 1)
    names = page.locator(".framed tbody bdi")
    assert texts(names)[: len(NAMES)] == list(NAMES)
    expect(rows.last).to_contain_text(f"All {CUSTOMERS - SHOWN:,} others")
    named_cents = sum(1_000 - place + Decimal("1e-12") for place in range(len(NAMES)))
    cents = named_cents + (CUSTOMERS - len(NAMES)) * Decimal("0.01")
    total = page.locator(".framed tfoot .amount").first.get_attribute("data-plain")
    assert Decimal(total or "") == cents / 100
    assert violations(page) == []
    for width in (1_280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1_280, "height": 900})

    for by in ("event", "model"):
        page.goto(f"{service.url}/?page=breakdown&span=7d&by={by}")
        answered(page)
        names = page.locator(".framed tbody bdi")
        expect(names.first).to_be_visible()
        assert set(NAMES) <= set(texts(names))
        with page.expect_download() as download:
            page.get_by_role("button", name="SVG").click()
        assert ET.fromstring(Path(download.value.path()).read_bytes()).tag.endswith("svg")

    # A name in the address is a filter, is said to be one, and finds what it names.
    for place, name in list(enumerate(NAMES))[::3]:
        page.goto(f"{service.url}/?{urlencode({'span': '7d', 'event': name})}")
        answered(page)
        assert texts(page.locator(".chips bdi")) == [name]
        costs = page.locator('[data-metric="costs"] .amount').get_attribute("data-plain")
        assert Decimal(costs or "") == (1_000 - place + Decimal("1e-12")) / 100

    # One of all customers is found.
    page.goto(f"{service.url}/?{urlencode({'span': '7d', 'customer': f'{NAMES[0]} 27000'})}")
    answered(page)
    expect(page.locator('[data-metric="costs"]')).to_have_text("$0.0001")
    page.get_by_placeholder("Value").focus()
    expect(page.locator("#suggestions option")).to_have_count(SHOWN)

    assert re.match(r"(\w+ . )?Cost Insights$", page.title())
    assert complaints == []
