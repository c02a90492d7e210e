"""The documentation site builds without warnings, loads nothing from elsewhere and is complete."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from cost_insights.doors.http.openapi import document
from cost_insights.v1 import (
    cost_pb2,
    error_reason_pb2,
    event_pb2,
    event_service_pb2,
    metrics_service_pb2,
    revenue_pb2,
    revenue_service_pb2,
)
from tests.support.sites import serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROTOS = (
    cost_pb2,
    error_reason_pb2,
    event_pb2,
    event_service_pb2,
    metrics_service_pb2,
    revenue_pb2,
    revenue_service_pb2,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; a link or an anchor that leads nowhere, and any other warning, is an error."""
    mkdocs = Path(sys.prefix) / "docs" / "bin" / "mkdocs"
    assert mkdocs.exists(), "MkDocs is not installed: run make test, which does it"
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [mkdocs, "build", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def ids(page: Path) -> set[str]:
    """The anchors of a page."""
    return {html.unescape(one) for one in re.findall(r'\bid="([^"]+)"', page.read_text())}


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """Scripts, styles, images and fonts of every page are files of the site."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        tags = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", page.read_text())
        loaded = [one for tag in tags for one in re.findall(r'\b(?:src|href)="([^"]*)"', tag)]
        assert loaded
        assert not [one for one in loaded if re.match(r"(\w+:)?//", one)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import\s*)[\"']?(https?:)?//", style.read_text()), style


def test_the_search_of_a_reader(site: Path, chromium: Browser) -> None:
    """A browser finds words of any page, and asks nobody but the server of the site."""
    with serving(site) as address:
        page = chromium.new_page()
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        page.goto(f"http://{address}/")
        page.get_by_role("textbox", name="Search").press_sequentially("AMOUNT_TOO_PRECISE")
        page.locator(".md-search-result__link[href*='/errors/']").first.wait_for()
        assert asked == {address}
        page.close()


def test_the_examples_are_shown(site: Path) -> None:
    """The page of a language has every file of its example that people write."""
    listed = ["git", "ls-files", "examples/*/*"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    written = [name for name in done.stdout.split() if not re.search(r"README|lock|go\.sum", name)]
    assert len({name.split("/")[1] for name in written}) >= 6
    for name in written:
        page = site / "languages" / name.split("/")[1] / "index.html"
        text = html.unescape(re.sub(r"<[^>]*>", "", page.read_text()))
        # Markdown has no tabs.
        assert (ROOT / name).read_text().expandtabs(4) in text, name


def test_the_reference_of_rpcs_is_complete(site: Path) -> None:
    """Every RPC, message, field, enum and value of the protos is on the page, with a comment."""
    page = site / "reference" / "rpcs" / "index.html"
    text = page.read_text()
    anchors = ids(page)
    for module in PROTOS:
        file = module.DESCRIPTOR
        for service in file.services_by_name.values():
            assert {f"{service.name}.{method.name}" for method in service.methods} <= anchors
        for kind in (*file.message_types_by_name.values(), *file.enum_types_by_name.values()):
            assert kind.name in anchors
        names = [field.name for one in file.message_types_by_name.values() for field in one.fields]
        names += [value.name for one in file.enum_types_by_name.values() for value in one.values]
        assert [name for name in names if f"<td><code>{name}</code></td>" not in text] == []
    # The last column is the comment.
    assert "<td></td>\n</tr>" not in text


def test_the_reference_of_http_is_complete(site: Path) -> None:
    """Every endpoint of the OpenAPI document is on its page, or is an RPC on the other one."""
    here = ids(site / "reference" / "http" / "index.html")
    rpcs = ids(site / "reference" / "rpcs" / "index.html")
    for path, methods in json.loads(document())["paths"].items():
        for operation in methods.values():
            anchors = rpcs if path.startswith("/cost_insights.v1.") else here
            assert operation["operationId"] in anchors, path
