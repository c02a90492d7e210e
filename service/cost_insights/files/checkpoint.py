"""The checkpoint that an interrupted run leaves behind, so that the next one can go on.

A checkpoint is a small file of JSON beside the input. It is there before anything
is sent, since it holds the id of the stream, and with the sequence and the place
in a batch that id is what identifies an event without an external id. It may lag
behind the service: what is sent again for that reason is recognized.
"""

import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Literal

import pydantic

from cost_insights.files.errors import (
    CheckpointError,
    FaultsOpenError,
    FaultsWriteError,
    StateError,
    StateMalformedError,
    StateVersionError,
)
from cost_insights.files.ndjson import LineFault
from cost_insights.files.source import Content, Format

KEEP_EVERY_SECONDS: Final = 1.0
"""The greatest time by which a checkpoint lags behind the acknowledgements."""

SUFFIX: Final = ".cost-insights"


_open_private = partial(os.open, mode=0o600)
"""Opens a file that only its owner can read, if it is created."""


@dataclass
class Counts:
    """The number of events so far, by result."""

    inserted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: int = 0

    @property
    def events(self) -> int:
        """The total number of events."""
        return self.inserted + self.duplicates + self.conflicts + self.refused


class State(pydantic.BaseModel):
    """The progress of a run."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    version: Literal[2] = 2
    stream_id: str = pydantic.Field(default_factory=lambda: str(uuid.uuid4()), min_length=1)
    format: Format = pydantic.Field(strict=False)
    options: str = ""
    """The options that say what documents mean."""
    batch_events: int = pydantic.Field(gt=0)
    batch_bytes: int = pydantic.Field(gt=0)
    """The limits of a batch. They must stay the same for an event to keep its place."""
    sequence: int = pydantic.Field(default=0, ge=0)
    """The sequence of the last batch that is acknowledged together with all batches before it."""
    line: int = pydantic.Field(default=1, gt=0)
    """The first line after that batch."""
    counts: Counts = pydantic.Field(default_factory=Counts)
    content: Content = pydantic.Field(default_factory=Content)
    """The content that was read by then; the input must begin with it for a run to go on."""
    faults_file: str | None = None
    faults_bytes: int = 0


class FaultsFile:
    """Keeps the lines that were not stored as JSON, one a line."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.faults = 0
        self._stream: BinaryIO | None = None

    def open(self, keep_bytes: int) -> None:
        """Begins after what an earlier run left that far."""
        try:
            mode: Literal["r+b", "wb"] = "r+b" if keep_bytes else "wb"
            self._stream = open(self.file, mode, opener=_open_private)  # noqa: SIM115
            # What lies behind belongs to batches that are about to be sent again.
            self._stream.truncate(self._stream.seek(keep_bytes))
        except OSError as error:
            raise FaultsOpenError(
                f"{str(self.file)!r} cannot be written: {error.strerror}"
            ) from None

    def add(self, line: int, fault: LineFault, text: bytes | None) -> None:
        """Writes one fault; `text` is the text of the record."""
        self.faults += 1
        row = {
            "line": line,
            "path": fault.path,
            "reason": fault.reason,
            "message": fault.message,
            "text": None if text is None else text.decode(errors="backslashreplace"),
        }
        with self._writing():
            self._opened.write(json.dumps(row, ensure_ascii=False).encode(errors="replace") + b"\n")

    def flush(self) -> int:
        """Puts everything on disk and says how many bytes that is."""
        with self._writing():
            self._opened.flush()
            os.fsync(self._opened.fileno())
            return self._opened.tell()

    def close(self) -> None:
        if self._stream is not None:
            with self._writing():
                self._stream.close()

    @property
    def _opened(self) -> BinaryIO:
        if self._stream is None:
            raise AssertionError("it was not opened")
        return self._stream

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FaultsWriteError(f"{self.file}: cannot be written: {error.strerror}") from None


class Checkpoint:
    """Keeps the state of a run in a file, or in memory only where there is none."""

    def __init__(
        self,
        state: State,
        file: Path | None = None,
        faults: FaultsFile | None = None,
        *,
        resumed: bool = False,
    ) -> None:
        self.state = state
        self.file = file
        self.resumed = resumed
        """Whether an earlier run may have sent something."""
        self._faults = faults
        self._kept = -KEEP_EVERY_SECONDS
        self._exists = False

    def begin(self) -> None:
        """Makes sure that the file is there; to be called before anything is sent."""
        if not self._exists:
            self.keep()

    def advance(self, sequence: int, line: int, counts: Counts, content: Content) -> None:
        """Records that everything up to a batch is done; the file is updated within a moment."""
        self.state = self.state.model_copy(
            update={
                "sequence": sequence,
                "line": line,
                "counts": replace(counts),
                "content": content,
            }
        )
        if time.monotonic() - self._kept >= KEEP_EVERY_SECONDS:
            self.keep()

    def keep(self) -> None:
        """Writes the file."""
        if self._faults is not None:
            update = {
                "faults_file": str(self._faults.file.absolute()),
                "faults_bytes": self._faults.flush(),
            }
            self.state = self.state.model_copy(update=update)
        self._kept = time.monotonic()
        self._exists = True
        if self.file is None:
            return
        # Readers see the old one or the new one, also after the power fails.
        written = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        try:
            with open(written, "w", opener=_open_private) as stream:
                stream.write(self.state.model_dump_json(indent=1) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            written.replace(self.file)
            _flush_folder(self.file.parent)
        except OSError as error:
            written.unlink(missing_ok=True)
            raise CheckpointError(f"{self.file}: cannot be written: {error.strerror}") from None

    def remove(self) -> None:
        """Removes the file, because the run is complete."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)
        if self._faults is not None:
            self._faults.flush()


def read_state(file: Path) -> State | None:
    """The state that a run left, or None without one; raises StateError if it cannot be read."""
    try:
        kept = file.read_bytes()
        if re.search(rb'"version": ?1\b', kept):
            raise StateVersionError(
                f"{file}: left by an earlier version of cost-insights, and only that version can "
                "go on with it"
            )
        return State.model_validate_json(kept)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{file}: cannot be read: {error.strerror}") from None
    except pydantic.ValidationError:
        raise StateMalformedError(f"{file}: not the state of an ingest") from None


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
