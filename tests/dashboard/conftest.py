"""A service, and a browser that shows its pages and notes what it complains of."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, expect

from tests.support.databases import Databases
from tests.support.service import LoopThread, Service, running

WAIT_MS = 30_000

expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def service(loop_thread: LoopThread, databases: Databases) -> Iterator[Service]:
    """A service that asks for tokens."""
    with (
        databases.fresh("sqlite") as url,
        running(loop_thread, url, http_address="127.0.0.1:0", token_cache_ms=0) as service,
    ):
        service.caller()
        yield service


@pytest.fixture
def complaints() -> list[str]:
    """The errors that the browser reports: on the console, of the page and of the network."""
    return []


@pytest.fixture
def open_page(chromium: Browser, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """Opens pages, each in a browser of its own, and notes complaints."""
    contexts = []

    def note(message: ConsoleMessage) -> None:
        # The browser writes a line of its own for each answer that is an error.
        if message.type in {"error", "warning"} and "status of 40" not in message.text:
            complaints.append(message.text)

    def note_answer(answer: Response) -> None:
        if answer.status >= 500:
            complaints.append(f"{answer.status} {answer.url}")

    def open_page(url: str, **options: Any) -> Page:
        options.setdefault("timezone_id", "UTC")
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("response", note_answer)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
