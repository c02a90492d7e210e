"""The pages on paper."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from tests.support.pages import at, sign_in
from tests.support.service import Service, new_event

pytestmark = pytest.mark.slow

PAPER_PX = 720
"""The width of a sheet within its margins."""


def test_paper_shows_all_and_nothing_to_click(
    service: Service, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    """A page is printed in light colours with its whole charts and tables, without what is for
    the screen, which is as before afterwards."""
    caller = service.caller()
    now = datetime.now(UTC)
    caller.ingest(
        new_event(cost="12.5", timestamp=at(now)),
        *(
            new_event(
                name=f"a name of an event that is long {number}",
                cost=f"1234{number}.000000000001",
                timestamp=at(now),
            )
            for number in range(9)
        ),
    )
    page = open_page(
        f"{service.url}/?span=90d&event=llm.inference",
        color_scheme="dark",
        viewport={"width": 1280, "height": 900},
    )
    sign_in(page, caller)
    ground = page.evaluate("getComputedStyle(document.querySelector('.tile')).backgroundColor")
    page.evaluate(
        """addEventListener("beforeprint", () => {
            window.drawn = document.querySelectorAll(".paper svg").length;
        })"""
    )
    assert page.pdf(width="210mm", height="297mm").startswith(b"%PDF")
    assert page.evaluate("window.drawn") == 1

    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": PAPER_PX, "height": 1_000})
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER_PX
    expect(page.get_by_text("llm.inference")).to_be_visible()  # the filter
    expect(page.get_by_text("Revenue and costs, ").filter(visible=True)).to_have_count(1)
    expect(page.locator("tbody tr")).to_have_count(90)
    table = page.locator(".scroll").evaluate("e => [e.clientHeight, e.scrollHeight]")
    assert table[0] >= table[1]
    expect(page.locator(".paper rect").first).to_have_attribute("fill", "#fff")
    for shown in page.locator("button, nav, input, select, canvas").all():
        expect(shown).to_be_hidden()

    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen", color_scheme="dark")
    expect(page.locator("canvas")).to_be_visible()
    expect(page.locator("tbody")).to_be_hidden()
    assert page.locator(".paper svg").count() == 0
    ground_after = page.evaluate(
        "getComputedStyle(document.querySelector('.tile')).backgroundColor"
    )
    assert ground_after == ground

    # Wide tables have smaller letters and several lines, and are not cut off.
    page.goto(f"{service.url}/?page=breakdown&span=7d")
    expect(page.locator("figure")).to_be_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator("figure tbody tr")).to_have_count(7)
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER_PX
    assert complaints == []
