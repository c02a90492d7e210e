"""`docs/compatibility.md` and the table of endpoints say the same."""

import re
from pathlib import Path

from cost_insights.api.compatible import ENDPOINTS
from cost_insights.identity import SCOPES

PAGE = (Path(__file__).parents[3] / "docs" / "compatibility.md").read_text()


def test_every_endpoint_is_documented() -> None:
    """Each row names endpoints with the scopes that allow them, and each endpoint has a row."""
    documented: dict[tuple[str, str], set[str]] = {}
    for row in re.findall(r"^\| (`(?:GET|POST|PATCH).*) \|.*\| (.*) \|$", PAGE, re.MULTILINE):
        methods: list[str] = []
        for one in re.findall(r"`([^`]+)`", row[0]):
            method, _, path = one.partition(" ")
            methods.append(method)
            for found in methods if path else ():
                documented[found, path] = set(re.findall(r"`([^`]+)`", row[1]))
            if path:
                methods.clear()
    assert documented == {(one.method, one.path): set(one.scopes) for one in ENDPOINTS}


def test_every_scope_of_an_endpoint_exists() -> None:
    """Endpoints need scopes that a token can have."""
    assert frozenset().union(*(one.scopes for one in ENDPOINTS)) <= SCOPES
