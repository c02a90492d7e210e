"""Files of events: opened, decompressed and read as records, a piece at a time.

Reading blocks, so it is done in a thread. What a record means is for
`ingest.ndjson` and `ingest.csv_rows` to say.
"""

import contextlib
import gzip
import io
import os
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import PurePath
from types import TracebackType
from typing import BinaryIO, Final, cast

from cost_insights.cli.console import usage
from cost_insights.ingest import csv_rows, ndjson
from cost_insights.ingest.ndjson import Record

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHUNK_BYTES: Final = 256 * 1024
IDLE_SECONDS: Final = 0.2
"""After how long without anything to read somebody is told."""


class Format(StrEnum):
    """How events are written."""

    NDJSON = "ndjson"
    CSV = "csv"


class SourceError(Exception):
    """What was opened cannot be read to its end."""


class SourceStoppedError(Exception):
    """Reading was stopped from outside."""


class Source:
    """Where events come from."""

    def __init__(
        self,
        name: str,
        descriptor: int,
        *,
        format_: Format = Format.NDJSON,
        suffix: str = "",
    ) -> None:
        """`suffix` says how it is compressed: `.gz`, `.zst`, or not with any other."""
        status = os.fstat(descriptor)
        regular = stat.S_ISREG(status.st_mode)
        self.name = name
        self.format = format_
        self.regular = regular
        self.bytes_total = status.st_size if regular else None
        """Unknown for pipes and terminals."""
        self.modified_ns = status.st_mtime_ns if regular else None
        self.waits = (
            stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode) or os.isatty(descriptor)
        )
        """Whether a read may have to wait for somebody to write."""
        self._suffix = suffix
        self._descriptor = descriptor
        self._raw = _Raw(descriptor, waits=self.waits)

    @property
    def bytes_read(self) -> int:
        """How much of the file was read, before it was decompressed."""
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
        self, *, first_line: int = 1, idle: Callable[[], None] = lambda: None
    ) -> Iterator[Record]:
        """The records from that line on; `idle` is called while there is nothing to read.

        Raises SourceError where it cannot go on; everything before has come out then.
        """
        self._raw.idle = idle
        reader = {
            Format.NDJSON: ndjson.read_records,
            Format.CSV: csv_rows.read_records,
        }[self.format]
        try:
            yield from reader(self._chunks(), first_line=first_line)
        except csv_rows.HeaderError as error:
            raise SourceError(str(error)) from None

    def _chunks(self) -> Iterator[bytes]:
        with contextlib.ExitStack() as exit_stack:
            # What is asked for is at most a chunk, however much the compressed
            # bytes would make: neither the size of the file nor a bomb matters.
            raw = cast("BinaryIO", self._raw)
            read: Callable[[int], bytes | None] = self._raw.read
            if self._suffix == ".gz":
                read = exit_stack.enter_context(gzip.GzipFile(fileobj=raw)).read1
            elif self._suffix == ".zst":
                read = exit_stack.enter_context(zstd.ZstdFile(raw)).read1
            try:
                while chunk := read(CHUNK_BYTES):
                    yield chunk
            except (EOFError, zlib.error, zstd.ZstdError, gzip.BadGzipFile) as error:
                raise SourceError(
                    f"the compressed file is damaged or cut off: {str(error).rstrip('.')}"
                ) from None
            except OSError as error:
                raise SourceError(f"cannot be read: {error.strerror}") from None


class _Raw(io.RawIOBase):
    """Reads a descriptor, which it does not own, and counts."""

    def __init__(self, descriptor: int, *, waits: bool) -> None:
        self.bytes_read = 0
        self.stopped = False
        self.idle: Callable[[], None] = lambda: None
        self._descriptor = descriptor
        self._poll = select.poll() if waits else None
        if self._poll is not None:
            self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
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


def open_source(file: str, format_: Format | None) -> Source:
    """Opens a file, or standard input by the name `-`; raises CommandError if it cannot be.

    The suffix says how the file is compressed and, unless `format_` does, how the
    events are written.
    """
    try:
        if file == "-":
            # A descriptor of its own can be closed and leaves standard input open.
            name, descriptor = "<stdin>", os.dup(0)
        else:
            name, descriptor = file, os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise usage(f"FILE: {file!r} cannot be read: {why}") from None
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise usage(f"FILE: {file!r} is a folder; a file or - is allowed")
    path = PurePath("" if file == "-" else file.lower())
    compressed = path.suffix in {".gz", ".zst"}
    written = path.with_suffix("").suffix if compressed else path.suffix
    if format_ is None:
        format_ = Format.CSV if written == ".csv" else Format.NDJSON
    return Source(name, descriptor, format_=format_, suffix=path.suffix if compressed else "")
