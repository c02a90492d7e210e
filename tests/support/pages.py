"""Steps that tests take on the pages of the dashboard."""

from datetime import datetime

from google.protobuf import timestamp_pb2
from playwright.sync_api import Page, expect

from tests.support.sdks import NODE_MODULES
from tests.support.service import Caller


def sign_in(page: Page, caller: Caller) -> None:
    """Enters the token of a caller."""
    assert caller.token is not None
    page.get_by_label("Access token").fill(caller.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("list", name="Totals")).to_be_visible()


def violations(page: Page) -> list[tuple[str, str]]:
    """The violations that axe-core finds on a page, each with its element."""
    page.evaluate((NODE_MODULES / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [(one["id"], node["html"]) for one in found for node in one["nodes"]]


def at(moment: datetime) -> timestamp_pb2.Timestamp:
    """A time as messages have it."""
    return timestamp_pb2.Timestamp(seconds=int(moment.timestamp()))
