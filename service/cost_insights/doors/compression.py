"""Decompressing what callers send, up to a size."""

import gzip
import math
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cost_insights.errors import LimitExceededError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECOMPRESSION_ERRORS: Final = (zlib.error, zstd.ZstdError, EOFError)
"""The errors of what was not compressed in that way."""

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

GZIP: Final = b"\x1f\x8b"
"""The beginning of what gzip has compressed. No message of protobuf begins so: the first byte would
be of a field whose wire type does not exist."""


def decompressed(compressed: bytes, encoding: str, bytes_max: int) -> bytes:
    """The content of what was compressed.

    Raises LimitExceededError if it is too large, and one of DECOMPRESSION_ERRORS if it was not
    compressed in that way.
    """
    content = ENCODINGS[encoding].decompress(compressed, bytes_max + 1)
    if len(content) > bytes_max:
        raise too_large(f"more than {bytes_max}", bytes_max)
    return content


def too_large(size: int | str, bytes_max: int) -> LimitExceededError:
    """The error for a request of that size."""
    return LimitExceededError(
        f"the request holds {size} bytes; at most {bytes_max} are allowed",
        reason="REQUEST_TOO_LARGE",
        facts={"bytes": str(size), "bytes_max": str(bytes_max)},
    )
