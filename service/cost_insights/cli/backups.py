"""Commands that copy a database to a file and back."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cost_insights.cli.checking import progress
from cost_insights.cli.console import (
    EXIT_FILE,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    CommandError,
    printable,
    say,
    usage,
)
from cost_insights.cli.opening import (
    DatabaseOption,
    database_errors,
    database_shown,
    existing,
    not_created,
    store_of,
)
from cost_insights.cli.variables import settings_of
from cost_insights.settings import Settings
from cost_insights.store import parse_url
from cost_insights.store.backup import UnreadableError, copy_database

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The file of the backup.")]


def backup(*, file: FileArgument, database_url: DatabaseOption = None) -> None:
    """Copies a SQLite database to a new file, also while a service works with it.

    The copy holds everything that was acknowledged before the command began. Nobody waits for it,
    and it is there under its name once it is complete. A PostgreSQL is backed up by its own
    programs: pg_dump --format=custom --file=FILE URL.

    Example: cost-insights db backup costs-2026-11-27.db

    Example: cost-insights db backup /backups/costs.db --database-url sqlite:///costs.db
    """
    settings = settings_of(database_url=database_url)
    source = _file_of(settings, "pg_dump --format=custom --file=FILE URL")
    with existing(settings):
        pass
    size = _copy(source, file, unreadable=database_shown(settings), unwritable=str(file))
    say(f"{database_shown(settings)}: copied {size} bytes to {file}")


def restore(*, file: FileArgument, database_url: DatabaseOption = None) -> None:
    """Makes a SQLite database of a backup, where there is none yet.

    A backup of an earlier version is brought up to date by `serve` or `db upgrade`. A PostgreSQL is
    restored by its own programs, into an empty database: pg_restore --dbname=URL FILE.

    Example: cost-insights db restore costs-2026-11-27.db --database-url sqlite:///costs.db
    """
    settings = settings_of(database_url=database_url)
    target = _file_of(settings, "pg_restore --dbname=URL FILE")
    if not file.is_file():
        raise CommandError(f"{file}: there is no such file", exit_code=EXIT_FILE)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise not_created(settings, error) from None
    size = _copy(file, target, unreadable=str(file), unwritable=database_shown(settings))
    try:
        with database_errors(settings), closing(store_of(settings)) as store:
            store.check_schema(may_be_older=True)
    except CommandError:
        target.unlink()
        raise
    say(f"{database_shown(settings)}: restored {size} bytes from {file}")


def _file_of(settings: Settings, instead: str) -> Path:
    url = parse_url(settings.database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise usage(
            f"--database-url: {database_shown(settings)} is no file of SQLite; a PostgreSQL has "
            f"programs of its own: {instead}"
        )
    return Path(url.database)


def _copy(source: Path, target: Path, *, unreadable: str, unwritable: str) -> int:
    try:
        with progress() as bar:
            done = 0

            def on_copied(copied: int, total: int) -> None:
                nonlocal done
                if not done:
                    bar.begin(target.name, total)
                bar.update("pages copied", steps=copied - done)
                done = copied

            copy_database(source, target, on_copied)
    except FileExistsError as error:
        raise CommandError(
            f"{unwritable}: {error.filename} is there already, and nothing is overwritten",
            exit_code=EXIT_REFUSED,
        ) from None
    except OSError as error:
        raise CommandError(f"{unwritable}: {error.strerror}", exit_code=EXIT_FILE) from None
    except UnreadableError as error:
        raise CommandError(
            f"{unreadable}: the database cannot be copied: {printable(str(error))}",
            exit_code=EXIT_UNREACHABLE,
        ) from None
    return target.stat().st_size
