"""Copies of a SQLite database that is in use, made by SQLite itself.

A copy holds what one snapshot of the database held: whoever writes meanwhile is not held up, and
nothing of what they write is in it.
"""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

_PAGES_AT_ONCE: Final = 4_096


class UnreadableError(Exception):
    """A file that SQLite cannot read."""


def copy_database(source: Path, target: Path, on_copied: Callable[[int, int], None]) -> None:
    """Copies a database into a new file, which only its owner can read, and which is there once it
    is complete and on disk.

    `on_copied` is told how many pages are copied, and of how many. Raises FileExistsError if there
    is a target, other OSErrors if it cannot be written, and UnreadableError if the source cannot
    be read.
    """
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode=0o600))
    try:
        _copy(source, part, on_copied)
    except sqlite3.Error as error:
        raise UnreadableError(str(error)) from error
    else:
        # Where another process made the target meanwhile, it stays.
        target.hardlink_to(part)
    finally:
        for name in (part, *(part.with_name(f"{part.name}{end}") for end in ("-wal", "-shm"))):
            with suppress(FileNotFoundError):
                name.unlink()
    _sync(target.parent)


def _copy(source: Path, target: Path, on_copied: Callable[[int, int], None]) -> None:
    with (
        closing(_connection(source, "ro")) as reading,
        closing(_connection(target, "rw")) as writing,
    ):
        # A transaction that has read something sees one snapshot until it ends. Without it the copy
        # would begin again whenever somebody writes, and never end under load.
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(
            writing,
            pages=_PAGES_AT_ONCE,
            progress=lambda _, left, total: on_copied(total - left, total),
        )
        # One file then, without the log beside it that whoever serves the database turns on again.
        writing.execute("PRAGMA journal_mode = DELETE")
    _sync(target)


def _connection(file: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(file.absolute()))}?mode={mode}", uri=True, isolation_level=None
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
