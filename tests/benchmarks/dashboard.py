"""`make bench-dashboard`: how fast the pages of the dashboard are, in real Chromium, in a table."""

import argparse
import datetime
import gzip
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.metrics.data_set import CUSTOMERS, customer_name
from tests.benchmarks.metrics.recorded import recorded
from tests.benchmarks.metrics.revenue_data_set import RevenueDataSet
from tests.benchmarks.metrics.stored import (
    Stored,
    add_keep,
    events_option,
    stored_data_sets,
)
from tests.benchmarks.processes import service
from tests.benchmarks.results import check_equal

FIRST_PAINT_MS_MAX = 500
COMPLETE_MS_MAX = 1_000
CHANGED_MS_MAX = 300
GZIPPED_KB_MAX = 250

WAIT_MS = 600_000
SPANS_DAYS = (7, 30, 90)

_OBSERVED = """
    // Frames are painted after the callbacks of their animation, and before the next task.
    const painted = (then) => requestAnimationFrame(() => setTimeout(then));
    const isComplete = () => document.querySelector("main[aria-busy='false']") !== null;
    window.completed = new Promise((resolve) => {
        const observer = new MutationObserver(() => {
            if (!isComplete()) return;
            observer.disconnect();
            painted(() => resolve(performance.now()));
        });
        observer.observe(document, { attributes: true, childList: true, subtree: true });
    });
    window.change = (query) => new Promise((resolve) => {
        const began = performance.now();
        let wasBusy = false;
        const observer = new MutationObserver(() => {
            wasBusy ||= !isComplete();
            if (!wasBusy || !isComplete()) return;
            observer.disconnect();
            painted(() => resolve(performance.now() - began));
        });
        observer.observe(document.querySelector("main"), { attributes: true });
        // As the buttons of the browser that go back and forth do.
        history.pushState(null, "", query);
        dispatchEvent(new PopStateEvent("popstate"));
    });
"""
"""Tells when a page is complete, and changes what it shows."""


@dataclass(frozen=True)
class _Row:
    """Times or sizes of one kind, with what is asked of their 95th percentile."""

    what: str
    values: Sequence[float]
    unit: str = "ms"
    asked: float | None = None

    def at(self, share: float) -> float:
        """The quantile: that share of the values is no larger."""
        return sorted(self.values)[max(0, math.ceil(share * len(self.values)) - 1)]


def main() -> int:
    """Measures all pages; an exception if one of them is not right."""
    parser = argparse.ArgumentParser(prog="make bench-dashboard", description=__doc__)
    for name, default, of_type in (
        ("events", 20_000_000, events_option),
        ("orders", 1_000_000, int),
        ("subscriptions", 50_000, int),
    ):
        parser.add_argument(
            f"--{name}",
            type=of_type,
            default=default,
            metavar="N",
            help=f"how many {name} are stored (default {default:,})",
        )
    parser.add_argument(
        "--rounds", type=int, default=20, help="how often each page is opened (default 20)"
    )
    add_keep(parser)
    options = parser.parse_args()
    with stored_data_sets(options.keep) as (_, data_sets):
        stored = data_sets.get("postgresql", options.events)
        recorded(stored, RevenueDataSet(data_sets.end_us, options.orders, options.subscriptions))
        with (
            service(stored.url) as server,
            sync_playwright() as playwright,
            playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            ) as browser,
        ):
            url = f"http://{server.http_address}"
            rows = list(_measured(_Pages(browser, url, stored), options.rounds))
    shown = Console(width=None if sys.stdout.isatty() else 150)
    shown.print(_table_of(f"{options.events:,} events on PostgreSQL", rows))
    return 0


class _Pages:
    """The pages of a service, at spans that end with its data."""

    def __init__(self, browser: Browser, url: str, stored: Stored) -> None:
        self._browser = browser
        self._url = url
        self._stored = stored
        end = datetime.datetime.fromtimestamp(stored.data_set.end_us / 1e6, datetime.UTC)
        self._last_day = end.date()

    def queries(self) -> dict[str, dict[str, str]]:
        """The query of each page's address, by the name of the page: the pages of the navigation,
        one of a customer and one of an event."""
        counts = np.bincount(self._stored.columns.customers, minlength=CUSTOMERS)
        frequent = customer_name(int(counts.argmax()))

        def look(page: Page) -> tuple[list[str], str]:
            listed: list[str] = page.evaluate(
                "import('/dashboard/state.js').then(({ PAGES }) => Object.keys(PAGES))"
            )
            return listed, page.evaluate("new URL(document.querySelector('tbody a').href).search")

        listed, event = self._open({"page": "events"}, look, days=7)
        (event_id,) = parse_qs(event.removeprefix("?"))["id"]
        return {
            **{page: {"page": page} for page in listed},
            "customer": {"page": "customer", "id": frequent},
            "event": {"page": "event", "id": event_id},
        }

    def check(self) -> None:
        """Raises UnequalError unless the page shows the exact costs of all events."""

        def costs(page: Page) -> str:
            selector = "[data-metric='costs'] .amount"
            return str(page.locator(selector).get_attribute("data-plain"))

        dollars = Decimal(self._open({}, costs, days=367))
        check_equal("costs", dollars.scaleb(14), Decimal(self._stored.costs_picocents))

    def open_cold(self, query: dict[str, str]) -> tuple[float, float, float]:
        """Opens a page in a browser that has seen nothing: the times of its first paint and its
        completion in ms, and the bytes that it was sent."""

        def times(page: Page) -> tuple[float, float, float]:
            # The paint before it shows a blank page in the colour of its ground.
            paint: float = page.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            )
            received: float = page.evaluate(
                """performance.getEntries().reduce(
                    (sum, one) => sum + (one.encodedBodySize ?? 0), 0)"""
            )
            return paint, page.evaluate("window.completed"), received

        opened: tuple[float, float, float] = self._open(query, times, days=30)
        return opened

    def change(self, query: dict[str, str], rounds: int) -> list[float]:
        """The time of each change of the span of an open page, in ms; no span comes twice."""

        def times(page: Page) -> list[float]:
            return [
                page.evaluate(
                    "window.change",
                    self._query(query, days=SPANS_DAYS[number % 3], ago=1 + number // 3),
                )
                for number in range(rounds)
            ]

        changed: list[float] = self._open(query, times, days=30)
        return changed

    def _open(self, query: dict[str, str], look: Callable[[Page], Any], *, days: int) -> Any:
        context = self._browser.new_context(timezone_id="UTC")
        try:
            page = context.new_page()
            page.set_default_timeout(WAIT_MS)
            page.add_init_script(_OBSERVED)
            page.goto(self._url + "/" + self._query(query, days=days, ago=0))
            page.evaluate("window.completed")
            if page.get_by_role("alert").count():
                raise RuntimeError(f"{query}: {page.get_by_role('alert').inner_text()}")
            return look(page)
        finally:
            context.close()

    def _query(self, query: dict[str, str], *, days: int, ago: int) -> str:
        last = self._last_day - datetime.timedelta(days=ago)
        first = last - datetime.timedelta(days=days - 1)
        return "?" + urlencode({**query, "span": "custom", "from": f"{first}", "to": f"{last}"})


def _measured(pages: _Pages, rounds: int) -> Iterator[_Row]:
    console = Console(stderr=True)
    _, complete, _ = pages.open_cold({})
    yield _Row("overview, the first page after the start of the service", [complete])
    pages.check()
    received: list[float] = []
    for name, query in pages.queries().items():
        console.print(f"measuring {name}")
        opened = [pages.open_cold(query) for _ in range(rounds)]
        paints, completes, sizes = zip(*opened, strict=True)
        received.append(max(sizes) / 1e3)
        yield _Row(f"{name}, first paint", paints, asked=FIRST_PAINT_MS_MAX)
        yield _Row(f"{name}, complete from a cold cache", completes, asked=COMPLETE_MS_MAX)
        if name != "event":
            changed = pages.change(query, rounds)
            yield _Row(f"{name}, complete after the span changed", changed, asked=CHANGED_MS_MAX)
    yield _Row("received by a page, with its answers", received, "kB")
    folder = resources.files("cost_insights.doors.http").joinpath("dashboard")
    size = sum(len(gzip.compress(content)) for content in _contents(folder))
    yield _Row("all files, gzipped", [size / 1e3], "kB", GZIPPED_KB_MAX)


def _contents(folder: Traversable) -> Iterator[bytes]:
    for child in folder.iterdir():
        if child.is_dir():
            yield from _contents(child)
        else:
            yield child.read_bytes()


def _table_of(title: str, rows: Sequence[_Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(title, overflow="fold")
    for heading in ("n", "p50", "p95", "", "asked of p95", "met?"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        asked = met = ""
        if row.asked is not None:
            asked = f"≤ {row.asked:,.0f}"
            met = "[green]yes[/]" if row.at(0.95) <= row.asked else "[red]no[/]"
        p50, p95 = f"{row.at(0.5):,.0f}", f"{row.at(0.95):,.0f}"
        table.add_row(row.what, str(len(row.values)), p50, p95, row.unit, asked, met)
    return table


if __name__ == "__main__":
    sys.exit(main())
