"""Reading the body of a request, with a limit on its size, sent and decompressed."""

import asyncio
import gzip
import math
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.types import Message, Receive

from cost_insights.api.admission import COPIES, Budget, Reservation
from cost_insights.doors.http.answers import HttpError
from cost_insights.errors import LimitExceededError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

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
    """What all requests may take together."""


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
        _check_type(content_type.decode("latin-1"))
    encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if encoding not in _KNOWN_ENCODINGS:
        allowed = ", ".join(ENCODINGS)
        raise HttpError(
            415,
            f"the content-encoding {encoding!r} is not supported; allowed are {allowed}",
            headers={"accept-encoding": allowed},
        )
    body = await _read(headers.get(b"content-length", b""), receive, bytes_max, reservation)
    if encoding not in ENCODINGS:
        return body
    with await reservation.beside(COPIES * ENCODINGS[encoding].content_bytes(body, bytes_max)):
        # In a thread, with the interpreter's lock released: a small body may be a large one inside.
        body = await asyncio.to_thread(decompressed, body, encoding, bytes_max)
    reservation.enlarge(COPIES * len(body))
    return body


def _check_type(content_type: str) -> None:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != _JSON.decode():
        raise HttpError(
            415,
            f"the content-type {content_type!r} is not supported; send {_JSON.decode()}"
            if content_type
            else f"the request has no content-type; send {_JSON.decode()}",
            headers={"accept-post": _JSON.decode()},
        )


async def _read(length: bytes, receive: Receive, bytes_max: int, reservation: Reservation) -> bytes:
    if length.isdigit() and int(length) > bytes_max:
        raise _too_large(int(length), bytes_max)
    # Most bodies come in one piece, which need not be copied.
    part = await _part(receive)
    if not part.get("more_body", False):
        body: bytes = part.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(len(body), bytes_max)
        return body
    parts = bytearray(part.get("body", b""))
    while part.get("more_body", False):
        part = await _part(receive)
        parts += part.get("body", b"")
        if len(parts) > bytes_max:
            raise _too_large(len(parts), bytes_max)
        reservation.enlarge(COPIES * len(parts))
    return bytes(parts)


async def _part(receive: Receive) -> Message:
    """A part of a body; raises HttpError if the client has left, or took too long."""
    part = await receive()
    if part["type"] == "http.disconnect":
        raise HttpError(400, "the connection ended before the body did")
    return part


def decompressed(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """The content of a compressed body.

    Raises HttpError if it was not compressed in that way, LimitExceededError if it is too large.
    """
    try:
        content = ENCODINGS[encoding].decompress(body, bytes_max + 1)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise HttpError(400, f"the body is not valid {encoding}: {error}") from None
    if len(content) > bytes_max:
        raise _too_large(len(content), bytes_max, more=True)
    return content


# Only one member and one frame: a body of many empty ones would cost time out of all proportion.


def _gunzip(body: bytes, bytes_max: int) -> bytes:
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    content = member.decompress(body, bytes_max)
    if len(content) < bytes_max:
        _check_end(member.eof, member.unused_data)
    return content


def _unzstd(body: bytes, bytes_max: int) -> bytes:
    frame = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
    content = frame.decompress(body, bytes_max)
    if len(content) < bytes_max:
        _check_end(frame.eof, frame.unused_data)
    return content


def _check_end(ended: bool, rest: bytes) -> None:
    if not ended:
        raise EOFError("it ends too early")
    if rest:
        raise EOFError("something follows its end")


_ZSTD_OPTIONS: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: 23}
"""Windows of at most 8 MiB, as RFC 8878 recommends for what strangers send."""


@dataclass(frozen=True)
class Encoding:
    """An encoding of bodies."""

    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]
    """Takes (compressed, bytes_max) and returns at most that many bytes of the content."""

    ratio_max: float
    """The greatest size of the content, in multiples of the compressed size."""

    def content_bytes(self, compressed: bytes | bytearray | memoryview, bytes_max: int) -> int:
        """The greatest size that the content can have, as far as it is allowed."""
        return int(min(bytes_max, self.ratio_max * len(compressed)))


ENCODINGS: Final = {
    # DEFLATE writes at most 258 bytes for two bits; of zstd a few bytes may mean any number.
    "gzip": Encoding(lambda content: gzip.compress(content, 5), _gunzip, 1_032),
    "zstd": Encoding(zstd.compress, _unzstd, math.inf),
}
"""The encodings of bodies, by their names in headers."""

_KNOWN_ENCODINGS: Final = frozenset({"", "identity", *ENCODINGS})


def _too_large(size: int, bytes_max: int, *, more: bool = False) -> LimitExceededError:
    shown = f"more than {size - 1}" if more else str(size)
    return LimitExceededError(
        f"the request holds {shown} bytes; at most {bytes_max} are allowed",
        reason="REQUEST_TOO_LARGE",
        facts={"bytes": shown, "bytes_max": str(bytes_max)},
    )
