"""Connections by the thousand, and connections that do nothing."""

import contextlib
import itertools
import socket
import time

import httpx

from tests.support.attacked import StartAttacked
from tests.support.raw_http2 import RawConnection
from tests.support.service import Caller, new_event

INGEST = "/cost_insights.v1.EventService/IngestEvents"


def check_served(caller: Caller) -> None:
    """A caller is answered from the database."""
    for _ in range(5):
        caller.ingest(new_event())
        assert caller.list_events(page_size=10)


def test_connections_leave_files_for_the_database(start_attacked: StartAttacked) -> None:
    """However many connect, some files are left, and those who were there before are served."""
    with start_attacked(files_max=(128, 300)) as victim:
        # As many as the system allows, not as many as it gives by itself.
        assert victim.files_max() == 300
        caller = victim.caller()
        check_served(caller)
        with contextlib.ExitStack() as stack, httpx.Client(base_url=victim.url) as client:
            assert client.get("/healthz").status_code == 200
            for address in (victim.address, victim.url.removeprefix("http://")):
                host, _, port = address.partition(":")
                for _ in range(400):
                    stack.enter_context(socket.create_connection((host, int(port))))
            check_served(caller)
            assert client.get("/healthz").status_code == 200
            assert victim.descriptors() < 290
            refused = stack.enter_context(socket.create_connection((host, int(port))))
            refused.settimeout(10)
            assert refused.recv(1_000).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        # Room is there again once they have left.
        for _ in range(100):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{victim.url}/healthz").status_code == 200:
                    break
            time.sleep(0.1)
        check_served(victim.caller())


def test_idle_connections_expire(start_attacked: StartAttacked) -> None:
    """Connections on which nothing is called are closed, and those with calls are not."""
    with start_attacked(connection_idle_seconds=1) as victim:
        token = victim.caller().token
        host, _, port = victim.url.removeprefix("http://").partition(":")
        with (
            RawConnection(victim.address) as idle,
            RawConnection(victim.address) as busy,
            socket.create_connection((host, int(port)), timeout=30) as kept_alive,
        ):
            busy.open(INGEST, authorization=f"Bearer {token}")
            kept_alive.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            # One answer, and then the end.
            answers = b"".join(iter(lambda: kept_alive.recv(10_000), b""))
            assert answers.count(b"HTTP/1.1 200 OK") == 1
            assert idle.wait_until(lambda: idle.closed)
            assert idle.goaway is not None
            assert not busy.closed


def test_pings_without_end(start_attacked: StartAttacked) -> None:
    """A connection that does nothing but ping is told to be calm and closed."""
    with start_attacked() as victim, RawConnection(victim.address) as connection:
        for _ in itertools.takewhile(lambda _: not connection.closed, range(1_000)):
            connection.ping()
            time.sleep(0.001)
        assert connection.wait_until(lambda: connection.closed)
        assert connection.goaway is not None
        assert connection.goaway.additional_data == b"too_many_pings"
