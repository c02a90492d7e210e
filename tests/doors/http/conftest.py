"""Callers that talk to a server over HTTP."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.service import Service


@pytest.fixture
def stranger(web: Service) -> Iterator[httpx.Client]:
    """Someone who calls over HTTP without a token."""
    with httpx.Client(base_url=web.url, timeout=60) as client:
        yield client


@pytest.fixture
def client(web: Service) -> Iterator[httpx.Client]:
    """A caller of a new organization over HTTP, with every scope."""
    headers = {"authorization": f"Bearer {web.token(web.organization())}"}
    with httpx.Client(base_url=web.url, headers=headers, timeout=60) as client:
        yield client
