"""Commands on the database itself, and how the other commands open it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import sqlalchemy as sa
import typer

from cost_insights.cli.console import (
    EXIT_CODES,
    EXIT_UNREACHABLE,
    CommandError,
    printable,
    say,
    settings_of,
    usage,
)
from cost_insights.errors import StoreUnavailableError
from cost_insights.settings import Settings
from cost_insights.store import Store

app: Final = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Looks after the database."
)

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The database: sqlite:///FILE, or postgresql+psycopg:// and then "
        "USER:PASSWORD@HOST/DATABASE. "
        "Default: COST_INSIGHTS_DATABASE_URL, or else a SQLite file in the user's data folder.",
    ),
]


@contextmanager
def database_errors(settings: Settings) -> Iterator[None]:
    """Turns what goes wrong with the database into the end of the command."""
    try:
        yield
    except (StoreUnavailableError, sa.exc.DBAPIError) as error:
        cause = error.__cause__ if isinstance(error, StoreUnavailableError) else error
        origin = getattr(cause, "orig", None) or cause or error
        why = " ".join(str(origin).split())
        raise CommandError(
            f"{database_shown(settings)}: the database cannot be used: {printable(why)}",
            exit_code=EXIT_UNREACHABLE,
        ) from error


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The database, its schema brought up to date unless the settings forbid it."""
    with database_errors(settings):
        store = store_of(settings)
        try:
            if settings.database_upgrade:
                store.upgrade()
            yield store
        finally:
            store.close()


def database_shown(settings: Settings) -> str:
    """The database without its password."""
    return sa.make_url(settings.database_url).render_as_string(hide_password=True)


def store_of(settings: Settings) -> Store:
    """The database as the settings name it, not yet connected."""
    try:
        return Store(settings.database_url, connections_max=settings.database_connections_max)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError) as error:
        # The text may hold a password, so it is not repeated.
        raise usage(
            "--database-url or COST_INSIGHTS_DATABASE_URL: not the URL of a database that is "
            f"known ({type(error).__name__}); sqlite:///FILE and "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE are"
        ) from None


@app.callback()
def _every_command() -> None:
    """Makes a group of the commands, although there is one."""


@app.command(epilog=EXIT_CODES)
def upgrade(database_url: DatabaseOption = None) -> None:
    """Brings the schema of the database up to date.

    Several processes may do so at once, and `serve` does so by itself unless
    COST_INSIGHTS_DATABASE_UPGRADE is false.

    Example: cost-insights db upgrade --database-url sqlite:///costs.db
    """
    settings = settings_of(database_url=database_url)
    with database_errors(settings):
        store = store_of(settings)
        try:
            store.upgrade()
        finally:
            store.close()
    say(f"{database_shown(settings)}: the schema is up to date")
