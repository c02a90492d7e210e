"""The pictures of the documents, which `--screenshots` writes anew.

They always show the same business at the same time. Their pixels depend on the fonts of a machine,
so nothing is compared with the pictures that are there.
"""

from collections.abc import Callable
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.demo import LAST_DAY, do_business
from tests.support.pages import sign_in
from tests.support.service import Service

pytestmark = pytest.mark.slow

IMAGES = Path(__file__).parents[2] / "docs" / "images"
BYTES_MAX = 150_000

PICTURES = {
    "overview": "?span=30d",
    "breakdown": "?page=breakdown&by=model&span=30d",
    "customers": "?page=customers&order=margin&span=30d",
}
"""The address of each picture, by its name."""


def test_the_pictures_of_the_documents(
    service: Service,
    open_page: Callable[..., Page],
    complaints: list[str],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    """Each page with numbers in it makes a picture, and each picture is one of a document."""
    caller = service.caller(service.organization("Acme").name)
    do_business(caller)
    page = open_page("about:blank", viewport={"width": 1_280, "height": 720})
    page.clock.set_fixed_time(datetime.combine(LAST_DAY, time(18), UTC))
    page.goto(service.url)
    sign_in(page, caller)
    writes = pytestconfig.getoption("screenshots")
    folder = IMAGES if writes else tmp_path
    for name, query in PICTURES.items():
        page.goto(f"{service.url}/{query}")
        expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
        expect(page.locator("tbody tr").first).to_be_attached()
        picture = page.screenshot(path=folder / f"{name}.png", full_page=name == "overview")
        assert not writes or len(picture) <= BYTES_MAX, name
    assert {path.stem for path in IMAGES.glob("*.png")} == set(PICTURES)
    assert complaints == []
