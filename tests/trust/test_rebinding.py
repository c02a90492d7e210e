"""DNS rebinding: a page whose own name leads to this machine cannot act without a token."""

from collections.abc import Iterator

import httpx
import pytest

from cost_insights.addresses import names_this_machine
from tests.support.databases import Databases
from tests.support.service import LoopThread, Service, running

HERE = ("localhost", "localhost:8080", "app.localhost", "127.0.0.1:8080", "[::1]:8080", "10.0.0.7")
ELSEWHERE = (
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
)


@pytest.fixture(scope="module")
def open_service(loop_thread: LoopThread, databases: Databases) -> Iterator[Service]:
    """A service on loopback that needs no token."""
    with (
        databases.fresh("sqlite") as url,
        running(loop_thread, url, http_address="127.0.0.1:0", token_cache_ms=0) as service,
    ):
        yield service


def statuses(service: Service, **headers: str) -> set[int]:
    """The answer to a request of each kind with these headers."""
    rpc = f"{service.url}/cost_insights.v1.MetricsService/GetMetricsLimits"
    body = {"events": [{"name": "e", "external_customer_id": "c"}]}
    return {
        httpx.get(f"{service.url}/v1/metrics/limits", headers=headers).status_code,
        httpx.post(f"{service.url}/v1/events/ingest", json=body, headers=headers).status_code,
        httpx.post(rpc, json={}, headers=headers).status_code,
    }


@pytest.mark.parametrize("host", HERE)
def test_hosts_of_this_machine(open_service: Service, host: str) -> None:
    """Whoever names this machine or an address needs no token."""
    assert names_this_machine(host)
    assert statuses(open_service, host=host) == {200}


@pytest.mark.parametrize("host", ELSEWHERE)
def test_hosts_elsewhere(open_service: Service, host: str) -> None:
    """A page of another site is refused, whatever it asks for; the page at `/` asks for a token."""
    assert not names_this_machine(host)
    assert statuses(open_service, host=host) == {401}
    session = httpx.get(
        f"{open_service.url}/dashboard/session",
        headers={"host": host, "connect-protocol-version": "1"},
    ).json()
    assert session["organization"] is None
    assert "its host is neither localhost nor an address" in session["detail"]


@pytest.mark.parametrize("host", ["", " ", "[", "::1", "a b", "\x7f", "ä.localhost"])
def test_malformed_hosts(host: str) -> None:
    """Anything else counts as a name elsewhere."""
    assert not names_this_machine(host)


def test_a_token_works_by_any_name(web: Service) -> None:
    """Behind a proxy that keeps the host, callers have tokens."""
    caller = web.caller()
    headers = {"authorization": f"Bearer {caller.token}", "host": "costs.example"}
    assert statuses(web, **headers) == {200}
