"""Callers that talk to a server over HTTP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support.members import Member
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


@pytest.fixture
def new_member(web: Service) -> Iterator[Callable[[], Member]]:
    """Makes callers of new organizations."""
    with ExitStack() as stack:

        def make() -> Member:
            grpc = web.caller()
            headers = {"authorization": f"Bearer {grpc.token}"}
            http = httpx.Client(base_url=web.url, headers=headers, timeout=60)
            return Member(stack.enter_context(http), grpc)

        yield make


@pytest.fixture
def member(new_member: Callable[[], Member]) -> Member:
    """A caller of a new organization."""
    return new_member()
