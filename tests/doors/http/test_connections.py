"""Connections of slow and broken clients, which neither delay others nor grow memory."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.service import Service

LIMITS = b"GET /v1/metrics/limits HTTP/1.1\r\nhost: a\r\n"


@pytest.fixture
def connection(web: Service) -> Iterator[socket.socket]:
    """A connection on which a test sends bytes as it likes."""
    with connected(web) as connection:
        yield connection


@contextlib.contextmanager
def connected(web: Service) -> Iterator[socket.socket]:
    """A connection of its own."""
    host, port = web.server.http_address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """Everything that arrives until the server closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def content(answer: bytes) -> dict[str, str]:
    """The JSON of an answer."""
    found: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def test_bytes_that_are_not_http(connection: socket.socket) -> None:
    """Whatever is not HTTP is 400, and the connection ends."""
    connection.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\r\n\r\n")
    answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert content(answer) == {"error": "BadRequest", "detail": "the request is not valid HTTP"}


@pytest.mark.parametrize("in_pieces", [True, False])
def test_a_head_without_end(connection: socket.socket, in_pieces: bool) -> None:
    """A head of more than 32 KiB is 431, whether it arrives in pieces or at once."""
    head = LIMITS + b"".join(b"x-%d: %s\r\n" % (n, b"v" * 1_000) for n in range(40))
    if in_pieces:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(head), 4_096):
                connection.sendall(head[start : start + 4_096])
                time.sleep(0.01)
    else:
        connection.sendall(head + b"\r\n")
    with contextlib.suppress(ConnectionResetError):
        answer = read_to_end(connection)
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert content(answer)["detail"] == "the head of the request is larger than 32768 bytes"


def test_one_header_without_end_takes_no_memory(web: Service, connection: socket.socket) -> None:
    """A header whose value never ends is cut off."""
    connection.sendall(LIMITS + b"x: ")
    sent = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while sent < 64 * 1024 * 1024:
            sent += connection.send(b"v" * 65_536)
    assert sent < 8 * 1024 * 1024
    assert httpx.get(f"{web.url}/healthz").status_code == 200


@pytest.mark.slow
def test_a_slow_head(connection: socket.socket) -> None:
    """A head that has not arrived after ten seconds is 408."""
    started = time.monotonic()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for byte in LIMITS:
            connection.sendall(bytes([byte]))
            time.sleep(0.3)
    answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert 9 < time.monotonic() - started < 19


@pytest.mark.slow
def test_silence(connection: socket.socket) -> None:
    """A connection on which nothing arrives is closed after ten seconds."""
    started = time.monotonic()
    assert read_to_end(connection) == b""
    assert 9 < time.monotonic() - started < 15


def test_pipelined_requests(web: Service, connection: socket.socket) -> None:
    """Requests that are sent without waiting are answered in their order."""
    token = web.token(web.organization())
    one = LIMITS + b"authorization: Bearer %s\r\n" % token.encode()
    connection.sendall((one + b"\r\n") * 20 + one + b"connection: close\r\n\r\n")
    answer = read_to_end(connection)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 21
    assert answer.count(b'"min_date"') == 21


@pytest.mark.slow
def test_a_thousand_idle_connections(web: Service) -> None:
    """Connections that do nothing delay nobody and cost a few kilobytes each."""
    pid = Path("/proc/self/statm")

    def resident_bytes() -> int:
        return int(pid.read_text().split()[1]) * 4_096

    with contextlib.ExitStack() as stack:
        before = resident_bytes()
        for _ in range(1_000):
            stack.enter_context(connected(web))
        started = time.monotonic()
        assert httpx.get(f"{web.url}/healthz").status_code == 200
        assert time.monotonic() - started < 1
        # The test's own ends of the connections are counted as well.
        assert resident_bytes() - before < 64 * 1024 * 1024
