"""HTTP/1.1 on one connection, with limits that hold before a request is known.

The parser of requests has no limits of its own: a head that never ends would take memory for as
long as bytes arrive, and a request that stops half-way would keep its connection for ever.
"""

import asyncio
import enum
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cost_insights.identity import certificate_sha256

_HEAD_BYTES_MAX: Final = 32 * 1024
"""The greatest size of a request line and its headers."""

_HEAD_SECONDS_MAX: Final = 10
"""The time that a head may take to arrive, from its first byte or the start of the connection."""

_REFUSALS: Final = {
    400: (b"400 Bad Request", b'{"error":"BadRequest","detail":"the request is not valid HTTP"}'),
    408: (
        b"408 Request Timeout",
        b'{"error":"RequestTimeout","detail":"the request did not arrive in time"}',
    ),
    431: (
        b"431 Request Header Fields Too Large",
        b'{"error":"RequestHeaderFieldsTooLarge",'
        b'"detail":"the head of the request is larger than %d bytes"}' % _HEAD_BYTES_MAX,
    ),
    503: (
        b"503 Service Unavailable\r\nretry-after: 1",
        b'{"error":"ServiceUnavailable","detail":"too many connections are open; try again"}',
    ),
}


_CERTIFICATE: Final = "cost_insights.certificate"
"""The extension of a scope that holds what is known of the client certificate."""


def certificate_of(scope: Scope) -> bytes | None:
    """The `certificate_sha256` of the client certificate of a request, if it has one."""
    found: bytes | None = scope.get("extensions", {}).get(_CERTIFICATE, {}).get("sha256")
    return found


class _Part(enum.Enum):
    """The part of a request that is arriving."""

    HEAD = "head"
    BODY = "body"


class Connection(HttpToolsProtocol):
    """A connection whose requests have a head of limited size, and arrive in limited time."""

    def __init__(
        self,
        *args: Any,
        body_seconds_max: float,
        connections_max: int,
        on_refusal: Callable[[int], object],
        **kwargs: Any,
    ) -> None:
        """`on_refusal` is given the status with which a connection, or what is no request, is
        refused."""
        super().__init__(*args, **kwargs)
        self._on_refusal = on_refusal
        self._connections_max = connections_max
        self._seconds_max = {_Part.HEAD: _HEAD_SECONDS_MAX, _Part.BODY: body_seconds_max}
        self._head_bytes = 0
        self._in_head = True
        self._awaited: _Part | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._certificate: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time for the first head, unless there are too many connections."""
        super().connection_made(transport)
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is not None and (der := encrypted.getpeercert(binary_form=True)):
            self._certificate = certificate_sha256(der)
        if len(self.connections) > self._connections_max:
            self._on_refusal(503)
            self._answer(503)
            return
        self._await(_Part.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the time."""
        self._await(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses the bytes that arrived."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        # Bytes that came with the end of a head are counted for it, so only a head that has not
        # ended is judged here.
        if self._in_head and self._head_bytes > _HEAD_BYTES_MAX:
            self._refuse(431)
            return
        # Most requests arrive in one piece, and for them no time is taken.
        if not self._in_head:
            self._await(_Part.BODY)
        else:
            self._await(_Part.HEAD if self._head_bytes else None)

    def on_message_begin(self) -> None:
        """Begins a head."""
        super().on_message_begin()
        if self._certificate is not None:
            self.scope["extensions"] = {_CERTIFICATE: {"sha256": self._certificate}}
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Ends a head; one that came with the bytes that made it too large is judged here."""
        self._in_head = False
        received, self._head_bytes = self._head_bytes, 0
        if received > _HEAD_BYTES_MAX and self._head_size() > _HEAD_BYTES_MAX:
            self._refuse(431)
            return
        super().on_headers_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """Takes a part of a body, unless its head was refused."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request; the next bytes belong to another head."""
        self._in_head = True
        if not self.transport.is_closing():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers bytes that are not HTTP, unless they were answered already."""
        del msg
        if not self.transport.is_closing():
            self._refuse(400)

    def _await(self, part: _Part | None) -> None:
        """Starts the time for a part, unless it runs; None stops it."""
        if part is self._awaited:
            return
        self._awaited = part
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if part is not None:
            self._timer = self.loop.call_later(self._seconds_max[part], self._give_up)

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self._awaited is _Part.HEAD:
            if self._head_bytes:
                self._refuse(408)
            else:
                self.transport.close()
            return
        # Who reads the body is told that the client has left.
        was_answered = self.cycle.response_started
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        if was_answered:
            self.transport.close()
        else:
            self._answer(408)

    def _refuse(self, status: int) -> None:
        self._on_refusal(status)
        # While an earlier request of the connection is being answered, another answer would be
        # taken for its own.
        if self.cycle is None or self.cycle.response_complete:
            self._answer(status)
        else:
            self.transport.close()

    def _answer(self, status: int) -> None:
        line, body = _REFUSALS[status]
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (line, len(body), body)
        )
        self.transport.close()
