"""Reading the body of a request, with a limit on its size, sent and decompressed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.types import Message, Receive

from cost_insights.api.admission import COPIES, Budget, Reservation
from cost_insights.doors.compression import (
    DECOMPRESSION_ERRORS,
    ENCODINGS,
    decompressed,
    too_large,
)
from cost_insights.doors.http.answers import HttpError

_JSON: Final = b"application/json"

Headers = Mapping[bytes, bytes]
"""The headers of a request, by their names in small letters; of several the last one counts."""


@dataclass(frozen=True)
class HttpLimits:
    """The limits of the body of a request."""

    bytes_max: int
    """The greatest size, as sent and decompressed."""

    seconds_max: float
    """The time in which the body must arrive."""

    budget: Budget
    """The bytes that all requests together may take."""


def announced_bytes(headers: Headers, bytes_max: int) -> int:
    """The size of a body as its headers announce it, as far as it is allowed; 0 if they do not."""
    length = headers.get(b"content-length", b"")
    return min(int(length), bytes_max) if length.isdigit() and len(length) < 19 else 0


async def read_json(
    headers: Headers, receive: Receive, bytes_max: int, reservation: Reservation
) -> bytes:
    """The body of a request that should be JSON, decompressed but not parsed.

    The reservation, which has room for the announced size, grows with what arrives. Raises
    HttpError if it is of another type or compressed in an unknown way, LimitExceededError if it is
    too large, and OverloadedError if there is no room for it.
    """
    content_type = headers.get(b"content-type", b"")
    if content_type != _JSON:
        check_json(content_type.decode("latin-1"))
    encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if encoding not in _KNOWN_ENCODINGS:
        allowed = ", ".join(ENCODINGS)
        raise HttpError(
            415,
            f"the content-encoding {encoding!r} is not supported; allowed are {allowed}",
            headers={"accept-encoding": allowed},
        )
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > bytes_max:
        raise too_large(int(length), bytes_max)
    part = _connected(await receive())
    body: bytes = part.get("body", b"")
    # Most bodies come in one piece, which need not be copied.
    if part.get("more_body", False):
        body = await _whole(body, receive, bytes_max, reservation)
    elif len(body) > bytes_max:
        raise too_large(len(body), bytes_max)
    if encoding not in ENCODINGS:
        return body
    with await reservation.beside(COPIES * ENCODINGS[encoding].content_bytes(body, bytes_max)):
        # In a thread, with the interpreter's lock released: a small body may be a large one inside.
        body = await asyncio.to_thread(body_content, body, encoding, bytes_max)
    reservation.enlarge(COPIES * len(body))
    return body


def check_json(content_type: str) -> None:
    """Raises HttpError unless a content-type is that of JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != _JSON.decode():
        raise HttpError(
            415,
            f"the content-type {content_type!r} is not supported; send {_JSON.decode()}"
            if content_type
            else f"the request has no content-type; send {_JSON.decode()}",
            headers={"accept-post": _JSON.decode()},
        )


async def _whole(first: bytes, receive: Receive, bytes_max: int, reservation: Reservation) -> bytes:
    parts = bytearray(first)
    more = True
    while more:
        part = _connected(await receive())
        parts += part.get("body", b"")
        if len(parts) > bytes_max:
            raise too_large(len(parts), bytes_max)
        reservation.enlarge(COPIES * len(parts))
        more = part.get("more_body", False)
    return bytes(parts)


def _connected(part: Message) -> Message:
    """A part of a body; raises HttpError if the client has left, or took too long."""
    if part["type"] == "http.disconnect":
        raise HttpError(400, "the connection ended before the body did")
    return part


def body_content(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """The content of a compressed body.

    Raises HttpError if it was not compressed in that way, LimitExceededError if it is too large.
    """
    try:
        return decompressed(body, encoding, bytes_max)
    except DECOMPRESSION_ERRORS as error:
        raise HttpError(400, f"the body is not valid {encoding}: {error}") from None


_KNOWN_ENCODINGS: Final = frozenset({"", "identity", *ENCODINGS})
