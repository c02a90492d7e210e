"""Files of events: opened, decompressed and read as records, a piece at a time.

Reading blocks, so it is done in a thread. `json_documents`
and `csv_records` make events of the records.
"""

import codecs
import contextlib
import gzip
import hashlib
import io
import itertools
import os
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from types import TracebackType
from typing import BinaryIO, Final, cast

from cost_insights.files import csv_records, json_documents
from cost_insights.files.conversion import Conversion
from cost_insights.files.errors import SourceChangedError, SourceError, SourceOpenError
from cost_insights.files.ndjson import Record, keep

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHUNK_BYTES: Final = 256 * 1024
MAGIC_BYTES: Final = 4
GZIP_MAGIC: Final = b"\x1f\x8b"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
IDLE_SECONDS: Final = 0.2
"""The time without anything to read after which `idle` is called."""


class Format(StrEnum):
    """The formats of events."""

    NDJSON = "ndjson"
    CSV = "csv"


class SourceStoppedError(Exception):
    """Reading was stopped from outside."""


@dataclass(frozen=True)
class Content:
    """The beginning of an input, decompressed: how long it is, and its SHA-256.

    A file of lines that ends in the middle of one counts as if a line end followed: that
    line was read as it is, so it must not go on later.
    """

    bytes: int = 0
    digest: str = hashlib.sha256().hexdigest()


class Source:
    """An open input of events."""

    def __init__(
        self,
        name: str,
        descriptor: int,
        *,
        format_: Format = Format.NDJSON,
        conversion: Conversion = Conversion(),  # noqa: B008 (it never changes)
    ) -> None:
        status = os.fstat(descriptor)
        regular = stat.S_ISREG(status.st_mode)
        self.name = name
        self.format = format_
        self.conversion = conversion
        self.regular = regular
        self.bytes_total = status.st_size if regular else None
        """Unknown for pipes and terminals."""
        self.waits = (
            stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode) or os.isatty(descriptor)
        )
        """Whether a read may have to wait for somebody to write."""
        self._descriptor = descriptor
        self._raw = _Raw(descriptor, waits=self.waits)
        self._content_bytes = 0
        self._content_digest = hashlib.sha256()
        self._expected: Content | None = None
        self._by_lines = True

    @property
    def content(self) -> Content:
        """The content that was read so far, decompressed."""
        return Content(self._content_bytes, self._content_digest.hexdigest())

    @property
    def bytes_read(self) -> int:
        """The number of bytes of the file that were read, before decompression."""
        return self._raw.bytes_read

    def stop(self) -> None:
        """Makes the next read raise SourceStoppedError; may be called from any thread."""
        self._raw.stopped = True

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> "Source":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def records(
        self,
        *,
        first_line: int = 1,
        beginning: Content | None = None,
        idle: Callable[[], None] = lambda: None,
    ) -> Iterator[Record]:
        """The records from that line on; `idle` is called while there is nothing to read.

        Raises SourceError where it cannot go on; everything before has come out then.
        Raises SourceChangedError before anything comes out if the input does not begin
        with `beginning`.
        """
        self._raw.idle = idle
        self._expected = beginning if beginning != Content() else None
        # What was read ahead of the line is compared, too: a few records wait for that.
        held: list[Record] = []
        try:
            for record in self._read(self._hashed(self._chunks()), first_line):
                self._by_lines = record.begins is None
                held.append(record)
                if self._expected is None:
                    yield from held
                    held.clear()
        except (csv_records.HeaderError, json_documents.CutOffError) as error:
            raise SourceError(str(error)) from None
        yield from held

    def _read(self, chunks: Iterator[bytes], first: int) -> Iterator[Record]:
        conversion = self.conversion
        changes = conversion != Conversion()
        if self.format is Format.CSV:
            convert = conversion.values if changes else keep
            return csv_records.read_records(
                chunks, first_line=first, names=conversion.names, convert=convert
            )
        convert = conversion.document if changes else keep
        return json_documents.read_records(chunks, first=first, convert=convert)

    def _hashed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        last = b"\n"
        for chunk in chunks:
            self._hash(chunk)
            last = chunk[-1:]
            yield chunk
        if last != b"\n" and self._by_lines:
            self._hash(b"\n")
        if self._expected is not None:
            raise SourceChangedError(
                f"{self.name} is shorter than it was in the earlier run: "
                f"it has {self._content_bytes} bytes instead of {self._expected.bytes}"
            )

    def _hash(self, data: bytes) -> None:
        if self._expected is not None:
            missing = self._expected.bytes - self._content_bytes
            if len(data) >= missing:
                beginning = self._content_digest.copy()
                beginning.update(data[:missing])
                if beginning.hexdigest() != self._expected.digest:
                    raise SourceChangedError(
                        f"the first {self._expected.bytes} bytes of {self.name} are not those "
                        "that the earlier run read"
                    )
                self._expected = None
        self._content_digest.update(data)
        self._content_bytes += len(data)

    def _chunks(self) -> Iterator[bytes]:
        with contextlib.ExitStack() as exit_stack:
            raw = cast("BinaryIO", self._raw)
            try:
                # The content says how it is compressed, whatever the name says.
                magic = self._raw.peek(MAGIC_BYTES)
                # What is asked for is at most a chunk, however much the compressed
                # bytes would make: neither the size of the file nor a bomb matters.
                read: Callable[[int], bytes] = raw.read
                if magic.startswith(GZIP_MAGIC):
                    read = exit_stack.enter_context(gzip.GzipFile(fileobj=raw)).read1
                elif magic == ZSTD_MAGIC:
                    read = exit_stack.enter_context(zstd.ZstdFile(raw)).read1
                yield from _in_utf8(iter(lambda: read(CHUNK_BYTES), b""))
            except (EOFError, zlib.error, zstd.ZstdError, gzip.BadGzipFile) as error:
                raise SourceError(
                    f"the compressed file is damaged or cut off: {str(error).rstrip('.')}"
                ) from None
            except OSError as error:
                raise SourceError(f"cannot be read: {error.strerror}") from None


def _in_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks in UTF-8, converted from UTF-16 if they begin with its byte order mark."""
    first = next(chunks, b"")
    if len(first) == 1:
        first += next(chunks, b"")
    if not first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if b"\0" in first[:MAGIC_BYTES]:
            raise SourceError(
                "it is neither UTF-8 nor UTF-16 with a byte order mark; "
                "iconv -t UTF-8 writes it anew"
            )
        if first:
            yield first
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder("utf-16")()
    try:
        for chunk in itertools.chain([first], chunks):
            if text := decoder.decode(chunk):
                yield text.encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise SourceError(f"it is not UTF-16, which it begins as: {error.reason}") from None


class _Raw(io.RawIOBase):
    """Reads a descriptor, which it does not own, and counts."""

    def __init__(self, descriptor: int, *, waits: bool) -> None:
        self.bytes_read = 0
        self.stopped = False
        self.idle: Callable[[], None] = lambda: None
        self._descriptor = descriptor
        self._ahead = b""
        self._poll = select.poll() if waits else None
        if self._poll is not None:
            self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def peek(self, size: int) -> bytes:
        """The next bytes, which are not consumed; fewer only at the end of the input."""
        while len(self._ahead) < size:
            buffer = bytearray(size - len(self._ahead))
            if not (read := self._read(memoryview(buffer))):
                break
            self._ahead += buffer[:read]
        return self._ahead[:size]

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._ahead:
            return self._read(buffer)
        ahead = self._ahead[: len(buffer)]
        buffer[: len(ahead)] = ahead
        self._ahead = self._ahead[len(ahead) :]
        return len(ahead)

    def _read(self, buffer: memoryview) -> int:
        # Making the descriptor non-blocking instead would do so for every process
        # that has it, such as the shell whose terminal it is.
        while self._poll is not None and not self._poll.poll(IDLE_SECONDS * 1_000):
            if self.stopped:
                raise SourceStoppedError
            self.idle()
        if self.stopped:
            raise SourceStoppedError
        read = os.readv(self._descriptor, [buffer])
        self.bytes_read += read
        return read


def open_source(file: str, format_: Format | None, conversion: Conversion) -> Source:
    """Opens a file, or standard input by the name `-`; raises SourceOpenError if it cannot be.

    The name says how the events are written, unless `format_` does.
    """
    try:
        if file == "-":
            # A descriptor of its own can be closed and leaves standard input open.
            name, descriptor = "<stdin>", os.dup(0)
        else:
            name, descriptor = file, os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SourceOpenError(f"{file!r} cannot be read: {why}") from None
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceOpenError(f"{file!r} is a folder; a file or - is allowed")
    path = PurePath("" if file == "-" else file.lower())
    written = path.with_suffix("").suffix if path.suffix in {".gz", ".zst"} else path.suffix
    if format_ is None:
        format_ = Format.CSV if written in {".csv", ".tsv"} else Format.NDJSON
    return Source(name, descriptor, format_=format_, conversion=conversion)
