"""HTTP/1.1 on one connection, with limits that hold before a request is known.

The parser of requests has no limits of its own: a head that never ends would take memory for as
long as bytes arrive, and one that stops half-way would keep its connection for ever.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD_BYTES_MAX: Final = 32 * 1024
"""The greatest size of a request line and its headers."""

_HEAD_SECONDS_MAX: Final = 10
"""The time that a head may take to arrive, from its first byte or the start of the connection."""

_REFUSALS: Final = {
    400: (b"400 Bad Request", b'{"error":"BadRequest","detail":"the request is not valid HTTP"}'),
    408: (
        b"408 Request Timeout",
        b'{"error":"RequestTimeout","detail":"the head of the request took longer than %d seconds"}'
        % _HEAD_SECONDS_MAX,
    ),
    431: (
        b"431 Request Header Fields Too Large",
        b'{"error":"RequestHeaderFieldsTooLarge",'
        b'"detail":"the head of the request is larger than %d bytes"}' % _HEAD_BYTES_MAX,
    ),
}


class Connection(HttpToolsProtocol):
    """A connection whose requests have a head of limited size that arrives in limited time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the time for a head."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses the bytes that arrived."""
        if self._in_head:
            if self._head_timer is None:
                self._expect_head()
            self._head_bytes += len(data)
        super().data_received(data)
        # Bytes that came with the end of a head are counted for it, so only a head that has not
        # ended is judged here.
        if self._in_head and self._head_bytes > _HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(431)

    def on_message_begin(self) -> None:
        """Begins a head."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Ends a head; one that came in a single piece is judged here."""
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > _HEAD_BYTES_MAX:
            self._refuse(431)
            return
        super().on_headers_complete()

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

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(_HEAD_SECONDS_MAX, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(408)
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int) -> None:
        # While an earlier request of the connection is being answered, another answer would be
        # taken for its own.
        if self.cycle is None or self.cycle.response_complete:
            line, body = _REFUSALS[status]
            self.transport.write(
                b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (line, len(body), body)
            )
        self.transport.close()
